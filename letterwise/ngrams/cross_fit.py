"""Cross-fitting: for each place of the training text, what counts say that have not seen its neighbourhood.

    text, cut into folds ──▶ for a character of fold f: Kneser-Ney from the n-grams of all other folds

A prior that has counted the very text it predicts looks far better there than it will on new text, and a model that learns
beside it learns to trust it too much. So each fold gets the counts of the others. An n-gram belongs to the fold of its
last character.

Building as many models as there are folds would cost that many builds. Instead every (context, fold) pair that occurs
gets a row of its own: the context's row of the whole trie, less what the fold had put in. That is about two builds.
"""

from dataclasses import dataclass

import numpy as np

from letterwise.ngrams.backoff import Ladder, Rung
from letterwise.ngrams.kneser_ney import Counts, continued, discount, smooth
from letterwise.ngrams.trie import Level, after, depths, distinct, expand, grow


@dataclass(frozen=True)
class Gone:
    """What folds had put into the counts of a level: `many` (G,) of `entries`' counts come from `folds` alone."""

    entries: np.ndarray
    folds: np.ndarray
    many: np.ndarray


@dataclass(frozen=True)
class CrossFitted:
    """The cross-fitted prior of a training text, and `counts` for text it has not seen.

    `ids` (N,) is the whole text. Its last M characters were counted: `depths` (M,) is how much context each of them has, and
    `top` (M,) its place on that rung. What comes before them was not, so the whole counts are honest there.
    """

    counts: Counts
    ladder: Ladder
    ids: np.ndarray
    depths: np.ndarray
    top: np.ndarray
    folds: int

    def at(self, starts: np.ndarray, length: int, orders: int = 1) -> np.ndarray:
        """ln p of the characters at start + 1 … start + length, from the folds they are not in: (B, length, K, V+1), float32.

        K = `orders` and escapes as for `Counts.log_probs`. What is said of places behind the end of the text means nothing.
        """
        told = np.empty((len(starts), length, orders, self.ladder.vocab_size + 1), np.float32)
        uncounted = len(self.ids) - len(self.top)
        outside = starts + length < uncounted
        if outside.any():
            told[outside] = self.counts.before(self.ids, starts[outside], length, orders)
        places = (starts[~outside, None] - uncounted + np.arange(1, length + 1)).reshape(-1)
        told[~outside] = self._counted(places, orders).reshape(-1, *told.shape[1:])
        return told

    def _counted(self, places: np.ndarray, orders: int) -> np.ndarray:
        """ln p of characters of the counted text (n, K, V+1). A place just before it gets letter frequencies."""
        inside = np.clip(places, 0, len(self.top) - 1)
        depths, top, rungs = np.where(places >= 0, self.depths[inside], 0), self.top[inside], self.ladder.rungs
        chain = [np.where(depths == len(rungs) - 1, top, -1)]
        for j in reversed(range(1, len(rungs))):
            rows, further = np.where(depths == j - 1, top, -1), (chain[-1] >= 0).nonzero()[0]
            rows[further] = rungs[j].lower[chain[-1][further]]
            chain.append(rows)
        chain[-1] = fold_of(inside, len(self.top), self.folds)
        told = self.ladder.distributions(chain[::-1], orders)
        return np.log(told, out=told)


def fold_of(places: np.ndarray, chars: int, folds: int) -> np.ndarray:
    """Which of `folds` equal stretches of the text each place is in."""
    return places.astype(np.int64) * folds // chars


def cross_fit(
    ids: np.ndarray, vocab_size: int, order: int, *, folds: int, most: int, line_break: int | None = None
) -> CrossFitted:
    """Count the last `most` of `ids` (N,), once for each fold without it, and once as a whole; `line_break` as for `learn`."""
    text, ids = ids, ids[-most:]
    folds = min(folds, len(ids))
    fold = fold_of(np.arange(len(ids)), len(ids), folds).astype(np.int32)
    depth, top = depths(ids, order, line_break), np.zeros(len(ids), np.int32)
    raw: list[Level] = []
    pairs: list[np.ndarray] = []  # of each level: row·folds + fold of the (context, fold) pairs that occur, ascending
    alone: list[Gone] = []  # of each level: n-grams that occur in one fold only
    begun: list[Gone] = []  # of each level: what folds put into n-grams that are counted as they occur
    for j, (level, events) in enumerate(grow(ids, vocab_size, order, depth)):
        here = fold[events.there]
        keys, places, _ = distinct(events.rows.astype(np.int64) * folds + here, level.rows * folds)
        top[events.there] = places  # of those with more context, a higher rung's takes its place
        raw.append(level)
        pairs.append(keys.astype(np.int32) if level.rows * folds < 2**31 else keys)
        alone.append(_alone(events.entries, here, len(level.characters)))
        counted = slice(None) if j == order - 1 else after(raw, line_break)[j][events.rows]
        begun.append(_put_in(events.entries[counted], here[counted], len(level.characters), folds))
    counts = Counts(continued(raw, line_break), vocab_size, len(ids))
    rungs: list[Rung] = []
    gone = begun.pop()
    for j in reversed(range(order)):
        rungs.insert(0, _rung(counts, j, pairs, gone, folds))
        gone = _both(_vanished(counts, j - 1, alone.pop(), folds), begun.pop()) if j else gone
    return CrossFitted(counts, Ladder(rungs, vocab_size), text, depth, top, folds)


def _put_in(entries: np.ndarray, fold: np.ndarray, many: int, folds: int) -> Gone:
    """How often each of a level's `many` entries occurs in each fold."""
    inside, _, times = distinct(entries.astype(np.int64) * folds + fold, many * folds)
    return Gone((inside // folds).astype(np.int32), inside % folds, times)


def _both(one: Gone, other: Gone) -> Gone:
    return Gone(*(np.concatenate((getattr(one, name), getattr(other, name))) for name in ("entries", "folds", "many")))


def _alone(entries: np.ndarray, fold: np.ndarray, many: int) -> Gone:
    """The n-grams that occur in one fold only. `fold` ascends with the text."""
    first, last = np.empty(many, np.int32), np.empty(many, np.int32)
    last[entries] = fold
    first[entries[::-1]] = fold[::-1]
    found = (first == last).nonzero()[0].astype(np.int32)
    return Gone(found, first[found], np.broadcast_to(np.int32(1), found.shape))


def _vanished(counts: Counts, j: int, alone: Gone, folds: int) -> Gone:
    """What folds had put into continuation counts of level j, from the longer n-grams that occur in one fold only."""
    level, above = counts.levels[j], counts.levels[j + 1]
    context = counts.suffixes[j + 1][above.row_of[alone.entries]]
    shorter = level.find(context, above.characters[alone.entries])
    keys, many = np.unique(shorter * folds + alone.folds, return_counts=True)
    return Gone((keys // folds).astype(np.int32), keys % folds, many)


def _rung(counts: Counts, j: int, pairs: list[np.ndarray], gone: Gone, folds: int) -> Rung:
    """The distributions of all pairs of level j: each row of the whole trie, less what is `gone` in the pair's fold."""
    level, row, fold = counts.levels[j], pairs[j] // folds, pairs[j] % folds
    which, entries = expand(level.starts, row)
    left = level.counts[entries]
    begins = np.cumsum(np.diff(level.starts)[row]) - np.diff(level.starts)[row]
    context = level.row_of[gone.entries]
    pair = np.searchsorted(pairs[j], context.astype(np.int64) * folds + gone.folds)
    place = begins[pair] + gone.entries - level.starts[context]
    few = np.bincount(np.minimum(level.counts, 5), minlength=6)[1:5] - _histogram(left[place], gone.folds, folds)
    left[place] -= gone.many
    few += _histogram(left[place], gone.folds, folds)
    there = left > 0
    starts = np.concatenate(([0], np.cumsum(np.bincount(which[there], minlength=len(row)))))
    characters, left = level.characters[entries[there]], left[there]
    del which, entries, there, place
    lower = np.zeros(len(row), np.int32)
    if j:
        lower = np.searchsorted(pairs[j - 1], counts.suffixes[j][row].astype(np.int64) * folds + fold).astype(np.int32)
    return smooth(lower, starts, characters, left, discount(few)[fold])


def _histogram(counts: np.ndarray, fold: np.ndarray, folds: int) -> np.ndarray:
    """How many counts are 1, 2, 3, 4 in each fold: (folds, 4)."""
    return np.bincount(fold * 6 + np.minimum(counts, 5), minlength=6 * folds).reshape(folds, 6)[:, 1:5]
