"""`letterwise compare`: a form over `letterwise.comparison`."""

from typing import Any

from letterwise.cli.flags import Parser
from letterwise.cli.output import is_stdout, json_to_stdout, to_stdout


def add_flags(parser: Parser, arguments: list[str]) -> None:
    """The flags."""
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run directories or model files, two or more")
    page = "also write a page with all curves and the tables; - for stdout, which then has no other table"
    parser.add_argument("--html", metavar="FILE", help=page)
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(flags: dict[str, Any]) -> int:
    """Compare."""
    from letterwise.comparison.runs import compare
    from letterwise.comparison.table import table

    as_json, html = flags.get("json", False), flags.get("html")
    taken = html is not None and is_stdout(html, "--html", as_json)
    comparison = compare(flags["runs"])
    if html is not None:
        from letterwise.atomic import write_bytes
        from letterwise.comparison.page import page

        write_bytes(html, page(comparison).encode())
    if as_json:
        json_to_stdout(comparison.to_json())
    elif not taken:
        to_stdout(table(comparison))
    return 0
