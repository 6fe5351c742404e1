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
from letterwise.ngrams.contexts.left_out import Events, Rows, leave_out
from letterwise.ngrams.contexts.tables import ContextCounts, ContextTable, counted, joined, laid_out
from letterwise.shapes import Float

FITTED = 2**23  # characters, the last ones, whose contexts are counted at most


@dataclass(frozen=True)
class FittedContexts:
    """The cross-fitted contexts of a text: `own` counts are of its last `ids` (M,), `counts` of those and of other texts."""

    own: ContextCounts
    counts: ContextCounts
    events: Events
    ids: np.ndarray
    vocab_size: int

    def fill(self, log_probs: Float[np.ndarray, "B T K E"], text: np.ndarray, starts: np.ndarray) -> None:
        """ln p of the characters at start + 1 … start + T of the whole text (N,), by each kind, into the first of K.

        n-grams have said theirs; the longest stand last. What was not counted is predicted by the counts of all that was.
        """
        length, kinds = log_probs.shape[1], len(self.counts.tables)
        before = len(text) - len(self.ids)
        places = (starts[:, None] + np.arange(1, length + 1) - before).reshape(-1)
        places = np.where(places < len(self.ids), np.maximum(places, -1), -1)
        probs, longest = log_probs.reshape(-1, *log_probs.shape[2:]), np.exp(log_probs[:, :, -1, :-1])
        longest = longest.reshape(len(places), -1)
        leave_out(self.rows, self.events, places, longest, probs, np.empty(longest.shape[1], np.int64))
        told = log_probs[:, :, :kinds]
        np.log(told, out=told)
        outside = (starts + length < before).nonzero()[0]  # of these windows, nothing was counted
        if len(outside):
            seen = starts[outside, None] + np.arange(1 - CONTEXT_REACH, length)
            windows = np.where(seen >= 0, text[np.maximum(seen, 0)].astype(np.int64), -1)
            longest = log_probs[outside, :, -1, :-1]
            log_probs[outside, :, :kinds] = self.counts.log_probs(windows, length, longest)

    @cached_property
    def rows(self) -> Rows:
        """The tables of all kinds, one behind the other, to take a fold's counts off."""
        table, discounts = laid_out(self.counts.tables), np.stack([table.discounts for table in self.counts.tables])
        return Rows(table.starts, table.characters, table.counts, np.append(table.totals, 0), discounts)

    def complete(self) -> None:
        """Make all that is made on first use, to be shared."""
        _ = self.rows, [table.smoothed for table in self.counts.tables]


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
