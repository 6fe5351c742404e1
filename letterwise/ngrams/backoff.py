"""Back-off: distributions that fall back on shorter contexts, held sparsely.

    p(c | row) = weight of c in the row + backoff of the row · p(c | the row's place one rung lower)
    at the bottom                                              1/V for every character

A row names only the characters that occurred in it, so a vocabulary of tens of thousands costs what its text costs.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from letterwise.ngrams.trie import expand

DENSE_NUMBERS = 2**22  # rungs are also kept written out as long as together they are no larger than this


@dataclass(frozen=True)
class Rung:
    """R distributions over contexts of one length: `lower`, `backoff` (R,); `starts` (R+1,); `characters`, `weights` (E,)."""

    lower: np.ndarray
    backoff: np.ndarray
    starts: np.ndarray
    characters: np.ndarray
    weights: np.ndarray


class Ladder:
    """Rungs 0, 1, … for contexts of 0, 1, … characters."""

    def __init__(self, rungs: list[Rung], vocab_size: int) -> None:
        self.rungs, self.vocab_size = rungs, vocab_size

    @cached_property
    def dense(self) -> list[np.ndarray]:
        """The first rungs written out, (R, V) each: for `distributions`, where many are asked for at once."""
        written: list[np.ndarray] = []
        below, room = np.full((1, self.vocab_size), 1 / self.vocab_size, np.float32), DENSE_NUMBERS
        for rung in self.rungs:
            room -= len(rung.backoff) * self.vocab_size
            if written and room < 0:
                break
            below = self._mix(below[rung.lower], rung, np.arange(len(rung.backoff)))
            written.append(below)
        return written

    def distributions(self, chain: list[np.ndarray], orders: int = 1) -> np.ndarray:
        """What each of the last K = `orders` rungs says: probabilities (n, K, V+1), float32.

        The first V are of the characters; the last is the escape: how much of them was left to the rungs below.
        `chain[j]` (n,) is a place's row on rung j, -1 if it has none: there the rung says what the one below says.
        """
        told, silent = self.dense[0][chain[0]], len(self.rungs) - orders
        each = np.ones((len(told), orders, self.vocab_size + 1), np.float32)
        for j, rung in enumerate(self.rungs):
            there = (chain[j] >= 0).nonzero()[0]
            rows = chain[j][there]
            if j:
                told[there] = self.dense[j][rows] if j < len(self.dense) else self._mix(told[there], rung, rows)
            if j >= silent:
                each[:, j - silent, :-1] = told
                each[there, j - silent, -1] = rung.backoff[rows]
        return each

    def _mix(self, below: np.ndarray, rung: Rung, rows: np.ndarray) -> np.ndarray:
        mixed = below * rung.backoff[rows, None]
        which, entries = expand(rung.starts, rows)
        mixed.reshape(-1)[which * self.vocab_size + rung.characters[entries]] += rung.weights[entries]
        return mixed
