"""Evaluate: mean surprise over a text, by a stated protocol, and how far it can be trusted.

ids ──passes──▶ nats of every target ──mean──▶ nats per character, with an interval
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from letterwise.checkpoint.text_model import TextModel
from letterwise.data.vocabulary import Tally, Vocabulary
from letterwise.distributed.world import ALONE, World
from letterwise.errors import finite
from letterwise.evaluation.baseline import utf8_bytes, xz_bits
from letterwise.evaluation.passes import passes
from letterwise.loss import total_nats
from letterwise.units import bits

GROUPS = 100  # runs of neighbouring windows whose means show how much the mean of all may be off
WIDTH = 1.96  # standard errors on each side hold 95 % of a normal distribution


@dataclass(frozen=True)
class Score:
    """A text's mean surprise under a model; and under its counts alone, where it has them.

    `interval_nats` holds the mean over all texts like this one with a probability of 95 %, as far as this one shows; None
    when it is too short for that. `tally`: what became of the text's characters, where unknown ones were to be skipped.
    """

    nats_per_char: float
    chars: int
    protocol: str
    context: int
    counting_nats_per_char: float | None = None
    xz_bits_per_char: float | None = None
    bytes: int | None = None  # how many the scored characters take in UTF-8
    interval_nats: tuple[float, float] | None = None
    tally: Tally | None = None

    @property
    def bits_per_char(self) -> float:
        """The same in bits."""
        return bits(self.nats_per_char)

    @property
    def bits_per_byte(self) -> float | None:
        """The same for each byte of the text, which other alphabets can be compared with."""
        return self.bits_per_char * self.chars / self.bytes if self.bytes else None

    @property
    def interval_bits(self) -> tuple[float, float] | None:
        """The interval in bits."""
        return self.interval_nats and (bits(self.interval_nats[0]), bits(self.interval_nats[1]))

    @property
    def counting_bits_per_char(self) -> float | None:
        """What counting alone reaches, in bits."""
        return None if self.counting_nats_per_char is None else bits(self.counting_nats_per_char)


def evaluate(
    model: TextModel,
    ids: np.ndarray,
    *,
    protocol: str = "blocks",
    every: int = 1,
    between: Callable[[], None] | None = None,
    world: World = ALONE,
) -> Score:
    """Score `ids` (N,), or each `every`-th window of them. For a model of lines, the first of `ids` is its line break.

    `between` is called after each batch and before each of its layers, by any thread, and may raise to give up. Leaves the
    model's mode and all randomness as they were. The processes of a `world` score some batches each, and all get the score,
    the same whatever their number.

    Raises `UserError` when there is nothing to predict, or the protocol is not known.
    """
    nats, counted = 0.0, 0.0
    windows: list[tuple[float, int]] = []  # nats and characters of each
    found: list[tuple[list[float], list[int], float]] = []
    for some in passes(model, ids, protocol=protocol, every=every, between=between, world=world):
        alone = some.counting_nats.double().sum().item() if some.counting_nats is not None else 0.0
        found.append((total_nats(some.nats, some.lengths), some.lengths, alone))
        if between:
            between()
    for each, lengths, alone in world.dealt(found):
        nats += sum(each)
        windows += zip(each, lengths, strict=True)
        counted += alone
    chars = sum(length for _, length in windows)
    alone = counted / chars if model.counts else None
    return Score(nats / chars, chars, protocol, model.block_size, alone, interval_nats=interval(windows))


def beside_baselines(score: Score, ids: np.ndarray, vocabulary: Vocabulary) -> Score:
    """The score of `ids` (N,), with the bytes of their text and what xz -9e makes of it. Raises `Diverged` when it is NaN."""
    finite(score.nats_per_char)
    return replace(score, bytes=utf8_bytes(ids[1:], vocabulary), xz_bits_per_char=xz_bits(ids, vocabulary))


def interval(windows: list[tuple[float, int]]) -> tuple[float, float] | None:
    """Where the mean may lie, in nats per character, from the sum and the length of each window, in the order of the text.

    Neighbouring windows are alike, so runs of them are taken for independent, at most 100 of equal length, and the spread of
    their means for that of a normal distribution (batch means: Law & Kelton, Simulation Modeling and Analysis, ch. 9).
    """
    if len(windows) < 2:
        return None
    runs = np.array_split(np.array(windows), min(GROUPS, len(windows)))
    sums, lengths = np.array([run.sum(0) for run in runs]).T
    mean = sums.sum() / lengths.sum()
    spread = math.sqrt(np.square(sums - mean * lengths).sum() / (len(runs) - 1) / len(runs)) / lengths.mean()
    return float(mean - WIDTH * spread), float(mean + WIDTH * spread)
