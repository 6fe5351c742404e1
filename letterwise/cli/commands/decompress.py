"""`letterwise decompress`: a form over `LanguageModel.decompress_file`."""

from typing import Any

from letterwise.cli.flags import OUTPUT_HELP, Parser
from letterwise.cli.output import is_stdout, json_to_stdout, line_to_stdout, terminal_safe, to_stderr


def add_flags(parser: Parser, arguments: list[str]) -> None:
    """The flags."""
    parser.add_argument("--model_path", metavar="FILE", required=True, help="model file that it was compressed with")
    parser.add_argument(
        "--input_file", metavar="FILE", required=True, help="file that `letterwise compress` wrote, or - for stdin"
    )
    parser.add_argument("--output_file", metavar="FILE", required=True, help=OUTPUT_HELP)
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(flags: dict[str, Any]) -> int:
    """Decompress."""
    as_json, output = flags.get("json", False), flags["output_file"]
    words = to_stderr if is_stdout(output, "--output_file", as_json) else line_to_stdout
    from letterwise.api import load

    packed = load(flags["model_path"], device="cpu").decompress_file(flags["input_file"], output)
    if as_json:
        json_to_stdout({"original_bytes": packed.original_bytes, "output_file": output})
    else:
        words(f"{packed.original_bytes:,} bytes: {terminal_safe(output)}")
    return 0
