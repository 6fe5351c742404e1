"""Reader: counts of contexts, one character at a time, compiled by numba.

the last ids ──context_keys──▶ a key of each kind's context ──context_log_probs──▶ ln p (S, V+1) of what comes next

The same keys as `keys.py`, whose formulas these are, and the same distributions as `ContextCounts.log_probs`.
"""

from typing import NamedTuple

import numpy as np

from letterwise.compiling.arithmetic import exp, log
from letterwise.compiling.parts import part
from letterwise.config import CONTEXT_REACH
from letterwise.ngrams.contexts.keys import FACTOR, LONG, LONGER, STEP
from letterwise.ngrams.contexts.tables import ContextCounts

NOWHERE = -1
BITS, SCATTER, ROLL = np.uint64(2**32 - 1), np.uint64(FACTOR), np.uint64(STEP)
HIGH, LOW, NOTHING = np.uint64(15), np.uint64(13), np.uint64(0)


class ContextTables(NamedTuple):
    """All tables, one after another. Row r of kind s is row `rows[s]` + r of `keys`, `starts` and `backoff`."""

    codes: np.ndarray  # (V,), uint64
    letters: np.ndarray  # (V,), uint64
    breaks: np.ndarray  # (2,): the ids of a line break, and of one before which nothing counts
    rows: np.ndarray  # (S + 1,); (1,) where there are no contexts
    keys: np.ndarray  # (R,), uint32
    starts: np.ndarray  # (R + 1,) of each row's entries
    characters: np.ndarray  # (E,), uint32
    weights: np.ndarray  # (E,), float32
    backoff: np.ndarray  # (R,), float32


def context_tables(contexts: ContextCounts | None) -> ContextTables:
    """The smoothed distributions in the reader's order."""
    tables = contexts.tables if contexts else []
    entries = np.cumsum([0, *(len(table.characters) for table in tables)])
    starts = [table.starts[:-1] + before for table, before in zip(tables, entries, strict=False)]
    of = contexts.alphabet if contexts else None

    def one(arrays: list[np.ndarray], dtype: type) -> np.ndarray:
        return np.concatenate(arrays or [np.zeros(0)]).astype(dtype)

    return ContextTables(
        one([of.codes] if of else [], np.uint64),
        one([of.letters] if of else [], np.uint64),
        np.array([of.newline, of.fresh] if of else [NOWHERE, NOWHERE], np.int64),
        np.cumsum([0, *(len(table.keys) for table in tables)], dtype=np.int64),
        one([table.keys for table in tables], np.uint32),
        one([*starts, entries[-1:]], np.int64),
        one([table.characters for table in tables], np.uint32),
        one([table.smoothed.weights for table in tables], np.float32),
        one([table.smoothed.backoff for table in tables], np.float32),
    )


@part()
def first_from(ascending, low, high, wanted):
    """The first place from `low` to before `high` whose number is not below `wanted`; `high` for none."""
    while low < high:
        middle = (low + high) // 2
        if ascending[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low


@part()
def remember(tables, history, token):
    """`history` (CONTEXT_REACH,) with one more id at its end."""
    if token == tables.breaks[1]:
        for i in range(len(history)):
            history[i] = NOWHERE
    for i in range(len(history) - 1):
        history[i] = history[i + 1]
    history[len(history) - 1] = token


@part()
def code_at(codes, history, place):
    """What `codes` (V,) has for the id at a place; 0 for none."""
    if place < 0 or history[place] < 0:
        return NOTHING
    return codes[history[place]]


@part()
def scattered(mixed, value):
    """A key, with one more number in it."""
    mixed = ((mixed ^ value) * SCATTER) & BITS
    mixed ^= mixed >> HIGH
    mixed = (mixed * ROLL) & BITS
    return mixed ^ (mixed >> LOW)


@part()
def word_before(tables, history, place):
    """Hash of the last word that ends before a place, and where it starts; 0 and 0 for none."""
    end = place - 1
    while end >= 0 and code_at(tables.letters, history, end) == NOTHING:
        end -= 1
    start = end
    while start >= 0 and code_at(tables.letters, history, start) != NOTHING:
        start -= 1
    hashed = NOTHING
    for i in range(start + 1, end + 1):
        hashed = ((hashed + code_at(tables.letters, history, i)) * ROLL) & BITS
    return hashed, start + 1


@part()
def break_before(tables, history, place):
    """The last line break before a place; -1 for none."""
    place -= 1
    while place >= 0 and (history[place] < 0 or history[place] != tables.breaks[0]):
        place -= 1
    return place


@part()
def context_keys(tables, history):
    """The key of each kind's context."""
    size, codes = len(history), tables.codes
    word, begins = NOTHING, size
    if code_at(tables.letters, history, size - 1) != NOTHING:
        word, begins = word_before(tables, history, size)
    before, its_start = word_before(tables, history, begins)
    one_more, _ = word_before(tables, history, its_start)
    last, second = code_at(codes, history, size - 1), code_at(codes, history, size - 2)
    third, fourth, fifth = (
        code_at(codes, history, size - 3), code_at(codes, history, size - 4), code_at(codes, history, size - 5)
    )  # fmt: skip
    line = break_before(tables, history, size)
    column, above = CONTEXT_REACH, NOTHING
    if line >= 0:
        column = size - 1 - line
        earlier = break_before(tables, history, line)
        if earlier >= 0 and earlier + 1 + column <= line:
            above = code_at(codes, history, earlier + 1 + column)
    far = long = NOTHING
    for distance in range(1, LONGER + 1):
        far = ((far + code_at(codes, history, size - distance)) * ROLL) & BITS
        if distance == LONG:
            long = far
    return (
        scattered(scattered(np.uint64(1), word), before),
        scattered(scattered(np.uint64(2), word), one_more),
        scattered(scattered(scattered(scattered(np.uint64(3), second), third), fourth), fifth),
        scattered(scattered(scattered(scattered(np.uint64(4), last), third), fourth), fifth),
        scattered(scattered(scattered(np.uint64(5), np.uint64(column)), last), second),
        scattered(scattered(np.uint64(6), above), last),
        scattered(np.uint64(7), long),
        scattered(np.uint64(8), far),
    )


@part()
def context_log_probs(tables, history, longest, log_probs):
    """ln p of what comes next by each kind's context, and its escape, into `log_probs` (S, V+1); n-grams say `longest` (V,)."""
    keys, vocab_size = context_keys(tables, history), len(longest)
    for kind in range(len(tables.rows) - 1):
        into, key = log_probs[kind], keys[kind]
        end = tables.rows[kind + 1]
        low = first_from(tables.keys, tables.rows[kind], end, key)
        known = low < end and tables.keys[low] == key
        backoff = tables.backoff[low] if known else np.float32(1)
        escape = log(backoff)
        for c in range(vocab_size):
            into[c] = longest[c] + escape
        into[vocab_size] = escape
        if known:
            for e in range(tables.starts[low], tables.starts[low + 1]):
                c = tables.characters[e]
                into[c] = log(tables.weights[e] + backoff * exp(longest[c]))
