"""Rank: which lines are odd, and how odd, beside ordinary lines that the model did not learn from.

    held-out Lines ──▶ Calibration ──p-value──▶ a Line's place among ordinary lines of its length

The p-value is conformal (Vovk, Gammerman & Shafer 2005, §2.2): the share of ordinary lines, this one among them, that surprise
the model at least as much per character. If lines are alike, no more than a share p of ordinary ones has a p-value of p or
less. A short line's mean varies more than a long one's, so a line is held against the held-out lines nearest to it in length.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from letterwise.errors import UserError
from letterwise.evaluation.score import Line

NEIGHBOURS = 1000  # held-out lines that a line is held against
FEWEST = 20


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
        seen = sorted(((line.predicted, line.bits_per_char) for line in held_out if told(line)), key=lambda each: each[0])
        if len(seen) < FEWEST:
            raise UserError(
                f"{len(seen)} held-out lines are too few to rank by, it takes {FEWEST}: name ordinary text with --calibrate."
            )
        self.lengths, self.costs = np.array(seen).T

    def rank(self, line: Line) -> Ranked:
        """Where a line stands among its neighbours in length."""
        count = len(self.lengths)
        width = min(count, NEIGHBOURS)
        middle = sum(int(np.searchsorted(self.lengths, line.predicted, side)) for side in ("left", "right")) // 2
        first = min(max(0, middle - width // 2), count - width)
        costs = self.costs[first : first + width]
        at_least = int((costs >= line.bits_per_char).sum())
        spread = max(float(costs.std()), 1e-9)
        return Ranked(line, (1 + at_least) / (1 + width), (line.bits_per_char - float(costs.mean())) / spread)


def rank(lines: Iterable[Line], calibration: Calibration, top: int = 0) -> list[Ranked]:
    """All lines but empty ones, or the `top` oddest, the least ordinary first: by p-value, then by deviations."""
    odd: list[Ranked] = []
    keep = top or math.inf
    for line in lines:
        if told(line):
            odd.append(calibration.rank(line))
        if len(odd) > 2 * keep + 1000:
            odd = sorted(odd, key=_order)[:top]
    return sorted(odd, key=_order)[: top or None]


def told(line: Line) -> bool:
    """Is there anything in it to be surprised by?"""
    return bool(line.text.strip("\r\n")) and line.predicted > 0


def _order(ranked: Ranked) -> tuple[float, float]:
    return ranked.p_value, -ranked.deviations
