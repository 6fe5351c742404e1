"""`letterwise compress`: a form over `LanguageModel.compress_file`."""

from typing import Any

from letterwise.cli.flags import Parser
from letterwise.cli.output import say, say_json, shown


def add_flags(parser: Parser, arguments: list[str]) -> None:
    """The flags."""
    parser.add_argument("--model_path", metavar="FILE", required=True, help="model file that `letterwise train` wrote")
    parser.add_argument(
        "--input_file",
        metavar="FILE",
        required=True,
        help="any file, or - for stdin; text that is like the training text compresses best",
    )
    parser.add_argument("--output_file", metavar="FILE", required=True, help="file to write; it appears complete or not at all")
    parser.add_argument(
        "--online",
        action="store_true",
        help="the model keeps learning while it reads: a smaller file, but slower to compress and to decompress",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(flags: dict[str, Any]) -> int:
    """Compress."""
    from letterwise.api import load

    model = load(flags["model_path"], device="cpu")
    packed = model.compress_file(flags["input_file"], flags["output_file"], online=flags.get("online", False))
    if flags.get("json"):
        say_json({
            "original_bytes": packed.original_bytes,
            "compressed_bytes": packed.compressed_bytes,
            "streams": packed.streams,
            "output_file": flags["output_file"],
        })  # fmt: skip
    else:
        rate = f", {packed.bits_per_byte:.4f} bits per byte" if packed.original_bytes else ""
        say(f"{packed.original_bytes:,} bytes in {packed.compressed_bytes:,}{rate}: {shown(flags['output_file'])}\n")
    return 0
