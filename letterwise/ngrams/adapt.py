"""Adapt: what counting knows of one text, and of another that was learned after it, as one back-off model.

Counts of the base text, Counts of the new text ──adapt──▶ AdaptedCounts

In each context the new text's distribution has a share of what is predicted, and the base text's the rest. The share grows
with how often the context was seen, and falls with how many different characters followed: t / (t + n/2), for t characters of
n kinds. That is the form of Witten & Bell's method C (1991) with half its n. A context that only one of the texts has is
predicted from that one. docs/log.md compares this with adding the counts up, which is what is done with those of contexts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np

from letterwise.ngrams.backoff import BackoffLevel, BackoffModel
from letterwise.ngrams.contexts.tables import joined
from letterwise.ngrams.kneser_ney import Counts
from letterwise.ngrams.trie import Level, expand

KINDS_WEIGHT = 0.5  # of n in t / (t + n/2): measured on four pairs of texts, docs/log.md


@dataclass(frozen=True)
class Rows:
    """One level's distributions over R contexts: `keys` (row · V + character, ascending) and `weights` (E,) of what they name;
    `backoff`, `totals` and how many different characters there are, `kinds` (R,). A context without counts has back-off 1.
    """

    keys: np.ndarray
    weights: np.ndarray
    backoff: np.ndarray
    totals: np.ndarray
    kinds: np.ndarray


@dataclass(frozen=True)
class AdaptedCounts(Counts):
    """Counts of several texts, each adapting those before it. `levels` are the trie of all of them, with the counts added up.

    `rows[i][j]` (R,) is, for each context of level j, its row in the trie of `parts[i]`; -1 where that text never had it.
    """

    parts: tuple[Counts, ...]
    rows: list[list[np.ndarray]]

    @cached_property
    def smoothed(self) -> BackoffModel:
        """The smoothed distributions, all texts together."""
        levels = []
        for j, lower in enumerate(self.suffixes):
            each = [
                on_rows(part.smoothed.levels[j], rows[j], self.vocab_size)
                for part, rows in zip(self.parts, self.rows, strict=True)
            ]
            levels.append(interpolated(each, lower, self.vocab_size))
        return BackoffModel(levels, self.vocab_size)


def adapt(parts: Sequence[Counts]) -> Counts:
    """Counts of several texts as one, each adapting those before it; of one alone, these themselves.

    All of one vocabulary and one order.
    """
    flat = [text for part in parts for text in texts(part)]
    return reduce(_joined, flat[1:], flat[0])


def texts(counts: Counts) -> tuple[Counts, ...]:
    """The counts of each text that these are of."""
    return counts.parts if isinstance(counts, AdaptedCounts) else (counts,)


def _joined(before: Counts, new: Counts) -> AdaptedCounts:
    """`before`, adapted by `new`: the trie of both, and where each context lies in the trie of each text."""
    parts, rows = (before.parts, before.rows) if isinstance(before, AdaptedCounts) else ((before,), None)
    size, levels = new.vocab_size, []
    where = [(np.zeros(1, np.int64), np.zeros(1, np.int64))]  # of each level: the joined row of each row of the two
    for old, added in zip(before.levels, new.levels, strict=True):
        joined_rows = len(levels[-1].characters) if levels else 1
        keys = [places[level.row_of] * size + level.characters for places, level in zip(where[-1], (old, added), strict=True)]
        every, *places = merged(*keys)
        counts = np.zeros(len(every), np.int32)
        for place, level in zip(places, (old, added), strict=True):
            counts[place] += level.counts
        starts = np.searchsorted(every, np.arange(joined_rows + 1, dtype=np.int64) * size)
        levels.append(Level(starts, (every % size).astype(old.characters.dtype), counts, size))
        where.append((places[0], places[1]))
    of_before, of_new = ([_inverse(pair[i], level.rows) for pair, level in zip(where, levels, strict=False)] for i in (0, 1))
    if rows is None:
        each = [of_before]
    else:
        each = [[np.where(b >= 0, r[b], -1) for b, r in zip(of_before, of_part, strict=True)] for of_part in rows]
    contexts = joined(before.contexts, new.contexts) if before.contexts and new.contexts else None
    return AdaptedCounts(levels, size, before.chars + new.chars, (*parts, new), [*each, of_new], contexts=contexts)


def _inverse(places: np.ndarray, size: int) -> np.ndarray:
    found = np.full(size, -1, np.int32)
    found[places] = np.arange(len(places), dtype=np.int32)
    return found


def merged(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two ascending arrays of different keys as one, and the place in it of each of their keys."""
    place = np.searchsorted(a, b)
    known = np.append(a, -1)[np.minimum(place, len(a))] == b
    every = np.insert(a, place[~known], b[~known])
    added = np.cumsum(~known)
    of_b = place + added - ~known
    of_a = np.ones(len(every), bool)
    of_a[of_b[~known]] = False
    return every, of_a.nonzero()[0], of_b


def on_rows(level: BackoffLevel, rows: np.ndarray, vocab_size: int) -> Rows:
    """A level's distributions in the order of `rows` (R,), its own row for each of R contexts, -1 for none."""
    there = (rows >= 0).nonzero()[0]
    which, entries = expand(level.starts, rows[there])
    backoff, totals = np.ones(len(rows), np.float32), np.zeros(len(rows), np.float32)
    backoff[there], totals[there] = level.backoff[rows[there]], level.totals[rows[there]]
    of_row, weights = there[which], level.weights[entries]
    kinds = np.bincount(of_row[weights > 0], minlength=len(rows)).astype(np.int32)
    return Rows(of_row * vocab_size + level.characters[entries], weights, backoff, totals, kinds)


def interpolated(each: Sequence[Rows], lower: np.ndarray, vocab_size: int) -> BackoffLevel:
    """The distributions of several texts over the same contexts as one, each adapting those before it."""
    rows = reduce(lambda before, new: _interpolated(before, new, vocab_size), each)
    starts = np.searchsorted(rows.keys, np.arange(len(lower) + 1, dtype=np.int64) * vocab_size)
    characters = (rows.keys % vocab_size).astype(np.min_scalar_type(vocab_size - 1))
    return BackoffLevel(lower, rows.backoff, rows.totals, starts, characters, rows.weights)


def _interpolated(before: Rows, new: Rows, vocab_size: int) -> Rows:
    """Both texts' rows: those of the new one have the more weight, the more it has counted there."""
    share = new.totals / np.maximum(new.totals + np.float32(KINDS_WEIGHT) * new.kinds, 1)
    share = np.where(before.totals > 0, share, np.float32(1))
    keys, of_before, of_new = merged(before.keys, new.keys)
    weights = np.zeros(len(keys), np.float32)
    weights[of_before] = (1 - share)[before.keys // vocab_size] * before.weights
    weights[of_new] += share[new.keys // vocab_size] * new.weights
    backoff = share * new.backoff + (1 - share) * before.backoff
    return Rows(keys, weights, backoff, before.totals + new.totals, before.kinds)  # whose kinds nobody asks for any more
