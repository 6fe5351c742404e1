"""Reader: counts, one character at a time, compiled by numba.

    read_on(state, id) ──▶ ln p (K, V+1) of what comes next      the same as `Counts.log_probs`, at the cost of a few short rows

The state of a text is where its last 0, 1, 2, … characters stand in the trie; each new character takes each of them one level
up. It depends on the last order-1 characters only. Where contexts are counted, too, the last ids that they see follow.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from letterwise.compiling.arguments import Packed
from letterwise.compiling.arithmetic import log
from letterwise.compiling.entry import entry
from letterwise.compiling.parts import part
from letterwise.config import CONTEXT_REACH
from letterwise.ngrams.contexts.reader import ContextTables, context_log_probs, context_tables, first_from, remember
from letterwise.ngrams.kneser_ney import Counts

NOWHERE = -1  # a context that the text never had


class Tables(NamedTuple):
    """All levels of a back-off model, one after another. Row r of level j is row `rows[j]` + r of `starts` and `backoff`."""

    rows: np.ndarray  # (order + 1,)
    starts: np.ndarray  # (R + 1,) of each row's entries
    characters: np.ndarray  # (E,)
    weights: np.ndarray  # (E,), float32
    backoff: np.ndarray  # (R,), float32
    contexts: ContextTables


def tables(counts: Counts) -> Tables:
    """The smoothed distributions of `counts` in the reader's order."""
    levels = counts.smoothed.levels
    entries = np.cumsum([0, *(len(level.characters) for level in levels)])
    starts = [level.starts[:-1] + before for level, before in zip(levels, entries, strict=False)]
    return Tables(
        np.cumsum([0, *(len(level.backoff) for level in levels)], dtype=np.int64),
        np.concatenate([*starts, entries[-1:]]).astype(np.int64),
        np.concatenate([level.characters for level in levels]).astype(np.uint32),
        np.concatenate([level.weights for level in levels]).astype(np.float32),
        np.concatenate([level.backoff for level in levels]).astype(np.float32),
        context_tables(counts.contexts),
    )


def state_size(tables: Tables) -> int:
    """How many numbers a text's state has."""
    return len(tables.rows) - 1 + CONTEXT_REACH * (len(tables.contexts.rows) > 1)


@part()
def extend(tables, state, token):
    """Take one more character into `state`, in place."""
    order = len(tables.rows) - 1
    if len(state) > order:
        remember(tables.contexts, state[order:], token)
    for j in range(order - 2, -1, -1):
        row, found = state[j], NOWHERE
        if row != NOWHERE:
            end = tables.starts[row + 1]
            low = first_from(tables.characters, tables.starts[row], end, token)
            if low < end and tables.characters[low] == token:  # entry e of a level is row e of the next
                found = tables.rows[j + 1] + low - tables.starts[tables.rows[j]]
        state[j + 1] = found


@part()
def next_log_probs(tables, state, log_probs):
    """ln p of what comes next, for each of the last K orders, and its escape: (K, V+1) in `log_probs`."""
    order, orders, vocab_size = len(tables.rows) - 1, log_probs.shape[0], log_probs.shape[1] - 1
    probs = log_probs[orders - 1]  # stands where its own logarithm comes last
    for c in range(vocab_size):
        probs[c] = np.float32(1 / vocab_size)
    for j in range(order):
        row, backoff = state[j], np.float32(1)
        if row != NOWHERE:
            backoff = tables.backoff[row]
            for c in range(vocab_size):
                probs[c] *= backoff
            for e in range(tables.starts[row], tables.starts[row + 1]):
                probs[tables.characters[e]] += tables.weights[e]
        k = j - order + orders
        if k >= 0:
            for c in range(vocab_size):
                log_probs[k, c] = log(probs[c])
            log_probs[k, vocab_size] = log(backoff)
    if orders > order:
        context_log_probs(tables.contexts, state[order:], probs[:vocab_size], log_probs)


@part()
def read_on(tables, state, token, log_probs):
    """One more character: ln p of what follows goes to `log_probs` (K, V+1)."""
    extend(tables, state, token)
    next_log_probs(tables, state, log_probs)


@part()
def begin(tables, state, before):
    """A text begins anew, and has read `before`, of which the last ones matter: into `state`."""
    order = len(tables.rows) - 1
    for j in range(len(state)):
        state[j] = NOWHERE if j else 0
    ngrams = max(0, len(before) - order + 1)
    for i in range(max(0, len(before) - max(order - 1, len(state) - order)), len(before)):
        if i >= ngrams:
            extend(tables, state, before[i])
        else:
            remember(tables.contexts, state[order:], before[i])


@entry()
def begin_from_python(tables, state, before):
    """The same, where `tables` are a plain tuple of the fields."""
    begin(Tables(*tables), state, before)


class NgramReader:
    """Some texts being read."""

    def __init__(self, tables: Tables, texts: int = 1) -> None:
        self.tables, self.packed = tables, Packed(tables)
        self.states = np.full((texts, state_size(tables)), NOWHERE, np.int64)
        self.states[:, 0] = 0  # nothing read: only the context of no characters is known

    def begin(self, text: int, before: Sequence[int]) -> None:
        """A text begins anew, and has read `before`, of which the last ones matter."""
        state = self.states[text]
        if before:
            begin_from_python(self.packed, state, np.array(before, np.int64))
        else:
            state[0], state[1:] = 0, NOWHERE
