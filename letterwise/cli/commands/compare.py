"""`letterwise compare`: a form over `letterwise.comparison`."""

from typing import Any

from letterwise.cli.flags import Parser
from letterwise.cli.output import say, say_json


def add_flags(parser: Parser, arguments: list[str]) -> None:
    """The flags."""
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run directories or model files, two or more")
    parser.add_argument("--html", metavar="FILE", help="also write a page with all validation curves and the tables")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(flags: dict[str, Any]) -> int:
    """Compare."""
    from letterwise.comparison.runs import compare
    from letterwise.comparison.table import table

    comparison = compare(flags["runs"])
    if "html" in flags:
        from letterwise.atomic import write_bytes
        from letterwise.comparison.page import page

        write_bytes(flags["html"], page(comparison).encode())
    if flags.get("json"):
        say_json(comparison.to_json())
    else:
        say(table(comparison))
    return 0
