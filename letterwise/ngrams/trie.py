"""Trie: every n-gram of a text, exactly, level by level.

    level j    a row for each different run of j characters (a context)
    in a row   an entry for each character that ever followed: the character, and how often it counts
    entry e of level j is row e of level j+1: the context, grown by that character

Rows are in the order of their entries one level up, and entries of a row in the order of their characters, so a trie is
three arrays per level, and finding a character in a row is a binary search.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

MAX_ENTRIES_PER_KEY = 8  # entries per key: up to this size a table is faster than sorting, and small enough


@dataclass(frozen=True)
class Level:
    """Contexts of one length. `starts` (R+1,) delimits each row's entries; `characters`, `counts` (E,) are the entries."""

    starts: np.ndarray
    characters: np.ndarray
    counts: np.ndarray
    vocab_size: int

    @property
    def rows(self) -> int:
        """R, how many contexts there are."""
        return len(self.starts) - 1

    @cached_property
    def row_of(self) -> np.ndarray:
        """The row of each entry (E,)."""
        return np.repeat(np.arange(self.rows, dtype=np.int32), np.diff(self.starts))

    @cached_property
    def keys(self) -> np.ndarray:
        """Row and character of each entry as one number (E,), ascending."""
        return self.row_of.astype(np.int64) * self.vocab_size + self.characters

    def find(self, rows: np.ndarray, characters: np.ndarray) -> np.ndarray:
        """The entry of each character in each row, any shape, broadcast; -1 where it never followed, or the row is -1."""
        keys = rows.astype(np.int64) * self.vocab_size + characters
        place = np.minimum(np.searchsorted(self.keys, keys), max(0, len(self.keys) - 1))
        there = (rows >= 0) & (self.keys[place] == keys) if len(self.keys) else np.zeros(keys.shape, bool)
        return np.where(there, place, -1)


@dataclass(frozen=True)
class Events:
    """Where each character of the text that has a context of length j stands on level j.

    `there` (N,) says which have one, `rows` is the context before each of these, and `entries` is the character itself.
    """

    there: np.ndarray
    rows: np.ndarray
    entries: np.ndarray


def context_lengths(ids: np.ndarray, order: int, line_break: int | None = None) -> np.ndarray:
    """How many characters before each place count as its context: (N,), at most order-1.

    None from before the text's first; and where lines are examples, none from before the line break that a line begins after.
    """
    lengths = np.full(len(ids), order - 1, np.min_scalar_type(order))
    lengths[: order - 1] = np.arange(min(order - 1, len(ids)))
    if line_break is not None:
        breaks = np.flatnonzero(ids == line_break)
        for back in range(order - 1, 0, -1):
            places = breaks[: np.searchsorted(breaks, len(ids) - back)] + back
            lengths[places] = back
    return lengths


def build_levels(ids: np.ndarray, vocab_size: int, order: int, depths: np.ndarray) -> Iterator[tuple[Level, Events]]:
    """Levels 0 … order-1 of the text's trie, with raw counts, one at a time: each needs but the one before."""
    rows = np.zeros(len(ids), np.int32)
    parents = 1
    for j in range(order):
        there = depths >= j
        rows = rows[there]
        keys, entries, counts = distinct(rows.astype(np.int64) * vocab_size + ids[there], parents * vocab_size)
        starts = np.searchsorted(keys, np.arange(parents + 1, dtype=np.int64) * vocab_size)
        characters = (keys % vocab_size).astype(np.min_scalar_type(vocab_size - 1))
        level = Level(starts, characters, counts.astype(np.int32), vocab_size)
        yield level, Events(there, rows, entries)
        rows = np.full(len(ids), -1, np.int32)
        rows[there] = entries
        rows[1:] = rows[:-1]
        parents = len(keys)


def distinct(keys: np.ndarray, bound: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The different keys (ascending), the place of each key among them (int32), and how often each occurs.

    `np.unique`, but by a table instead of a sort where all keys are below a small `bound`.
    """
    if bound <= MAX_ENTRIES_PER_KEY * len(keys):
        table = np.bincount(keys, minlength=bound)
        there = table > 0
        place = np.cumsum(there, dtype=np.int32) - 1
        return there.nonzero()[0], place[keys], table[there]
    order = np.argsort(keys)
    ascending = keys[order]
    first = np.ones(len(keys), bool)
    first[1:] = ascending[1:] != ascending[:-1]
    place = np.empty(len(keys), np.int32)
    place[order] = np.cumsum(first, dtype=np.int32) - 1
    starts = first.nonzero()[0]
    return ascending[starts], place, np.diff(np.append(starts, len(keys)))


def at_line_start(levels: list[Level], line_break: int | None) -> list[np.ndarray]:
    """For each level, which of its contexts begin with the line break (R,)."""
    found = [np.zeros(1, bool)]
    for level in levels[:-1]:
        found.append(found[-1][level.row_of] if len(found) > 1 else level.characters == line_break)
    return found


def suffixes(levels: list[Level]) -> list[np.ndarray]:
    """For each level, the row of each context without its first character, one level below: (R,) int32."""
    found = [np.zeros(1, np.int32), np.zeros(len(levels[0].characters), np.int32)][: len(levels)]
    for below, level in pairwise(levels[:-1]):
        found.append(below.find(found[-1][level.row_of], level.characters).astype(np.int32))
    return found


def expand(starts: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All entries of `rows` (n,), one row after another: which of the n it belongs to, and the entry."""
    begins = starts[rows]
    lengths = starts[rows + 1] - begins
    which = np.repeat(np.arange(len(rows), dtype=np.int32), lengths)
    entries = np.repeat((begins - np.cumsum(lengths) + lengths).astype(np.int32), lengths)
    entries += np.arange(len(which), dtype=np.int32)
    return which, entries
