"""Left out: what contexts predict at some places of the text that was counted, less what each place's fold put in.

places (n,), p of the longest n-grams (n, V) ──leave_out──▶ p (n, S, V), and escapes

A step of training asks for some thousand places, eight kinds each. Compiled, that takes a third of NumPy's time. Until it is
compiled, NumPy does it, to the same bits: sums are taken in the order of entries, in float64.
"""

from typing import NamedTuple

import numpy as np

from letterwise.compiling.arithmetic import EXACT, MIN_NORMAL
from letterwise.compiling.entry import entry
from letterwise.ngrams.contexts.tables import MIN_SEEN, interpolate
from letterwise.ngrams.trie import expand
from letterwise.shapes import Float, Int

TOGETHER = 64  # places whose rows are touched before they are needed: reads that wait for nothing are waited for together


class Rows(NamedTuple):
    """The tables of all S kinds, one behind the other, as `ContextTable` has them, and the `discounts` (S, 4) of each.

    `totals` (R+1,) end with a 0: as row -1, what was left out has none.
    """

    starts: np.ndarray
    characters: np.ndarray
    counts: np.ndarray
    totals: np.ndarray
    discounts: np.ndarray


class Events(NamedTuple):
    """Where the M counted places stand among the contexts of all kinds, whose tables are laid one behind the other.

    `row` (S, M) is that of the context before each place, -1 if it was left out. `entry` (S, M) lists the entry of each place,
    context by context, and those of one context in the order of the text; `first` and `own` (S, M) say where in it those of a
    place's context and fold begin, and how many they are.
    """

    row: np.ndarray
    entry: np.ndarray
    first: np.ndarray
    own: np.ndarray


def in_numpy(
    tables: Rows,
    events: Events,
    places: Int[np.ndarray, "n"],
    longest: Float[np.ndarray, "n V"],
    probs: Float[np.ndarray, "n K E"],
    left: np.ndarray,
) -> None:
    """What `leave_out` does, to the same bits."""
    kinds, chars = events.row.shape
    inside = (places >= 0).nonzero()[0]
    rows, own = events.row[:, places[inside]], events.own[:, places[inside]]
    total = tables.totals[rows] - own
    kind, which = ((rows >= 0) & (total >= MIN_SEEN)).nonzero()
    rows, own, total = rows[kind, which], own[kind, which], total[kind, which]
    first, place = events.first[kind, places[inside[which]]], inside[which]
    of, entries = expand(tables.starts, rows)
    lengths = tables.starts[rows + 1] - tables.starts[rows]
    begins = np.cumsum(lengths) - lengths  # of each context's entries among these
    of_fold = events.entry.reshape(-1)[_runs(first + kind * chars, own)]
    put_in = np.repeat(begins - tables.starts[rows], own) + of_fold
    counts = tables.counts[entries] - np.bincount(put_in, minlength=len(entries))
    taken = tables.discounts.reshape(-1)[(4 * kind)[of] + np.minimum(counts, 3)]
    backoff = np.ones((len(places), kinds), np.float32)
    share = 1 / total
    backoff[place, kind] = np.bincount(of, taken, minlength=len(rows)) * share
    weights = ((counts - taken.astype(np.float64)) * share[of]).astype(np.float32)
    interpolate(probs, longest, backoff, (place * kinds + kind)[of], tables.characters[entries], weights)


def _runs(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """start, start + 1, …, so many for each start, one run after the other."""
    ends = np.cumsum(lengths)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - ends + lengths, lengths)


@entry(silent=True, python=in_numpy, **EXACT)
def leave_out(tables, events, places, longest, probs, left):
    """p by each kind, and its escape, at `places` (n,) of the text (-1: outside it), into the first of `probs` (n, K, V+1).

    There the longest n-grams say `longest` (n, V). `left` (V,) is room for counts.
    """
    kinds, vocab_size, touched = len(events.row), longest.shape[1], 0
    for n in range(len(places)):
        if n % TOGETHER == 0:
            for kind in range(kinds):
                for place in places[n : n + TOGETHER]:
                    if place >= 0 and events.row[kind, place] >= 0:
                        row = events.row[kind, place]
                        touched += tables.totals[row] + events.entry[kind, events.first[kind, place]]
                        touched += tables.counts[tables.starts[row]] + tables.characters[tables.starts[row]]
        place = places[n]
        for kind in range(kinds):
            row, total = -1, 0
            if place >= 0 and events.row[kind, place] >= 0:
                row = events.row[kind, place]
                total = tables.totals[row] - events.own[kind, place]
            into, backoff, share, begin, end = probs[n, kind], np.float32(1), 0.0, 0, 0
            discounts = tables.discounts[kind]
            if total >= MIN_SEEN:
                begin, end, taken, share = tables.starts[row], tables.starts[row + 1], 0.0, 1 / total
                for e in range(begin, end):
                    left[e - begin] = tables.counts[e]
                first = events.first[kind, place]
                for i in range(first, first + events.own[kind, place]):
                    left[events.entry[kind, i] - begin] -= 1
                for e in range(end - begin):
                    taken += discounts[min(left[e], 3)]
                backoff = np.float32(taken * share)
            for c in range(vocab_size):
                into[c] = max(backoff * longest[n, c], MIN_NORMAL)
            into[vocab_size] = backoff
            for e in range(begin, end):
                count = left[e - begin]
                into[tables.characters[e]] += np.float32((count - np.float64(discounts[min(count, 3)])) * share)
    return touched
