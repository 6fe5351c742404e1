"""Validation: how good is the model now? Measured on text that it does not learn from; the best model so far is kept.

Run, validation part ──▶ a row (loss, interval, rate, speed, a sample of what it writes) ──▶ run.rows, run.best_weights
Run, a subset of it   ──▶ a row (loss) ──▶ run.record: a point of the curve, which decides nothing
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from letterwise.compiling.clock import clock
from letterwise.data.vocabulary import Vocabulary
from letterwise.evaluation.evaluate import Score, evaluate
from letterwise.inference.backend import Backend, Draw
from letterwise.inference.constraints.limits import Limits
from letterwise.inference.generate import generate
from letterwise.inference.sampling.sampler import Sampler
from letterwise.inference.torch_backend import TorchBackend, TorchCache
from letterwise.progress import Note, Progress
from letterwise.runtime.process import one_thread
from letterwise.shapes import Bool, Float, Int
from letterwise.training.metrics.rows import SUBSET
from letterwise.training.run import Run, TrainingDiverged

SAMPLE_CHARS = 120  # written by the model itself, a millisecond each
PROBE_CHARS, PROBE_SCORES = 2**13, 2**23  # scored once to know how long a validation takes: characters, and logits
VALIDATION_SHARE = 0.03  # of a run's minutes, each time
LONG_VALIDATION_S = 60
MIN_SUBSET_CHARS = 2**11  # to validate on, between validations
MANY_CHARS = 2**21  # to validate on: enough to know the mean within some thousandths of a nat


def validate(run: Run, progress: Progress, between: Callable[[], None]) -> None:
    """Measure on the validation part, keep the model if it is the best so far, write a sample.

    `between` is called now and then, and may raise to give up: then nothing has changed. Raises `TrainingDiverged` where
    the loss is NaN or infinite.
    """
    train_nats = run.mean_nats()
    score, old, written = run.calling_model(lambda: looked_at(run, progress.note, between))
    nats = score.nats_per_char if score else None
    if score:
        run.compare(between)
    best, rate = run.best, run.learning_rate_factor(run.step - 1) if run.step else 0.0
    best_nats = best["val_nats_per_char"] if best else None
    row = {
        "step": run.step,
        "chars": run.chars_seen,
        "seconds": round(run.seconds, 3),
        "learning_rate": rate * run.config.training.learning_rate,
        "train_nats_per_char": train_nats,
        "val_nats_per_char": nats,
        "val_chars": score.chars if score else 0,
        "val_nats_low": score.interval_nats[0] if score and score.interval_nats else None,
        "val_nats_high": score.interval_nats[1] if score and score.interval_nats else None,
        "chars_per_second": round(run.meter.chars_per_second()),
        "best": nats is None or best_nats is None or nats < best_nats,
    }
    if old is not None:
        row["old_val_nats_per_char"] = old
    row["sample"] = written
    progress.held_out(row)
    run.rows.append(row)
    if row["best"]:
        run.keep_best()


def looked_at(run: Run, note: Note, between: Callable[[], None]) -> tuple[Score | None, float | None, str]:
    """The model on the validation part, on that of the model it was started from, and what it writes.

    Where weights are in shares, all processes do all of it together. `between` and what is raised are as those of `validate`.
    """
    held_out, score, old = run.stream.part("val"), None, None
    if len(held_out) >= 2:
        run.every = run.every or window_stride(run, held_out, note, between)
        began = clock()
        score = scored(run, held_out, every=run.every, between=between)
        run.scoring_s = run.world.told((clock() - began) * run.every)
        if not math.isfinite(score.nats_per_char):
            raise TrainingDiverged(f"the validation loss became {score.nats_per_char} by step {run.step}")
    if run.finetuning:
        old = run.finetuning.old_nats(run.text_model, between, run.world)
    return score, old, sample(run, between) if run.world.first or run.in_shares else ""


def validate_subset(run: Run, note: Note, between: Callable[[], None]) -> None:
    """Measure on a subset of what validations score, always the same, and write that down. Neither best nor patience heeds it.

    `between` and what is raised are as those of `validate`.
    """
    held_out, began = run.stream.part("val"), clock()

    def subset_scored() -> Score:
        nonlocal began
        run.subset_every = run.subset_every or subset_stride(run, held_out, note, between)
        began = clock()
        return scored(run, held_out, every=run.subset_every, between=between)

    score = run.calling_model(subset_scored)
    if not math.isfinite(score.nats_per_char):
        raise TrainingDiverged(f"the validation loss became {score.nats_per_char} by step {run.step}")
    row = {"kind": SUBSET, "step": run.step, "chars": run.chars_seen, "seconds": round(run.seconds, 3)}
    run.record.rows.append({**row, "val_nats_per_char": score.nats_per_char, "val_chars": score.chars})
    run.subset_took_s = run.world.told(clock() - began)


def window_stride(run: Run, held_out: np.ndarray, note: Note, between: Callable[[], None]) -> int:
    """Validate on every n-th window: all of them, unless `eval_chars`, a run's minutes or a very long text ask for fewer.

    In a run of steps that does not depend on how fast the machine is.
    """
    training, chars = run.config.training, len(held_out)
    if training.eval_chars:
        return math.ceil(chars / training.eval_chars)
    if chars > MANY_CHARS and not training.minutes:
        stride = math.ceil(chars / MANY_CHARS)
        note(f"Validating on every {nth(stride)} window, as {chars:,} characters would take long; change with --eval_chars.")
        return stride
    seconds = run.scoring_s = scoring_time(run, held_out, between)
    if training.minutes and seconds > VALIDATION_SHARE * training.minutes * 60:
        stride = math.ceil(seconds / (VALIDATION_SHARE * training.minutes * 60))
        note(f"Validating on every {nth(stride)} window to save time; change with --eval_chars.")
        return stride
    if seconds > LONG_VALIDATION_S:
        note(f"a validation of {chars:,} characters takes about {seconds:.0f} s: --eval_chars makes it shorter.")
    return 1


def scoring_time(run: Run, held_out: np.ndarray, between: Callable[[], None]) -> float:
    """About how many seconds it takes to score all of it, by the beginning."""
    probe = held_out[: min(PROBE_CHARS, max(run.config.model.block_size + 1, PROBE_SCORES // len(run.stream.vocabulary)))]
    began = clock()
    scored(run, probe, between=between)
    return run.world.told((clock() - began) * len(held_out) / len(probe))


def subset_stride(run: Run, held_out: np.ndarray, note: Note, between: Callable[[], None]) -> int:
    """On a subset, score every n-th window: of those that validations score, as many as there is time for."""
    run.every = run.every or window_stride(run, held_out, note, between)
    run.scoring_s = run.scoring_s or scoring_time(run, held_out, between)
    chars = len(held_out) / run.every
    fewer = min(run.scoring_s / run.every / max(1e-9, run.budget.subset_s), chars / MIN_SUBSET_CHARS)
    return run.every * max(1, math.ceil(fewer))


def scored(run: Run, held_out: np.ndarray, **options: Any) -> Score:
    """By `evaluate` and its options: several processes score some windows each, and all know the same figure."""
    return evaluate(run.text_model, held_out, world=run.world, **options)


def sample(run: Run, between: Callable[[], None]) -> str:
    """What the model writes now, from nothing."""
    run.model.eval()
    model = SharedBackend(run) if run.in_shares else TorchBackend(run.model, run.counts, run.stream.line_break)
    try:
        return sample_of(model, run.stream.vocabulary, between)
    finally:
        run.model.train()


def sample_of(model: Backend, vocabulary: Vocabulary, between: Callable[[], None]) -> str:
    """What a model writes from nothing, on one thread: two would wait for each other beside other programs."""
    sampler, limits = Sampler(temperature=0.8), Limits(num_tokens=SAMPLE_CHARS)
    pieces = []
    with one_thread():
        for _, piece in generate(model, vocabulary, "", sampler=sampler, limits=limits):
            pieces.append(piece)
            between()
    return "".join(pieces)


class SharedBackend(TorchBackend):
    """A model whose weights are in shares: all processes compute, and write what the first one draws."""

    def __init__(self, run: Run) -> None:
        super().__init__(run.model, run.counts, run.stream.line_break)
        self.world = run.world

    def cache(self, rows: int) -> TorchCache:
        """Room for so many texts."""
        return SharedCache(self, rows)


class SharedCache(TorchCache):
    """What such a model keeps of the texts in some rows."""

    backend: SharedBackend

    def draw(
        self, draws: Sequence[Draw], logits: Float[np.ndarray, "n V"], unread: bool
    ) -> tuple[Int[np.ndarray, "R 1"], Bool[np.ndarray, "R 1"]]:
        """The first process's draws: others would wait for ever if one ended its text earlier."""
        return self.backend.world.told(super().draw(draws, logits, unread))


def nth(n: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th, 21st"""
    ending = "th" if 10 <= n % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{ending}"
