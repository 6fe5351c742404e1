"""Fit: for each place of the training text, what contexts predict that have not seen its neighbourhood (cross_fit.py says why).

text, cut into folds ──▶ for a character of fold f: each context's counts, less what fold f put in

The counts of a context are few, so what a fold put in is taken off when a place is looked up. It is found at once: places are
in the order of their contexts, and those of one context in the order of the text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np

from letterwise.config import CONTEXT_REACH
from letterwise.ngrams.contexts.keys import Alphabet, context_keys
from letterwise.ngrams.contexts.tables import MIN_SEEN, ContextCounts, ContextTable, counted, interpolate, joined, laid_out
from letterwise.ngrams.trie import expand
from letterwise.shapes import Float

FITTED = 2**23  # characters, the last ones, whose contexts are counted at most


@dataclass(frozen=True)
class Events:
    """Where the M counted places stand among the contexts of all kinds, whose tables are laid one behind the other.

    `row` (S, M) is that of the context before each place, -1 if it was left out. `entry` (S, M) lists the entry of each place,
    context by context, and those of one context in the order of the text; `first` and `own` (S, M) say where in it those of a
    place's context and fold begin, and how many they are.
    """

    row: np.ndarray
    entry: np.ndarray
    first: np.ndarray
    own: np.ndarray


@dataclass(frozen=True)
class FittedContexts:
    """The cross-fitted contexts of a text: `own` counts are of its last `ids` (M,), `counts` of those and of other texts."""

    own: ContextCounts
    counts: ContextCounts
    events: Events
    ids: np.ndarray
    vocab_size: int

    @cached_property
    def table(self) -> ContextTable:
        """The tables of all kinds, one behind the other."""
        return laid_out(self.counts.tables)

    def fill(self, log_probs: Float[np.ndarray, "B T K E"], text: np.ndarray, starts: np.ndarray) -> None:
        """ln p of the characters at start + 1 … start + T of the whole text (N,), by each kind, into the first of K.

        n-grams have said theirs; the longest stand last. What was not counted is predicted by the counts of all that was.
        """
        length, kinds = log_probs.shape[1], len(self.counts.tables)
        before = len(text) - len(self.ids)
        places = starts[:, None] + np.arange(1, length + 1) - before
        self._counted(log_probs.reshape(-1, *log_probs.shape[2:]), places.reshape(-1))
        outside = (starts + length < before).nonzero()[0]  # of these windows, nothing was counted
        if len(outside):
            seen = starts[outside, None] + np.arange(1 - CONTEXT_REACH, length)
            windows = np.where(seen >= 0, text[np.maximum(seen, 0)].astype(np.int64), -1)
            longest = log_probs[outside, :, -1, :-1]
            log_probs[outside, :, :kinds] = self.counts.log_probs(windows, length, longest)

    def _counted(self, log_probs: Float[np.ndarray, "n K E"], places: np.ndarray) -> None:
        """The same for `places` (n,) of `ids`; before and behind them as the longest n-grams say."""
        table, events, kinds = self.table, self.events, len(self.counts.tables)
        inside = ((places >= 0) & (places < len(self.ids))).nonzero()[0]
        rows, own = events.row[:, places[inside]], events.own[:, places[inside]]
        total = self._totals[rows] - own
        kind, which = ((rows >= 0) & (total >= MIN_SEEN)).nonzero()
        rows, own, total = rows[kind, which], own[kind, which], total[kind, which]
        first, place = events.first[kind, places[inside[which]]], inside[which]
        of, entries = expand(table.starts, rows)
        lengths = table.lengths[rows]
        begins = np.cumsum(lengths) - lengths  # of each context's entries among these
        of_fold = events.entry.reshape(-1)[_runs(first + kind * len(self.ids), own)]
        put_in = np.repeat(begins - table.starts[rows], own) + of_fold
        counts = table.counts[entries] - np.bincount(put_in, minlength=len(entries))
        taken = self._discounts.reshape(-1)[(4 * kind)[of] + np.minimum(counts, 3)]
        backoff = np.ones((len(places), kinds), np.float32)
        backoff[place, kind] = np.bincount(of, taken, minlength=len(rows)) / total
        some = counts > 0
        of, entries = of[some], entries[some]
        weights = (counts[some] - taken[some]) / total[of].astype(np.float32)
        interpolate(log_probs, backoff, (place * kinds + kind)[of], table.characters[entries], weights)

    @cached_property
    def _totals(self) -> np.ndarray:
        """How much was counted in each row, and last, as row -1, 0: what was left out has none."""
        return np.append(self.table.totals, 0)

    @cached_property
    def _discounts(self) -> Float[np.ndarray, "S 4"]:
        return np.stack([table.discounts for table in self.counts.tables])

    def complete(self) -> None:
        """Make all that is made on first use, to be shared."""
        _ = self._totals, self.table.lengths, self._discounts, [table.smoothed for table in self.counts.tables]


def _runs(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """start, start + 1, …, so many for each start, one run after the other."""
    ends = np.cumsum(lengths)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - ends + lengths, lengths)


def fit_contexts(
    ids: np.ndarray, vocab_size: int, of: Alphabet, *, folds: int, others: Sequence[ContextCounts] = ()
) -> FittedContexts:
    """Count the contexts of the last `FITTED` of `ids` (N,) at most, in `folds` folds. Counts of `others`' texts are added."""
    ids = np.asarray(ids[-FITTED:])
    folds, keys = min(folds, len(ids)), context_keys(ids, of)
    own = ContextCounts([counted(kind[:-1], ids[1:], vocab_size) for kind in keys], of)
    counts = reduce(joined, others, own)
    events = Events(*(np.full((len(keys), len(ids)), nothing, np.int32) for nothing in (-1, 0, 0, 0)))
    rows_before = entries_before = 0
    for kind, table in enumerate(counts.tables):
        _note_events(events, kind, keys[kind, :-1], ids, own.tables[kind], table, folds)
        events.row[kind][events.row[kind] >= 0] += rows_before
        events.entry[kind] += entries_before
        rows_before, entries_before = rows_before + len(table.keys), entries_before + len(table.characters)
    return FittedContexts(own, counts, events, ids, vocab_size)


def _note_events(
    events: Events, kind: int, keys: np.ndarray, ids: np.ndarray, mine: ContextTable, table: ContextTable, folds: int
) -> None:
    """Where places 1, 2, … stand, whose contexts of one kind have these `keys` (M-1,), with rows and entries of the `table`.

    What a place put into it is what it put into this text's own, `mine`.
    """
    chars = len(ids)
    contexts = np.sort((keys.astype(np.uint64) << np.uint64(32)) | np.arange(1, chars, dtype=np.uint64))
    order = contexts.astype(np.uint32).astype(np.int32)  # the lower half
    contexts = (contexts >> np.uint64(32)).astype(np.uint32)
    fold = (order.astype(np.int64) * folds // chars).astype(np.int32)
    begins = np.ones(len(order), bool)  # of one context and one fold
    begins[1:] = (contexts[1:] != contexts[:-1]) | (fold[1:] != fold[:-1])
    starts = np.flatnonzero(begins).astype(np.int32)
    lengths = np.diff(starts, append=np.int32(len(order)))
    rows = table.find(contexts).astype(np.int32)
    put_in = rows >= 0 if mine is table else mine.find(contexts) >= 0
    events.row[kind, order] = rows
    events.first[kind, order] = np.repeat(starts, lengths)
    events.own[kind, order] = np.repeat(lengths, lengths) * put_in
    events.entry[kind, : len(order)][put_in] = table.entry_of(rows[put_in], ids[order[put_in]])
