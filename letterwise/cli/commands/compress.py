"""`letterwise compress`: a form over `LanguageModel.compress_file`."""

from typing import Any

from letterwise.cli.flags import OUTPUT_HELP, Parser
from letterwise.cli.output import is_stdout, json_to_stdout, line_to_stdout, terminal_safe, to_stderr


def add_flags(parser: Parser, arguments: list[str]) -> None:
    """The flags."""
    parser.add_argument("--model_path", metavar="FILE", required=True, help="model file that `letterwise train` wrote")
    parser.add_argument(
        "--input_file",
        metavar="FILE",
        required=True,
        help="any file, or - for stdin; text that is like the training text compresses best",
    )
    parser.add_argument("--output_file", metavar="FILE", required=True, help=OUTPUT_HELP)
    parser.add_argument(
        "--online",
        action="store_true",
        help="the model keeps learning while it reads: a smaller file, but slower to compress and to decompress",
    )
    parser.add_argument(
        "--primed",
        action="store_true",
        help="the same, after it has read its own training text, which decompressing then needs, too: smaller still",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(flags: dict[str, Any]) -> int:
    """Compress."""
    as_json, output = flags.get("json", False), flags["output_file"]
    words = to_stderr if is_stdout(output, "--output_file", as_json) else line_to_stdout
    from letterwise.api import load

    model = load(flags["model_path"], device="cpu")
    online, primed = flags.get("online", False), flags.get("primed", False)
    packed = model.compress_file(flags["input_file"], output, online=online, primed=primed)
    if as_json:
        json_to_stdout({
            "original_bytes": packed.original_bytes,
            "compressed_bytes": packed.compressed_bytes,
            "streams": packed.streams,
            "output_file": output,
        })  # fmt: skip
    else:
        rate = f", {packed.bits_per_byte:.4f} bits per byte" if packed.original_bytes else ""
        words(f"{packed.original_bytes:,} bytes in {packed.compressed_bytes:,}{rate}: {terminal_safe(output)}")
    return 0
