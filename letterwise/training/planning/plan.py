"""Plan: the best use of the minutes given, for this text on this machine.

    minutes, text's size, measured speed ──▶ Plan(values for knobs, reasons in words)

A plan chooses only what was not asked for by name. Its constants were measured (docs/log.md): beside counts, a larger model is
worth its time once it trains on about two characters for each of its weights, and dropout pays from the third epoch on.
"""

import statistics
import time
from collections.abc import Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from letterwise.config import Config
from letterwise.config.accounting import flops_per_char, parameters
from letterwise.config.presets import SIZES
from letterwise.loss import cross_entropy
from letterwise.model import build, initialize
from letterwise.ngrams.passage_fit import IN_MEMORY
from letterwise.runtime.device import Runtime
from letterwise.training.optimizers.optimizer import build_optimizers

# What a run may be, smallest first; all but the largest learn from 2048 characters in a step.
SHAPES: list[dict[str, int]] = [
    dict(n_layer=2, n_head=2, n_embd=64, block_size=64, batch_size=32),
    dict(n_layer=4, n_head=4, n_embd=128, block_size=128, batch_size=16),
    dict(n_layer=5, n_head=6, n_embd=192, block_size=256, batch_size=8),
    dict(n_layer=6, n_head=8, n_embd=256, block_size=256, batch_size=8),
    dict(n_layer=6, n_head=6, n_embd=384, block_size=256, batch_size=16),
    dict(n_layer=12, n_head=12, n_embd=768, block_size=512, batch_size=16),
]
WIDTH_KNOBS = {"n_embd", "n_head", "n_kv_head"}  # only fit each other: whoever asks for one settles all
MIN_CHARS_PER_WEIGHT = 2  # of training, within the minutes, for each weight of a shape's blocks
MAX_WEIGHTS_PER_CHAR = 8  # … and the text is not too short for it
BACKWARD = 3  # a training step costs three forward passes; with activation checkpointing, four
OVERHEAD_S = 6.0  # of a run: start, counting, validations
COUNTED_PER_SECOND = 250_000  # characters, by cross-fitting, contexts included, on the slowest machine measured
ON_DISK_PER_SECOND = 200_000  # the same, of texts too long to be counted in memory
COUNTING_SHARE = 0.25  # of the minutes
SMALL, LARGE = 2**20, 2  # with more weights, a reading of the text asks for as much dropout as so many readings
EPOCHS_WITHOUT_COUNTS = 10  # epochs of a model without counts that need as much dropout as one of a model with them
MAX_EPOCHS = 20  # a run of more epochs learns more slowly, or it would overfit
MIN_RATE = 0.02  # of the usual learning rate
LINES_WITHIN, CONTEXT_STEP = 0.999, 16  # this share of lines fits into the context, which is a multiple of the step
MAX_LINE_CONTEXT = 256  # characters: a longer context only where the shape has it anyway
PROBE_STEPS = 6  # the first warms up, and single ones may be disturbed: so the median of the others is taken
MIN_PROBE_STEPS, PROBE_S = 2, 0.8  # where they are slow, because other programs run, fewer must do


@dataclass(frozen=True)
class Plan:
    """Knobs for a run, and why: `lines` are for a person. `epochs`: how often it reads the text; 0 where that is not known."""

    values: dict[str, Any]
    lines: list[str]
    epochs: float = 0.0


def make_plan(
    config: Config, asked: Set[str], *, chars: int, vocab_size: int, runtime: Runtime, context: int | None = None
) -> Plan:
    """What to train in `config.training.minutes` on `chars` characters. `asked` names knobs that are settled already.

    `context` is that of `context_for`, for lines.
    """
    flops = measured_flops(config, vocab_size, runtime)
    return choose(config, asked, chars=chars, vocab_size=vocab_size, flops=flops, context=context)


def context_for(ids: np.ndarray, line_break: int) -> int:
    """A context for the lines of `ids` (N,): nearly all of them fit."""
    breaks = np.flatnonzero(ids == line_break)
    longest = float(np.quantile(np.diff(breaks), LINES_WITHIN)) if len(breaks) > 1 else len(ids)
    return max(1, -(-int(longest) // CONTEXT_STEP) * CONTEXT_STEP)


def choose(config: Config, asked: Set[str], *, chars: int, vocab_size: int, flops: float, context: int | None = None) -> Plan:
    """The plan for a machine that does `flops` floating-point operations a second in training."""
    seconds = max(0.5 * config.training.minutes * 60, config.training.minutes * 60 - OVERHEAD_S)
    settled = asked | (set(SIZES["nano"]) if "size" in asked else set()) | (WIDTH_KNOBS if WIDTH_KNOBS & asked else set())

    def with_shape(shape: dict[str, int]) -> tuple[Config, float]:
        shaped = config.with_values({name: value for name, value in shape.items() if name not in settled})
        return shaped, seconds * flops / passes(config) / flops_per_char(shaped.model, vocab_size)

    shapes = SHAPES if context is None else [for_lines(shape, context) for shape in SHAPES]
    fitting = [shape for shape in shapes if shape["block_size"] * 4 < chars] or shapes[:1]
    best = fitting[0]
    for shape in fitting:
        shaped, seen = with_shape(shape)
        weights = inner_weights(shaped, vocab_size)
        if MIN_CHARS_PER_WEIGHT * weights <= seen and weights <= MAX_WEIGHTS_PER_CHAR * chars:
            best = shape
    shaped, seen = with_shape(best)
    writes = config.training.teacher_writes
    epochs = seen / (config.training.written_chars if writes else chars)
    values: dict[str, Any] = {**best, "block_size": min(best["block_size"], max(1, chars // 4))}
    readings = epochs * (LARGE if inner_weights(shaped, vocab_size) > SMALL else 1)
    values["dropout"] = dropout(readings if config.model.counts_order else readings / EPOCHS_WITHOUT_COUNTS)
    if writes:
        values["dropout"] = 0.0  # as much text as is wanted, and all that a teacher says of it
    if config.training.logit_shrinkage:
        values["logit_shrinkage"] = shrinkage(epochs, beside_counts=config.model.counts_order > 0)
    if config.training.optimizer == "muon" and epochs > MAX_EPOCHS:
        slower = max(MIN_RATE, MAX_EPOCHS / epochs)
        values["min_lr"] = config.training.min_lr * slower
        floor = config.training.min_lr if "min_lr" in settled else 0.0
        values["learning_rate"] = max(floor, config.training.learning_rate * slower)
        values["matrix_learning_rate"] = config.training.matrix_learning_rate * slower
    values["counts_chars"] = min(config.training.counts_chars, chars_counted_in(COUNTING_SHARE * seconds))
    values = {name: value for name, value in values.items() if name not in settled}
    model = config.with_values(values).model
    lines = [
        f"plan for {round(config.training.minutes, 2):g} minutes: "
        f"{model.n_layer} layers, width {model.n_embd}, context {model.block_size}; "
        f"about {seen:,.0f} characters of training at {flops / 1e9:,.0f} GFLOP/s measured here, "
        f"{times_text(epochs)} {'what the teacher writes' if writes else 'the text'}; dropout {model.dropout:g}."
    ]
    if config.model.counts_order and values.get("counts_chars", chars) < chars:
        lines.append(
            f"counting takes the last {values['counts_chars']:,} characters: more would leave too little time to train."
        )
    return Plan(values, lines, epochs)


def inner_weights(config: Config, vocab_size: int) -> int:
    """How many weights the blocks of its model have."""
    inner = parameters(config.model, vocab_size)
    return inner.attention + inner.feedforward


def times_text(epochs: float) -> str:
    """How often a text is read: "0.55 times", "12 times", "1,200 times"."""
    return f"{epochs:.2g} times" if epochs < 100 else f"{epochs:,.0f} times"


def chars_counted_in(seconds: float) -> int:
    """How many characters can be counted in that time."""
    return int(max(min(COUNTED_PER_SECOND * seconds, IN_MEMORY), ON_DISK_PER_SECOND * seconds))


def counting(config: Config, chars: int) -> str:
    """What is announced; of a long text, with what it takes."""
    counted = min(config.training.counts_chars, chars)
    if counted <= IN_MEMORY or not config.model.counts_order:
        return "counting n-grams"
    minutes = counted / ON_DISK_PER_SECOND / 60
    return f"counting n-grams of {counted:,} characters, which may take {minutes:.0f} minutes (fewer: --counts_chars)"


def for_lines(shape: dict[str, int], context: int) -> dict[str, int]:
    """A shape with a context for lines, and about the same number of characters in a step."""
    chars, block_size = shape["block_size"] * shape["batch_size"], min(context, max(shape["block_size"], MAX_LINE_CONTEXT))
    return {**shape, "block_size": block_size, "batch_size": max(1, round(chars / block_size))}


def dropout(epochs: float) -> float:
    """More, the more often the text is read."""
    return next((rate for below, rate in ((2, 0.0), (7, 0.05), (10, 0.1)) if epochs < below), 0.2)


def shrinkage(epochs: float, *, beside_counts: bool) -> float:
    """How much smaller logits should be than the training text asks for (docs/log.md)."""
    if epochs < 1:
        return 0.03
    return 0.07 if beside_counts else 0.12


def passes(config: Config) -> int:
    """How many forward passes a step of training costs."""
    return BACKWARD + config.runtime.activation_checkpointing


def measured_flops(config: Config, vocab_size: int, runtime: Runtime) -> float:
    """Floating-point operations a second in steps of training, measured with a small model on random characters."""
    probe = config.with_values({**SHAPES[1], "dropout": 0.0})
    model = initialize(build(probe.model, vocab_size), 0).to(runtime.device)
    optimizers = build_optimizers(model, probe.training, dtype=runtime.dtype)
    shape = (probe.training.batch_size, probe.model.block_size)
    tokens = torch.randint(vocab_size, shape, device=runtime.device)
    log_prior = torch.zeros(*shape, model.prior.orders, vocab_size + 1, device=runtime.device) if model.prior else None
    seconds: list[float] = []
    while len(seconds) < PROBE_STEPS and (len(seconds) < MIN_PROBE_STEPS or sum(seconds) < PROBE_S):
        began = time.monotonic()
        with runtime.autocast():
            nats = cross_entropy(model(tokens, log_prior=log_prior), tokens)
        nats.backward()
        optimizers.step()
        nats.item()
        seconds.append(time.monotonic() - began)
    return BACKWARD * flops_per_char(probe.model, vocab_size) * tokens.numel() / statistics.median(seconds[1:])
