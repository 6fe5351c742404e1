"""`letterwise generate`: a form over `LanguageModel.samples` and `LanguageModel.lines`."""

import re
import secrets
from itertools import chain
from typing import TYPE_CHECKING, Any

from letterwise.cli.flags import Parser, add_options, number, title
from letterwise.cli.output import json_to_stdout, terminal_safe, text_on_its_way, to_stdout
from letterwise.cli.program import words
from letterwise.config.generation import ConstraintConfig, RequestConfig, SamplerConfig, StopConfig
from letterwise.errors import UserError
from letterwise.printable import printable

if TYPE_CHECKING:
    from letterwise.api import LanguageModel
    from letterwise.data.vocabulary import Vocabulary
    from letterwise.inference.generate import Samples

LENGTH = ("num_tokens",)  # stands among the first flags
ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}  # what people write for them
BETWEEN_SAMPLES = "\n---------------\n"


def add_flags(parser: Parser, arguments: list[str]) -> None:
    """The flags."""
    parser.add_argument("--model_path", metavar="FILE", required=True, help="model file that `letterwise train` wrote")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--seed", metavar="TEXT", help="text to start from; may be empty")
    start.add_argument("--prompt", metavar="TEXT", help="the same")
    start.add_argument("--seed_file", metavar="FILE", help="the same, all that is in this file; - for stdin")
    parser.add_argument("--encoding", metavar="NAME", help="text encoding of --seed_file (default: detected)")
    add_options(parser, StopConfig, only=LENGTH)
    for kind in (SamplerConfig, StopConfig, ConstraintConfig):
        add_options(parser.add_argument_group(title(kind)), kind, but=LENGTH)
    lines = parser.add_argument_group(
        "lines (each begins with the seed text; works best with a model that was trained with --lines)"
    )
    lines.add_argument(
        "--lines",
        type=number(int),
        metavar="N",
        help="write N whole lines, and report how many candidates that took; stop, exit code 2, after 1,000 rejected in a row",
    )
    lines.add_argument("--unique", action="store_true", help="all lines differ from each other")
    lines.add_argument("--new", action="store_true", help="no line is in the model's own text (training or validation part)")
    add_options(parser, RequestConfig)
    parser.add_argument("--device", metavar="NAME", help="auto, cpu, cuda, cuda:1, mps")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the text")


def run(flags: dict[str, Any]) -> int:
    """Write."""
    path, device = flags.pop("model_path"), flags.pop("device", "auto")
    named, encoding = flags.pop("seed_file", None), flags.pop("encoding", None)
    prompt = flags.pop("seed", flags.pop("prompt", ""))
    as_json = flags.pop("json", False)
    if "logit_bias" in flags:
        flags["logit_bias"] = dict(flags["logit_bias"])
    seed = flags.pop("rng_seed", secrets.randbits(32))
    _agree(flags)
    if encoding and not named:
        raise UserError(f"--encoding {encoding!r} tells how to read --seed_file: give that, too.")
    from letterwise.api import load

    model = load(path, device=device)
    if named:
        prompt = read_prompt(named, encoding, as_bytes=model.vocabulary.kind == "byte")
    for stop in flags.get("stop", ()):
        if why := never_stops(stop, model.vocabulary):
            from letterwise.progress import PlainProgress

            PlainProgress().note(why)
    if "lines" in flags:
        return write_lines(model, prompt, seed, flags, as_json)
    samples = model.samples(prompt, rng_seed=seed, **flags)
    if as_json:
        rows = zip(samples.texts(), samples.rng_seeds, samples.ended, strict=True)
        written = [{"text": text, "rng_seed": seed, "ended": ended} for text, seed, ended in rows]
        json_to_stdout({"prompt": prompt, "samples": written})
    else:
        show(prompt, samples)
    return 0


def never_stops(stop: str, vocabulary: "Vocabulary") -> str | None:
    r"""What to say of a --stop that hardly means what it says, or can never come: a shell hands on \n as two characters."""
    what = printable(stop, one_line=True)[:60]
    if escape := re.search(r"\\[nrt]", stop):
        meant = re.sub(r"\\([nrt])", lambda found: ESCAPES[found[1]], stop)
        waits = f"--stop '{what}' waits for a backslash and the letter {escape[0][1]}"
        return f"{waits}: for the character write --stop {words([meant])}."
    unknown = [character for character in stop if vocabulary.kind == "char" and character not in vocabulary]
    if unknown:
        return f"--stop '{what}' never comes: the model has never seen '{printable(unknown[0], one_line=True)}'."
    return None


def _agree(flags: dict[str, Any]) -> None:
    """Raises `UserError` where flags contradict each other."""
    for name in ("unique", "new"):
        if name in flags and "lines" not in flags:
            raise UserError(f"--{name} chooses among lines: say how many with --lines N.")
    for name in ("num_samples", "until_line"):
        if name in flags and "lines" in flags:
            raise UserError(f"--lines {flags['lines']} writes so many texts of one line each: leave out --{name}.")


def read_prompt(name: str, encoding: str | None, *, as_bytes: bool) -> str:
    """The text of a file, or of stdin, exactly; for a model of bytes, whatever they are. Raises `UserError` if not."""
    from letterwise.stdin import reading
    from letterwise.text_encoding import canonical_encoding, decoded, read_whole

    with reading(name) as file:
        content = read_whole(file, "stdin" if name == "-" else name, "--seed_file")
    if as_bytes and encoding is None:
        return content.decode("utf-8", "surrogateescape")
    name = "stdin" if name == "-" else name
    return decoded(content, name, "--seed_file", encoding and canonical_encoding(encoding))


def write_lines(model: "LanguageModel", prompt: str, seed: int, flags: dict[str, Any], as_json: bool) -> int:
    """Lines on stdout, each as it is found, and on stderr what became of the candidates.

    Raises `UserError`, when all that could be found is written, if it is less than what was asked for.
    """
    from letterwise.inference.lines import BARREN
    from letterwise.progress import PlainProgress

    progress = PlainProgress()
    lines = model.lines(flags.pop("lines"), prompt, rng_seed=seed, progress=progress, **flags)
    if as_json:
        written = {"prompt": prompt, "lines": list(lines), "rng_seed": seed}
        json_to_stdout(
            {**written, **{name: getattr(lines, name) for name in ("candidates", "unfinished", "known", "repeated", "ended")}}
        )
    else:
        for line in lines:
            to_stdout(f"{terminal_safe(line)}\n")
    dropped = {"known": lines.known, "repeated": lines.repeated, "empty or without end": lines.unfinished}
    why = ", ".join(f"{count:,} {what}" for what, count in dropped.items() if count)
    took = f"{lines.given:,} lines from {lines.candidates:,} candidates" + (f" ({why})" if why else "")
    if lines.ended == "enough":
        progress.note(f"{took}.")
        return 0
    gave_up = "the time is over" if lines.ended == "time" else f"none of the last {BARREN:,} was wanted"
    raise UserError(f"{took}: {gave_up}. Ask for fewer, raise --temperature, or leave out a restriction.")


def show(prompt: str, samples: "Samples") -> None:
    """Samples one after another, each after its prompt: one as it grows, those behind it when it has ended."""
    waiting = ["" for _ in samples.ended]
    current = 0
    pieces = iter(samples)
    first = next(pieces, None)  # before the prompt is shown: compiling is announced on a line of its own
    with text_on_its_way():
        _show_text(prompt)
        for i, piece in [] if first is None else chain([first], pieces):
            if i == current:
                _show_text(piece)
            else:
                waiting[i] += piece
            while samples.ended[current] and current + 1 < len(waiting):
                current += 1
                _show_text(BETWEEN_SAMPLES + prompt + waiting[current])
        for text in waiting[current + 1 :]:
            _show_text(BETWEEN_SAMPLES + prompt + text)


def _show_text(text: str) -> None:
    """Exactly, but on a terminal what that would obey is spelled out."""
    to_stdout(terminal_safe(text, one_line=False))
