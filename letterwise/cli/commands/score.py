"""`letterwise score`: a form over `LanguageModel.score`, `.heat_map`, `.rank`, `.follow` and `api.classify`."""

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from letterwise.cli.flags import ENCODING_HELP, Parser, number
from letterwise.cli.output import in_colour, json_to_stdout, terminal_safe, to_stdout
from letterwise.data.line_ends import bare, split_lines
from letterwise.errors import UserError
from letterwise.stdin import arriving

if TYPE_CHECKING:
    from letterwise.api import LanguageModel
    from letterwise.evaluation.score import Line


def add_flags(parser: Parser, arguments: list[str]) -> None:
    """The flags."""
    parser.add_argument(
        "--model_path", metavar="FILE", required=True, action="append",
        help="model file that `letterwise train` wrote; give it several times to see which model finds the text most likely",
    )  # fmt: skip
    parser.add_argument("--input_file", nargs="+", metavar="PATH", help="the text (default: stdin)")
    parser.add_argument(
        "--protocol", choices=("blocks", "eighth", "sliding"),
        help="how much context each character has: windows of block_size side by side (blocks), or overlapping by an eighth or "
        "by half (sliding) (default: blocks; with --rank and --follow: eighth)",
    )  # fmt: skip
    show = parser.add_argument_group(
        "what to show (default: coloured text on a terminal; otherwise bits per character, a tab, and the line)"
    )
    show.add_argument(
        "--html", metavar="FILE",
        help="write an HTML page: coloured text, and the most likely alternatives under the pointer; - for stdout",
    )  # fmt: skip
    show.add_argument("--jsonl", action="store_true", help="one JSON object per line")
    show.add_argument(
        "--each_char", action="store_true", help="with --jsonl: also each character's bits, rank and most likely alternatives"
    )
    show.add_argument("--json", action="store_true", help="one JSON object for the whole text")
    odd = parser.add_argument_group("odd lines")
    odd.add_argument("--rank", action="store_true", help="sort lines, the most unusual first, each with a p-value")
    odd.add_argument(
        "--calibrate", nargs="+", metavar="PATH", help="ordinary lines to compare with (default: the model's own held-out text)"
    )
    odd.add_argument("--top", type=number(int), metavar="N", help="with --rank: only the N most unusual lines (default: all)")
    odd.add_argument(
        "--follow", action="store_true", help="score each line of stdin as soon as it is complete, without waiting for the end"
    )
    parser.add_argument("--each_line", action="store_true", help="with several models: one answer for each line")
    parser.add_argument(
        "--unknown", choices=("score", "error", "skip"),
        help="characters that the model does not know: score them as the oddest there are (33.4 bits each), refuse the text "
        "(error), or charge nothing for them (skip) (default: score)",
    )  # fmt: skip
    parser.add_argument("--encoding", metavar="NAME", help=ENCODING_HELP)
    parser.add_argument("--device", metavar="NAME", help="auto, cpu, cuda, cuda:1, mps")


def run(flags: dict[str, Any]) -> int:
    """Score."""
    paths, device = flags.pop("model_path"), flags.pop("device", "auto")
    asked = {name: flags.pop(name, False) for name in ("jsonl", "json", "each_char", "rank", "follow", "each_line")}
    _agree(asked, flags, several=len(paths) > 1)
    from letterwise.api import load
    from letterwise.progress import PlainProgress

    models = [load(path, device=device) for path in paths]
    if asked["follow"]:
        options = {name: flags[name] for name in ("unknown", "protocol", "encoding") if name in flags}
        text = models[0].follow(arriving(), **options)
        for line in text:
            print_line(line, asked["jsonl"])
        if text.tally.skipped:
            PlainProgress().note(f"{text.tally}.")
        return 0
    flags.setdefault("input_file", ["-"])
    flags["progress"] = PlainProgress()
    if len(models) > 1:
        _classify(models, paths, flags, asked)
    elif asked["rank"]:
        _rank(models[0], flags, asked)
    elif "html" in flags:
        from letterwise.atomic import write_bytes

        path, title = flags.pop("html"), ", ".join(flags["input_file"])
        page = models[0].heat_map(title="stdin" if title == "-" else title, **flags)
        write_bytes(path, page.encode("utf-8", "surrogateescape"))
    else:
        _score(models[0], flags, asked)
    return 0


def _agree(asked: dict[str, bool], flags: dict[str, Any], *, several: bool) -> None:
    """Raises `UserError` where flags contradict each other."""
    if several and (asked["rank"] or asked["follow"] or "html" in flags or asked["each_char"]):
        raise UserError(
            "several --model_path tell which finds the text likeliest; --rank, --follow, --html and --each_char take one."
        )
    if several and (unused := sorted({"unknown", "protocol"} & flags.keys())):
        raise UserError(
            f"--{unused[0]} is for one --model_path: several are compared by windows that overlap by half, and each is charged "
            "33.4 bits for a character that it does not know."
        )
    if asked["each_line"] and not several:
        raise UserError("--each_line tells lines apart between several models: give --model_path more than once.")
    if asked["follow"] and flags.get("input_file", ["-"]) != ["-"]:
        raise UserError(f"--follow reads stdin, not {flags['input_file'][0]!r}: leave out --input_file.")
    if asked["each_char"] and not asked["jsonl"]:
        raise UserError("--each_char adds to the objects of --jsonl: give that, too.")
    if not asked["rank"] and ("calibrate" in flags or "top" in flags):
        raise UserError("--calibrate and --top belong to --rank: give that, too.")


def _score(model: "LanguageModel", flags: dict[str, Any], asked: dict[str, bool]) -> None:
    """Print each line's bits, or all of them as one row."""
    from letterwise.evaluation.heatmap import speller, terminal

    bits, chars, count = 0.0, 0, 0
    spell = speller(model.vocabulary) if asked["each_char"] else None
    text = model.score(closely=asked["each_char"], **flags)
    for line in text:
        bits, chars, count = bits + line.bits, chars + line.predicted, count + 1
        if asked["json"]:
            continue
        if in_colour() and not asked["jsonl"]:
            to_stdout(f"{line.bits_per_char:6.3f} {terminal(line, model.vocabulary)}\n")
        else:
            print_line(line, asked["jsonl"], spell)
    if asked["json"]:
        json_to_stdout({
            "bits": bits, "bits_per_char": bits / chars, "chars": chars, "lines": count,
            "protocol": flags.get("protocol", "blocks"),
            **({"skipped_chars": text.tally.skipped, "text_chars": text.tally.read} if flags.get("unknown") == "skip" else {}),
        })  # fmt: skip


def print_line(line: "Line", as_json: bool, spell: Callable[[int], str] | None = None) -> None:
    """A line on a line of stdout; with the spelling of each id, also what is known of each character."""
    if not as_json:
        to_stdout(f"{line.bits_per_char:.4f}\t{terminal_safe(bare(line.text))}\n")
        return
    row: dict[str, Any] = {
        "line": line.number, "start": line.start, "text": line.text, "chars": line.predicted, "bits": line.bits,
        "bits_per_char": line.bits_per_char,
    }  # fmt: skip
    known = line.characters
    if spell:
        row["characters"] = [
            {
                "char": spell(id),
                "bits": bits,
                "rank": rank,
                "likeliest": {spell(i): p for i, p in zip(ids, ps, strict=True) if p},
            }
            for id, bits, rank, ids, ps in zip(
                *(part.tolist() for part in (known.ids, known.bits, known.ranks, known.likeliest, known.probabilities)),
                strict=True,
            )
        ]
    to_stdout(json.dumps(row) + "\n")


def _rank(model: "LanguageModel", flags: dict[str, Any], asked: dict[str, bool]) -> None:
    """Print the lines, the least ordinary first."""
    for ranked in model.rank(**flags):
        line = ranked.line
        if asked["json"] or asked["jsonl"]:
            row = {"line": line.number, "p_value": ranked.p_value, "deviations": ranked.deviations, "text": line.text}
            json_to_stdout({**row, "bits_per_char": line.bits_per_char})
        else:
            to_stdout(f"{ranked.p_value:.4f}\t{line.bits_per_char:.3f}\t{line.number}\t{terminal_safe(bare(line.text))}\n")


def _classify(models: "list[LanguageModel]", paths: list[str], flags: dict[str, Any], asked: dict[str, bool]) -> None:
    """Print which of the models expects a text most; or each line of it."""
    from letterwise.api import classify, read_text

    vocab = "byte" if all(model.vocabulary.kind == "byte" for model in models) else "char"
    text = read_text(flags["input_file"], encoding=flags.get("encoding"), vocab=vocab, progress=flags["progress"])
    texts: Iterable[str] = map(bare, split_lines(text)) if asked["each_line"] else [text]
    for verdict in classify(models, texts, progress=flags["progress"]):
        best = paths[verdict.likeliest]
        if asked["json"] or asked["jsonl"]:
            bits, chances = (dict(zip(paths, each, strict=True)) for each in (verdict.bits, verdict.probabilities))
            named = {"text": verdict.text} if asked["each_line"] else {}
            json_to_stdout({"likeliest": best, "probabilities": chances, "bits": bits, "chars": len(verdict.text), **named})
        elif asked["each_line"]:
            to_stdout(f"{terminal_safe(best)}\t{max(verdict.probabilities):.3f}\t{terminal_safe(verdict.text)}\n")
        else:
            for path, bits, chance in sorted(
                zip(paths, verdict.bits, verdict.probabilities, strict=True), key=lambda row: row[1]
            ):
                to_stdout(f"{chance:6.1%}  {bits / max(1, len(verdict.text)):.4f} bits per character  {terminal_safe(path)}\n")
