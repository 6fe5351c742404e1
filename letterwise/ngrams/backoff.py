"""Back-off: distributions that fall back on shorter contexts, held sparsely.

    p(c | context) = weight of c in the context's row + back-off of the row · p(c | the context without its first character)
    p(c | nothing) = weight of c + back-off · 1/V

A row names only the characters that occurred in it, so a vocabulary of tens of thousands costs what its text costs.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from letterwise.compiling.arithmetic import EXACT
from letterwise.compiling.entry import entry
from letterwise.ngrams.trie import expand

FALLBACK = (0.5, 1.0, 1.5)  # discounts of 1, 2, 3 or more of a text too small to estimate them (as KenLM's, Heafield 2011)
DENSE_NUMBERS = 2**22  # levels are also kept written out as long as together they are no larger than this


@dataclass(frozen=True)
class BackoffLevel:
    """Distributions over R contexts of one length: `lower`, `backoff`, `totals` (R,); `starts` (R+1,); `characters`, `weights`
    (E,).

    `lower` is each context's row one level down, without its first character; `totals` is how much was counted in each.
    """

    lower: np.ndarray
    backoff: np.ndarray
    totals: np.ndarray
    starts: np.ndarray
    characters: np.ndarray
    weights: np.ndarray

    @cached_property
    def row_of(self) -> np.ndarray:
        """The row of each entry (E,)."""
        return np.repeat(np.arange(len(self.backoff), dtype=np.int32), np.diff(self.starts))


class BackoffModel:
    """Levels 0, 1, … for contexts of 0, 1, … characters."""

    def __init__(self, levels: list[BackoffLevel], vocab_size: int) -> None:
        self.levels, self.vocab_size = levels, vocab_size

    @cached_property
    def dense(self) -> list[np.ndarray]:
        """The first levels written out, (R, V) each: for `distributions`, where many are asked for at once."""
        written: list[np.ndarray] = []
        lower, left = np.full((1, self.vocab_size), 1 / self.vocab_size, np.float32), DENSE_NUMBERS
        for level in self.levels:
            left -= len(level.backoff) * self.vocab_size
            if written and left < 0:
                break
            lower = lower[level.lower]
            parts = level.backoff, level.starts, level.characters, level.weights
            grow_in_numpy(lower, np.arange(len(lower)), *parts, lower[:, None], -1)
            written.append(lower)
        return written

    def distributions(self, rows_by_level: list[np.ndarray], orders: int = 1) -> np.ndarray:
        """Probabilities by each of the last K = `orders` levels: (n, K, V+1), float32.

        The first V are of the characters; the last is the escape: how much of them was left to the levels below.
        `rows_by_level[j]` (n,) is a place's row on level j, -1 if it has none: there the level equals the one below.
        """
        probs, first = self.dense[0][rows_by_level[0]], len(self.levels) - orders
        each = np.empty((len(probs), orders, self.vocab_size + 1), np.float32)
        for j, (level, rows) in enumerate(zip(self.levels, rows_by_level, strict=True)):
            if j < len(self.dense):
                there = (rows >= 0).nonzero()[0]
                probs[there] = self.dense[j][rows[there]]
                if j >= first:
                    each[:, j - first, :-1], each[:, j - first, -1] = probs, 1
                    each[there, j - first, -1] = level.backoff[rows[there]]
            else:
                parts = level.backoff, level.starts, level.characters, level.weights
                grow(probs, rows.astype(np.int64), *parts, each, j - first)
        return each


def grow_in_numpy(probs, rows, backoff, starts, characters, weights, each, k):
    """What `grow` does, to the same bits."""
    there = (rows >= 0).nonzero()[0]
    probs[there] *= backoff[rows[there], None]
    which, entries = expand(starts, rows[there])
    probs.reshape(-1)[there[which] * probs.shape[1] + characters[entries]] += weights[entries]
    if k >= 0:
        each[:, k, :-1], each[:, k, -1] = probs, 1
        each[there, k, -1] = backoff[rows[there]]


@entry(silent=True, python=grow_in_numpy, **EXACT)
def grow(probs, rows, backoff, starts, characters, weights, each, k):
    """Distributions `probs` (n, V) by one level more, in place: each by its row of the level, where it has one (-1: none).

    They and their escapes also go to the k-th of `each` (n, K, V+1), unless that is below 0. Rows are far apart in memory: so
    each is touched first, since reads that wait for nothing are waited for together.
    """
    vocab_size, touched = probs.shape[1], np.float32(0)
    for n in range(len(rows)):
        if rows[n] >= 0:
            touched += backoff[rows[n]] + weights[starts[rows[n]]] + characters[starts[rows[n]]]
    for n in range(len(rows)):
        row, escape = rows[n], np.float32(1)
        if row >= 0:
            escape = backoff[row]
            for c in range(vocab_size):
                probs[n, c] *= escape
            for e in range(starts[row], starts[row + 1]):
                probs[n, characters[e]] += weights[e]
        if k >= 0:
            for c in range(vocab_size):
                each[n, k, c] = probs[n, c]
            each[n, k, vocab_size] = escape
    return touched


def discount(counts_of_counts: np.ndarray) -> np.ndarray:
    """What is taken off a count of 0, 1, 2, 3 or more: (..., 4), from how many n-grams were counted 1, 2, 3, 4 times (..., 4).

    Chen & Goodman 1998, equation 26: D_i = i - (i+1)·Y·n_{i+1}/n_i, with Y = n_1/(n_1 + 2·n_2).
    """
    n = counts_of_counts.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        y = n[..., :1] / (n[..., :1] + 2 * n[..., 1:2])
        estimated = np.arange(1, 4) - np.arange(2, 5) * y * n[..., 1:4] / n[..., :3]
    sound = (n > 0).all(-1, keepdims=True) & (estimated > 0)
    discounts = np.where(sound, estimated, FALLBACK)
    return np.concatenate((np.zeros_like(discounts[..., :1]), discounts), axis=-1).astype(np.float32)


def smooth(
    lower: np.ndarray,
    starts: np.ndarray,
    characters: np.ndarray,
    counts: np.ndarray,
    discounts: np.ndarray,
    counted: np.ndarray | None = None,
) -> BackoffLevel:
    """Counts of R rows as distributions: what `discounts` (R, 4) take off goes to the level below.

    So does what was `counted` (R,) in a row, and is not among its counts any more.
    """
    rows = np.repeat(np.arange(len(starts) - 1, dtype=np.int32), np.diff(starts))
    taken = discounts[rows, np.minimum(counts, 3)]
    totals = np.bincount(rows, weights=counts, minlength=len(starts) - 1)
    left = np.bincount(rows, weights=taken, minlength=len(starts) - 1)
    if counted is not None:
        left, totals = left + (counted - totals), counted.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        backoff = np.where(totals > 0, left / totals, 1.0).astype(np.float32)
    weights = (counts.astype(np.float32) - taken) / np.maximum(totals, 1.0).astype(np.float32)[rows]
    weights[counts == 0] = 0.0
    return BackoffLevel(lower, backoff, totals.astype(np.float32), starts, characters, weights)
