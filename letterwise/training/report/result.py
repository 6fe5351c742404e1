"""Result: what a run has reached so far, in figures, in a page, and in words.

Run ──▶ TrainResult · report.html · whether more minutes would help
"""

import itertools
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from letterwise.config.accounting import parameters
from letterwise.data.token_stream import TokenStream
from letterwise.progress import duration_text
from letterwise.training.report.page import write_report
from letterwise.training.run import Run
from letterwise.units import bits

MIN_STEPS = 20  # after fewer, a flat curve may only be the warm-up
FALLING_BITS = 0.005  # less than this from one validation to the next is no longer progress


@dataclass(frozen=True)
class TrainResult:
    """What a run has reached. Validations are None when the text has no validation part.

    `baselines` are bits per character, over the same characters as the validations: `val_chars_scored` of `val_chars`. Where
    that is not all, the best validation is an estimate, and the figure for all lies in its interval with a probability of 95 %.
    `old_bits_per_char` is for a run that started from a model: bits per character of that model's own validation text, before
    and after; None where that text is gone, or there was no such model.
    """

    model_path: str
    run_dir: str
    iters: int
    chars_seen: int
    train_seconds: float
    best_val_nats_per_char: float | None
    best_val_bits_per_char: float | None
    val_nats_per_char: float | None
    val_chars: int
    val_chars_scored: int
    best_val_bits_interval: tuple[float, float] | None
    baselines: dict[str, float]
    old_bits_per_char: tuple[float, float] | None
    params: int
    vocab_size: int
    lines: bool
    opening: str
    sample: str
    advice: str

    def to_json(self) -> dict[str, Any]:
        """Plain containers."""
        return asdict(self)


def result(run: Run) -> TrainResult:
    """Of the run so far."""
    best, last = run.best, run.rows[-1]
    assert best is not None
    nats = best["val_nats_per_char"]
    return TrainResult(
        model_path=str(run.directory.model_path),
        run_dir=str(run.directory.path),
        iters=run.step,
        chars_seen=run.chars_seen,
        train_seconds=round(run.seconds, 3),
        best_val_nats_per_char=nats,
        best_val_bits_per_char=None if nats is None else bits(nats),
        val_nats_per_char=last["val_nats_per_char"],
        val_chars=max(0, len(run.stream.part("val")) - 1),
        val_chars_scored=best.get("val_chars", 0),
        best_val_bits_interval=estimated(run, best),
        baselines=run.baselines,
        old_bits_per_char=old_bits(run, best),
        params=parameters(run.config.model, len(run.stream.vocabulary)).total,
        vocab_size=len(run.stream.vocabulary),
        lines=run.stream.lines,
        opening=opening(run.stream),
        sample=best["sample"],
        advice=advice(run.rows),
    )


def old_bits(run: Run, row: dict[str, Any]) -> tuple[float, float] | None:
    """Bits per character of the base model's own text: by that model as it was, and by the run's at a validation."""
    before = run.finetuning.old_nats_before if run.finetuning else None
    after = row.get("old_val_nats_per_char")
    return None if before is None or after is None else (bits(before), bits(after))


def forgetting_words(result: TrainResult) -> str:
    """How well the base model's own text is still known; "" where that was not measured."""
    if result.old_bits_per_char is None:
        return ""
    before, after = result.old_bits_per_char
    return f"the base model's own text: {before:.4f} bits per character before, {after:.4f} now"


def estimated(run: Run, row: dict[str, Any]) -> tuple[float, float] | None:
    """The interval of a validation that did not score all, in bits; None where it did."""
    low, high = row.get("val_nats_low"), row.get("val_nats_high")
    return None if run.every <= 1 or low is None or high is None else (bits(low), bits(high))


def estimate_words(result: TrainResult) -> str:
    """How far a figure can be trusted that comes from a part of the validation text; "" for one that comes from all of it."""
    if result.best_val_bits_interval is None:
        return ""
    low, high = result.best_val_bits_interval
    return f"estimated from {result.val_chars_scored:,} of {result.val_chars:,} characters: {low:.4f} to {high:.4f} with 95 %"


def write_page(run: Run) -> None:
    """The report of the run as it stands."""
    title, page = run.directory.path.name, run.directory.report
    write_report(page, title=title, facts=report_facts(run, result(run)), rows=run.metrics, baseline_bits=run.baselines)


def report_facts(run: Run, result: TrainResult) -> dict[str, str]:
    """The report's table."""
    val = "no validation part"
    if result.best_val_bits_per_char is not None:
        val = f"{result.best_val_bits_per_char:.4f} bits = {result.best_val_nats_per_char:.4f} nats per character"
        val += f" ({estimate_words(result)})" if estimate_words(result) else ""
    return {
        "text": ", ".join(Path(name).name or name for name in run.stream.sources),
        "characters": f"{len(run.stream.part('all')):,}, {result.vocab_size} different",
        "model": f"{run.config.preset} {run.config.size}, {result.params:,} parameters",
        "best validation": val,
        **{name: f"{value:.4f} bits per character" for name, value in result.baselines.items()},
        **({"forgetting": forgetting_words(result)} if forgetting_words(result) else {}),
        "trained for": f"{result.iters:,} steps, {result.chars_seen:,} characters, {duration_text(result.train_seconds)}",
        "longer training": result.advice,
        "hardware": str(run.runtime),
        "model file": _place(run.directory.relative_model_path),
    }


def _place(relative: str) -> str:
    """Where the model file is, seen from the run; of one far away only the name, as a page may be shown to others."""
    return Path(relative).name if len(Path(relative).parts) > 2 else relative


def advice(rows: list[dict[str, Any]]) -> str:
    """Whether longer training would help, by the curve of validations."""
    measured = [(row["seconds"], row["val_nats_per_char"]) for row in rows if row["val_nats_per_char"] is not None]
    if rows and not rows[-1]["step"]:
        return "No training step was taken."
    if rows and rows[-1]["step"] < MIN_STEPS:
        return f"Too few steps ({rows[-1]['step']:,}) to say whether longer training helps."
    if len(measured) < 3:
        return "Too few validations to say whether longer training helps."
    best = int(np.argmin([nats for _, nats in measured]))
    if best < len(measured) - 1:
        after = duration_text(measured[best][0])
        return f"Longer training would not help this size: it was best after {after} and then began to overfit."
    gained = bits(measured[-2][1] - measured[-1][1])
    if gained < FALLING_BITS:
        return f"Longer training would hardly help this size: the last validation gained {gained:.3f} bits per character."
    return f"Longer training would help: the last validation still gained {gained:.3f} bits per character."


def opening(stream: TokenStream) -> str:
    """The first words of the text, to be typed: a seed that the model is sure to know."""
    line = stream.vocabulary.decode(stream.ids[:200]).strip()
    return " ".join("".join(itertools.takewhile(str.isprintable, line)).split()[:2])[:24]
