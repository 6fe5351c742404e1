"""Reader: counts, one character at a time, compiled by numba.

    read(rows) ──▶ ln p (K, V+1) of what comes next        the same as `Counts.log_probs`, at the cost of a few short rows

The state of a text is where its last 0, 1, 2, … characters stand in the trie; each new character takes each of them one level
up. It depends on the last order-1 characters only.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from letterwise.compiling.arithmetic import log
from letterwise.compiling.jit import njit
from letterwise.compiling.parts import part
from letterwise.ngrams.kneser_ney import Counts

NOWHERE = -1  # a context that the text never had


class Tables(NamedTuple):
    """All rungs of a ladder, one after another. Row r of rung j is row `rows[j]` + r of `starts` and `backoff`."""

    rows: np.ndarray  # (order + 1,)
    starts: np.ndarray  # (R + 1,) of each row's entries
    characters: np.ndarray  # (E,)
    weights: np.ndarray  # (E,), float32
    backoff: np.ndarray  # (R,), float32


def tables(counts: Counts) -> Tables:
    """The ladder of `counts` in the reader's order."""
    rungs = counts.ladder.rungs
    entries = np.cumsum([0, *(len(rung.characters) for rung in rungs)])
    starts = [rung.starts[:-1] + before for rung, before in zip(rungs, entries, strict=False)]
    return Tables(
        np.cumsum([0, *(len(rung.backoff) for rung in rungs)], dtype=np.int64),
        np.concatenate([*starts, entries[-1:]]).astype(np.int64),
        np.concatenate([rung.characters for rung in rungs]).astype(np.uint32),
        np.concatenate([rung.weights for rung in rungs]).astype(np.float32),
        np.concatenate([rung.backoff for rung in rungs]).astype(np.float32),
    )


@part(_nrt=False)
def grow(tables, state, token):
    """Take one more character into `state` (order,), in place."""
    order = len(state)
    for j in range(order - 2, -1, -1):
        row, found = state[j], NOWHERE
        if row != NOWHERE:
            low, high = tables.starts[row], tables.starts[row + 1]
            end = high
            while low < high:
                middle = (low + high) // 2
                if tables.characters[middle] < token:
                    low = middle + 1
                else:
                    high = middle
            if low < end and tables.characters[low] == token:  # entry e of a rung is row e of the next
                found = tables.rows[j + 1] + low - tables.starts[tables.rows[j]]
        state[j + 1] = found


@part(_nrt=False)
def tell(tables, state, told):
    """ln p of what comes next, for each of the last K orders, and its escape: (K, V+1) in `told`."""
    order, orders, vocab_size = len(state), told.shape[0], told.shape[1] - 1
    below = told[orders - 1]  # stands where its own logarithm comes last
    for c in range(vocab_size):
        below[c] = np.float32(1 / vocab_size)
    for j in range(order):
        row, backoff = state[j], np.float32(1)
        if row != NOWHERE:
            backoff = tables.backoff[row]
            for c in range(vocab_size):
                below[c] *= backoff
            for e in range(tables.starts[row], tables.starts[row + 1]):
                below[tables.characters[e]] += tables.weights[e]
        k = j - order + orders
        if k >= 0:
            for c in range(vocab_size):
                told[k, c] = log(below[c])
            told[k, vocab_size] = log(backoff)


@part(_nrt=False)
def read_on(tables, state, token, told):
    """One more character: what follows goes to `told` (K, V+1)."""
    grow(tables, state, token)
    tell(tables, state, told)


@njit()
def read_rows(tables, states, rows, told):
    """One more character for each of R rows, in turn: what follows goes to `told` (R, K, V+1)."""
    for r in range(len(rows)):
        read_on(tables, states[rows[r, 0]], rows[r, 2], told[r])


class Reader:
    """Some texts being read. `orders` is K: how many of the longest orders are told apart."""

    def __init__(self, tables: Tables, orders: int, texts: int = 1) -> None:
        self.tables, self.orders = tables, orders
        self.states = np.full((texts, len(tables.rows) - 1), NOWHERE, np.int64)
        self.states[:, 0] = 0  # nothing read: only the context of no characters is known

    def read(self, rows: np.ndarray, told: np.ndarray) -> None:
        """For each of R rows of (text, place, id), that text reads that id; `told` (R, K, V+1) is then ln p, escapes last."""
        read_rows(self.tables, self.states, rows, told)

    def begin(self, text: int, before: Sequence[int]) -> None:
        """A text begins anew, and has read `before`, of which the last order-1 characters matter."""
        state = self.states[text]
        state[0], state[1:] = 0, NOWHERE
        for token in before[max(0, len(before) - len(state) + 1) :]:
            grow(self.tables, state, token)
