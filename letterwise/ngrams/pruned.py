"""Pruned: counts of which rare n-grams were left out, with all that is still known of them.

Counts of what is kept, what was counted in each context, how many n-grams counted 1, 2, 3, 4 ──▶ the same distributions,
but that the share of an n-gram that was left out goes to the shorter ones, as what discounts take does
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from letterwise.ngrams.backoff import BackoffModel, discount, smooth
from letterwise.ngrams.kneser_ney import Counts


@dataclass(frozen=True)
class PrunedCounts(Counts):
    """Counts with rare n-grams left out. What was counted before that, of each level: `totals`, in each of its contexts (R,),
    and `counts_of_counts`, how many n-grams counted 1, 2, 3 and 4 times (4,).
    """

    totals: list[np.ndarray]
    counts_of_counts: list[np.ndarray]

    @cached_property
    def smoothed(self) -> BackoffModel:
        """The smoothed distributions."""
        levels = []
        for level, lower, totals, n in zip(self.levels, self.suffixes, self.totals, self.counts_of_counts, strict=True):
            discounts = np.broadcast_to(discount(n), (level.rows, 4))
            levels.append(smooth(lower, level.starts, level.characters, level.counts, discounts, totals))
        return BackoffModel(levels, self.vocab_size)
