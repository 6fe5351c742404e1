"""`letterwise novelty`: a form over `LanguageModel.novelty`."""

from dataclasses import asdict
from typing import Any

from letterwise.cli.flags import ENCODING_HELP, Parser, number
from letterwise.cli.output import json_to_stdout, to_stdout
from letterwise.printable import printable

SHOWN = 100  # characters of each end of a long run


def add_flags(parser: Parser, arguments: list[str]) -> None:
    """The flags."""
    parser.add_argument(
        "--model_path", metavar="FILE", required=True, help="model file; its training text must still be available"
    )
    parser.add_argument("--input_file", nargs="+", metavar="PATH", help="the text, - for stdin (default: stdin)")
    parser.add_argument(
        "--nearest",
        type=number(int),
        metavar="N",
        help="for the N lines with the longest copied runs, also find the most similar training line (default: 1; 0: none)",
    )
    parser.add_argument("--encoding", metavar="NAME", help=ENCODING_HELP)
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(flags: dict[str, Any]) -> int:
    """Compare."""
    from letterwise.api import load
    from letterwise.progress import PlainProgress

    path, as_json = flags.pop("model_path"), flags.pop("json", False)
    flags.setdefault("input_file", ["-"])
    found = load(path, device="cpu").novelty(progress=PlainProgress(), **flags)
    if as_json:
        json_to_stdout(asdict(found))
        return 0
    if run := found.longest:
        to_stdout(
            f"longest run that is also in the training text: {run.chars:,} characters, from line {run.line:,}, "
            f"column {run.column:,}; there from line {run.training_line:,}, character {run.training_start:,}\n"
            f"    {excerpt(run.text)}\n"
        )
    else:
        to_stdout("no character of this text is in the training text\n")
    shares = ", ".join(f"{length}: {share:.1%}" for length, share in found.shares.items())
    to_stdout(f"share of the {found.chars:,} characters that are in copied runs of at least so many characters: {shares}\n")
    for line in found.nearest:
        to_stdout(
            f"line {line.line:,} is most similar to line {line.training_line:,} of the training text: {line.similarity:.0%}\n"
            f"    {printable(line.text, one_line=True)}\n    {printable(line.training_text, one_line=True)}\n"
        )
    return 0


def excerpt(text: str) -> str:
    """A text on one line, its middle left out where it is long."""
    return repr(text) if len(text) <= 2 * SHOWN else f"{text[:SHOWN]!r} … {text[-SHOWN:]!r}"
