"""Tables: what followed each context of each kind, and what they predict.

ids ──count_contexts──▶ ContextCounts: for each kind, contexts by their keys, and how often which character followed
windows (B, W) ──log_probs──▶ ln p (B, T, S, V+1), each kind interpolated with the longest n-grams

    p(c | context) = (count of c - discount) / total + what discounts took off / total · p(c | longest n-grams)

Discounts are those of modified Kneser-Ney (Chen & Goodman 1998, equation 26), one set for a kind. A context that was seen once
is left out: what followed it tells little, and two of three are such.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from letterwise.compiling.arithmetic import MIN_NORMAL
from letterwise.ngrams.backoff import BackoffLevel, discount, smooth
from letterwise.ngrams.contexts.keys import Alphabet, context_keys
from letterwise.ngrams.trie import expand
from letterwise.shapes import Float, Int

MIN_SEEN = 2  # times, of a context that is kept


@dataclass(frozen=True)
class ContextTable:
    """Contexts of one kind: `keys` (R,), ascending; `starts` (R+1,) delimits each one's entries; `characters`, `counts` (E,).

    `few` (4,) is how many entries were counted 1, 2, 3 and 4 times before any was left out.
    """

    keys: np.ndarray
    starts: np.ndarray
    characters: np.ndarray
    counts: np.ndarray
    few: np.ndarray

    @cached_property
    def lengths(self) -> np.ndarray:
        """How many entries each context has (R,)."""
        return np.diff(self.starts)

    @cached_property
    def totals(self) -> np.ndarray:
        """How much was counted in each context (R,)."""
        rows = np.repeat(np.arange(len(self.keys)), self.lengths)
        return np.bincount(rows, self.counts, minlength=len(self.keys)).astype(np.int64)

    @cached_property
    def discounts(self) -> Float[np.ndarray, "4"]:
        """What is taken off a count of 0, 1, 2, 3 or more."""
        return discount(self.few)

    @cached_property
    def smoothed(self) -> BackoffLevel:
        """The distributions. `lower` is empty: below is what the longest n-grams predict."""
        each = np.broadcast_to(self.discounts, (len(self.keys), 4))
        return smooth(np.zeros(0, np.int32), self.starts, self.characters, self.counts, each)

    def entry_of(self, rows: np.ndarray, characters: np.ndarray) -> np.ndarray:
        """The entry of a character in a row, where it has one (n,)."""
        size = 1 + max(int(self.characters.max(initial=0)), int(characters.max(initial=0)))
        of_row = np.repeat(np.arange(len(self.keys)), self.lengths)
        return np.searchsorted(of_row * size + self.characters, rows * size + characters)

    def find(self, keys: np.ndarray) -> np.ndarray:
        """The row of each context (n,); -1 where it was never kept."""
        if not len(self.keys):
            return np.full(len(keys), -1)
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[place] == keys, place, -1)


@dataclass(frozen=True)
class ContextCounts:
    """A table of each kind, in the order of `KINDS`, of a text over `alphabet`."""

    tables: list[ContextTable]
    alphabet: Alphabet

    def log_probs(
        self, windows: Int[np.ndarray, "B W"], length: int, longest: Float[np.ndarray, "B T V"]
    ) -> Float[np.ndarray, "B T S E"]:
        """ln p of what follows each of the last T = `length` ids of each window, of which n-grams say `longest`. E is V + 1."""
        apart = np.pad(windows, ((0, 0), (1, 0)), constant_values=-1)  # each a text of its own
        at = np.arange(apart.size).reshape(apart.shape)[:, -length:].reshape(-1)
        keys, vocab_size = context_keys(apart.reshape(-1), self.alphabet)[:, at], longest.shape[-1]
        probs = np.empty((len(at), len(self.tables), vocab_size + 1), np.float32)
        rows = np.stack([table.find(kind) for table, kind in zip(self.tables, keys, strict=True)])
        backoff = np.ones((len(at), len(self.tables)), np.float32)
        found = []
        for kind, table in enumerate(self.tables):
            known = (rows[kind] >= 0).nonzero()[0]
            which, entries = expand(table.starts, rows[kind, known])
            backoff[known, kind] = table.smoothed.backoff[rows[kind, known]]
            at = (known * len(self.tables) + kind)[which]
            found.append((at, table.characters[entries], table.smoothed.weights[entries]))
        lower = np.exp(longest).reshape(-1, vocab_size)
        interpolate(probs, lower, backoff, *(np.concatenate(parts) for parts in zip(*found, strict=True)))
        return np.log(probs, out=probs).reshape(len(windows), length, len(self.tables), vocab_size + 1)


def interpolate(
    probs: Float[np.ndarray, "n K E"],
    longest: Float[np.ndarray, "n V"],
    backoff: Float[np.ndarray, "n S"],
    at: np.ndarray,
    characters: np.ndarray,
    weights: np.ndarray,
) -> None:
    """p by each of S kinds, and its escape, into the first of K: each kind has its `backoff` of what the `longest` n-grams say.

    The rest are `weights` (m,) of some `characters`, by place and kind: `at` (m,) is place · S + kind.
    """
    (_, orders, numbers), kinds = probs.shape, backoff.shape[1]
    lower = probs[:, :kinds, :-1]
    np.multiply(longest[:, None], backoff[:, :, None], out=lower)
    np.maximum(lower, MIN_NORMAL, out=lower)
    probs[:, :kinds, -1] = backoff
    place, kind = np.divmod(at, kinds)
    probs.reshape(-1)[place * (orders * numbers) + kind * numbers + characters] += weights


def laid_out(tables: Sequence[ContextTable]) -> ContextTable:
    """Tables one behind the other. Keys are not in order any more, and `few` counts of none."""
    entries = np.cumsum([0, *(len(table.characters) for table in tables)])
    starts = [table.starts[:-1] + before for table, before in zip(tables, entries, strict=False)]
    keys, characters, counts = (
        np.concatenate([getattr(table, name) for table in tables]) for name in ("keys", "characters", "counts")
    )
    return ContextTable(keys, np.concatenate((*starts, entries[-1:])), characters, counts, np.zeros(4, np.int64))


def count_contexts(ids: np.ndarray, vocab_size: int, of: Alphabet) -> ContextCounts:
    """Count what follows each context of `ids` (N,)."""
    keys = context_keys(ids, of)
    return ContextCounts([counted(kind[:-1], ids[1:], vocab_size) for kind in keys], of)


def counted(keys: np.ndarray, following: np.ndarray, vocab_size: int) -> ContextTable:
    """The table of some contexts (n,), and the character that followed each."""
    bits = max(1, int(vocab_size - 1).bit_length())
    events, counts = np.unique((keys.astype(np.uint64) << np.uint64(bits)) | following.astype(np.uint64), return_counts=True)
    few = np.bincount(np.minimum(counts, 5), minlength=6)[1:5]
    contexts = (events >> np.uint64(bits)).astype(np.uint32)
    starts = np.flatnonzero(np.diff(contexts, prepend=~contexts[:1]))
    lengths = np.diff(starts, append=len(events))
    kept = np.add.reduceat(counts, starts) >= MIN_SEEN if len(starts) else np.zeros(0, bool)
    inside = np.repeat(kept, lengths)
    characters = (events & np.uint64(2**bits - 1))[inside].astype(np.min_scalar_type(vocab_size - 1))
    row_starts = np.concatenate(([0], np.cumsum(lengths[kept])))
    return ContextTable(contexts[starts[kept]], row_starts, characters, counts[inside].astype(np.int32), few)


def joined(before: ContextCounts, new: ContextCounts) -> ContextCounts:
    """The counts of two texts of one alphabet added up."""
    return replace(new, tables=[_added(*pair) for pair in zip(before.tables, new.tables, strict=True)])


def _added(one: ContextTable, other: ContextTable) -> ContextTable:
    """The counts of two tables added up."""
    size = 1 + max(int(table.characters.max(initial=0)) for table in (one, other))
    keys = np.union1d(one.keys, other.keys)
    places, counts = [], []
    for table in (one, other):
        rows = np.repeat(np.searchsorted(keys, table.keys), table.lengths)
        places.append(rows * size + table.characters)
        counts.append(table.counts)
    entries, where = np.unique(np.concatenate(places), return_inverse=True)
    total = np.bincount(where, np.concatenate(counts), minlength=len(entries)).astype(np.int32)
    starts = np.searchsorted(entries, np.arange(len(keys) + 1) * size)
    return ContextTable(keys, starts, (entries % size).astype(one.characters.dtype), total, one.few + other.few)
