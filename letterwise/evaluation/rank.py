"""Rank: which lines are odd, and how odd, beside ordinary lines that the model did not learn from.

    held-out Lines ──▶ Calibration ──p-value──▶ a Line's place among ordinary lines of its length

The p-value is conformal (Vovk, Gammerman & Shafer 2005, §2.2): the share of ordinary lines, this one among them, that surprise
the model at least as much per character. If lines are alike, no more than a share p of ordinary ones has a p-value of p or
less. A short line's mean varies more than a long one's, so a line is held against the held-out lines nearest to it in length.
"""

import bisect
import functools
import heapq
import itertools
import json
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import IO

import numpy as np

from letterwise.errors import UserError
from letterwise.evaluation.score import Line, bits_only

NEIGHBOURS = 1000  # held-out lines that a line is held against
MIN_LINES = 20
MAX_HELD_OUT_CHARS = 2**16  # characters of the model's own held-out text to compare with: p-values have no use for more
RUN = 2**16  # lines that are sorted in memory
LENGTHS = 2**8  # of lines, whose neighbours are kept in memory
NO_CHARACTERS = bits_only(np.zeros(0, np.int64), np.zeros(0))


@dataclass(frozen=True)
class Ranked:
    """A line, how likely an ordinary line of its length is as surprising, and how far it stands from them in deviations."""

    line: Line
    p_value: float
    deviations: float


class Calibration:
    """What ordinary lines cost: lengths and bits per character, the shorter lines first."""

    def __init__(self, held_out: Iterable[Line]) -> None:
        """Raises `UserError` when there are too few lines to compare with."""
        seen = sorted(((line.predicted, line.bits_per_char) for line in held_out if has_text(line)), key=lambda each: each[0])
        if len(seen) < MIN_LINES:
            raise UserError(
                f"{len(seen)} held-out lines are too few to rank by, it takes {MIN_LINES}: name ordinary text with --calibrate."
            )
        self.lengths, self.costs = np.array(seen).T
        self.neighbours = functools.lru_cache(LENGTHS)(self._neighbours)

    def rank(self, line: Line) -> Ranked:
        """Where a line stands among its neighbours in length."""
        ascending, mean, deviation = self.neighbours(line.predicted)
        at_least = len(ascending) - bisect.bisect_left(ascending, line.bits_per_char)
        return Ranked(line, (1 + at_least) / (1 + len(ascending)), (line.bits_per_char - mean) / max(deviation, 1e-9))

    def _neighbours(self, length: int) -> tuple[list[float], float, float]:
        """What the lines nearest to a length cost, the cheapest first; their mean and standard deviation."""
        width = min(len(self.lengths), NEIGHBOURS)
        middle = sum(int(np.searchsorted(self.lengths, length, side)) for side in ("left", "right")) // 2
        first = min(max(0, middle - width // 2), len(self.lengths) - width)
        costs = self.costs[first : first + width]
        return sorted(costs.tolist()), float(costs.mean()), float(costs.std())


def rank(lines: Iterable[Line], calibration: Calibration, top: int = 0) -> Iterator[Ranked]:
    """All lines but empty ones, or the `top` oddest, the least ordinary first: by p-value, then by deviations.

    Lines come without their characters. All of them, where they are many, are sorted in a temporary file. Raises `UserError`
    when that has no room.
    """
    odd = (calibration.rank(replace(line, characters=NO_CHARACTERS)) for line in lines if has_text(line))
    if top:
        kept: list[Ranked] = []
        for some in batched(odd, top + RUN):
            kept = sorted([*kept, *some], key=_order)[:top]
        yield from kept
        return
    runs = (sorted(some, key=_order) for some in batched(odd, RUN))
    first = next(runs, [])
    if len(first) < RUN:
        yield from first
        return
    try:
        with tempfile.TemporaryFile() as file:
            kept_runs = [_write(file, run) for run in itertools.chain([first], runs)]
            yield from heapq.merge(*(_read(file, *run) for run in kept_runs), key=_order)
    except OSError as error:
        raise UserError(
            f"sorting the lines takes room in {tempfile.gettempdir()!r}, and there is a problem: {error.strerror}. "
            "Set TMPDIR to a folder with more room, or ask for the oddest ones only, with --top."
        ) from error


def batched(all: Iterator[Ranked], size: int) -> Iterator[list[Ranked]]:
    """So many at a time."""
    while some := list(itertools.islice(all, size)):
        yield some


def _write(file: IO[bytes], run: list[Ranked]) -> tuple[int, int]:
    """Put a run behind the others: where it begins, and ends."""
    start = file.tell()
    for ranked in run:
        line = ranked.line
        values = ranked.p_value, ranked.deviations, line.number, line.start, line.text, line.bits, line.predicted
        file.write(json.dumps(values).encode() + b"\n")
    return start, file.tell()


def _read(file: IO[bytes], start: int, end: int) -> Iterator[Ranked]:
    """A run that was put there; others are read in between."""
    while start < end:
        file.seek(start)
        p_value, deviations, *line = json.loads(file.readline())
        start = file.tell()
        yield Ranked(Line(*line, NO_CHARACTERS), p_value, deviations)


def has_text(line: Line) -> bool:
    """Is there a character in it, beside its line break, that was predicted?"""
    return bool(line.text.strip("\r\n")) and line.predicted > line.text.endswith("\n")


def _order(ranked: Ranked) -> tuple[float, float]:
    return ranked.p_value, -ranked.deviations
