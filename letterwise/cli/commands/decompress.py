"""`letterwise decompress`: a form over `LanguageModel.decompress_file`."""

from typing import Any

from letterwise.cli.flags import Parser
from letterwise.cli.output import say, say_json, shown


def add_flags(parser: Parser, arguments: list[str]) -> None:
    """The flags."""
    parser.add_argument("--model_path", metavar="FILE", required=True, help="model file that it was compressed with")
    parser.add_argument(
        "--input_file", metavar="FILE", required=True, help="file that `letterwise compress` wrote, or - for stdin"
    )
    parser.add_argument("--output_file", metavar="FILE", required=True, help="file to write; it appears complete or not at all")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(flags: dict[str, Any]) -> int:
    """Decompress."""
    from letterwise.api import load

    packed = load(flags["model_path"], device="cpu").decompress_file(flags["input_file"], flags["output_file"])
    if flags.get("json"):
        say_json({"original_bytes": packed.original_bytes, "output_file": flags["output_file"]})
    else:
        say(f"{packed.original_bytes:,} bytes: {shown(flags['output_file'])}\n")
    return 0
