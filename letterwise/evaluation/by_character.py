"""By character: the scores of a text, one for each of its characters as it was given, to be shown upon it.

ids, scored closely ──places──▶ bits (N,) · ranks (N,) · alternatives, beside what counting alone would have paid

A character that is several bytes to a byte model costs what they cost together.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from letterwise.data.line_ends import split_lines
from letterwise.evaluation.score import OOV_BITS, Characters, joined
from letterwise.ngrams import Counts
from letterwise.units import bits


@dataclass(frozen=True)
class LineBits:
    """A line of a text, its end included.

    The `number` is from 1; the line begins at `start` and has so many `chars`, of which so many were `predicted`.
    """

    number: int
    start: int
    chars: int
    predicted: int
    bits: float


@dataclass(frozen=True)
class CharacterScores:
    """The scores of a text of N characters.

    Attributes:
        bits: (N,) what each costs; NaN for one that was not predicted, as a text's first.
        ranks: (N,) 1 for the likeliest of all; V + 1 for one that the vocabulary lacks; 0 where there is none.
        alternatives: for each, the likeliest characters with their probabilities; none where there is no rank.
        lines: the same, line by line.
        unknown: how many characters the vocabulary lacks.
        counting_bits: what all would cost by n-gram counts alone; None for a model without them.
    """

    bits: np.ndarray
    ranks: np.ndarray
    alternatives: list[list[tuple[str, float]]]
    lines: list[LineBits]
    unknown: int
    counting_bits: float | None

    @property
    def predicted(self) -> int:
        """How many of them were: all but the text's first, and what is part of a line break."""
        return sum(line.predicted for line in self.lines)

    @property
    def total_bits(self) -> float:
        """What they cost together."""
        return float(np.nansum(self.bits))


def by_character(
    text: str, where: np.ndarray, scored: Iterable[Characters], spell: Callable[[int], str], vocab_size: int
) -> CharacterScores:
    """The closely `scored` ids of a text, where each stands in it (see data/offsets.py), character by character."""
    all, length = joined(list(scored)), len(text)
    predicted, parts = all.ranks > 0, np.bincount(where, minlength=length)
    cost = np.bincount(where[predicted], all.bits[predicted], minlength=length)
    cost[np.bincount(where[predicted], minlength=length) == 0] = np.nan
    ranks, alternatives = np.zeros(length, np.int64), [list[tuple[str, float]]() for _ in range(length)]
    alone = parts[where] == 1
    ranks[where[alone]] = all.ranks[alone]
    known = np.flatnonzero(alone & predicted & (all.ids < vocab_size))
    for place, ids, chances in zip(
        where[known].tolist(), all.likeliest[known].tolist(), all.probabilities[known].tolist(), strict=True
    ):
        alternatives[place] = [(spell(id), p) for id, p in zip(ids, chances, strict=True)]
    return CharacterScores(cost, ranks, alternatives, lines_of(text, cost), int((all.ids >= vocab_size).sum()), None)


def lines_of(text: str, cost: np.ndarray) -> list[LineBits]:
    """What each line of a text costs, from what its characters do (N,)."""
    found, start = [], 0
    for number, line in enumerate(split_lines(text), 1):
        here = cost[start : start + len(line)]
        found.append(LineBits(number, start, len(line), int((~np.isnan(here)).sum()), float(np.nansum(here))))
        start += len(line)
    return found


def counting_bits(counts: Counts, ids: np.ndarray, line_break: int | None) -> float:
    """What `ids` (N,) cost by counts alone: those that the model predicts, and as much for those that nobody knows."""
    known = ids[ids < counts.vocab_size].astype(np.int64)
    if line_break is not None:
        known = np.concatenate(([line_break], known))
    nats = counts.nats_per_char(known) * (len(known) - 1) if len(known) > 1 else 0.0
    return bits(nats) + OOV_BITS * int((ids >= counts.vocab_size).sum())
