"""Cross-fitting: for each place of the training text, a prediction by counts that have not seen its neighbourhood.

    text, cut into folds ──▶ for a character of fold f: Kneser-Ney from the n-grams of all other folds

A prior that has counted the very text it predicts looks far better there than it will on new text, and a model that learns
beside it learns to trust it too much. So each fold gets the counts of the others. An n-gram belongs to the fold of its
last character.

Building as many models as there are folds would cost that many builds. Instead every (context, fold) pair that occurs
gets a row of its own: the context's row of the whole trie, less what the fold had put in. That is about two builds.

Where other texts were counted, too (fine-tuning: a base text before this one), theirs are combined with what is left of this
text's.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from letterwise.ngrams.adapt import AdaptedCounts, adapt, interpolated, on_rows
from letterwise.ngrams.backoff import BackoffLevel, BackoffModel, discount, smooth
from letterwise.ngrams.contexts.fit import FittedContexts
from letterwise.ngrams.kneser_ney import Counts, with_continuation_counts
from letterwise.ngrams.trie import Level, at_line_start, build_levels, context_lengths, distinct, expand


@dataclass(frozen=True)
class FoldCounts:
    """What single folds put into the counts of a level: `counts` (G,) of `entries`' counts come from `folds` alone."""

    entries: np.ndarray
    folds: np.ndarray
    counts: np.ndarray

    def __add__(self, other: "FoldCounts") -> "FoldCounts":
        names = ("entries", "folds", "counts")
        return FoldCounts(*(np.concatenate((getattr(self, name), getattr(other, name))) for name in names))


@dataclass(frozen=True)
class CrossFitted:
    """The cross-fitted prior of a training text, and `counts` for text it has not seen.

    `ids` (N,) is the whole text. Its last M characters were counted: `depths` (M,) is how much context each of them has, and
    `top` (M,) its row on that level. What comes before them was not counted, so there the counts of all are used.
    """

    counts: Counts
    smoothed: BackoffModel
    ids: np.ndarray
    depths: np.ndarray
    top: np.ndarray
    folds: int
    contexts: FittedContexts | None = None

    def log_probs_at(self, starts: np.ndarray, length: int, orders: int = 1) -> np.ndarray:
        """ln p of the characters at start + 1 … start + length, from the folds they are not in: (B, length, K, V+1), float32.

        K = `orders` and escapes as for `Counts.log_probs`. For places behind the end of the text the values mean nothing.
        """
        log_probs = np.empty((len(starts), length, orders, self.smoothed.vocab_size + 1), np.float32)
        own = min(orders, self.counts.order)
        ngrams = log_probs[:, :, orders - own :]
        uncounted = len(self.ids) - len(self.top)
        outside = starts + length < uncounted
        if outside.any():
            ngrams[outside] = self.counts.log_probs_at(self.ids, starts[outside], length, own)
        places = (starts[~outside, None] - uncounted + np.arange(1, length + 1)).reshape(-1)
        ngrams[~outside] = self._counted(places, own).reshape(-1, *ngrams.shape[1:])
        if orders > own and self.contexts:
            self.contexts.fill(log_probs, self.ids, starts)
        return log_probs

    def complete(self) -> None:
        """Make all that is made on first use, to be shared."""
        _ = self.smoothed.dense, self.counts.smoothed.dense
        if self.contexts:
            self.contexts.complete()

    def _counted(self, places: np.ndarray, orders: int) -> np.ndarray:
        """ln p of characters of the counted text (n, K, V+1). A place just before it gets letter frequencies."""
        inside, levels = np.clip(places, 0, len(self.top) - 1), self.smoothed.levels
        depths, top = np.where(places >= 0, self.depths[inside], 0), self.top[inside]
        rows_by_level = [np.where(depths == len(levels) - 1, top, -1)]  # from the highest level down
        for j in reversed(range(1, len(levels))):
            rows, known = np.where(depths == j - 1, top, -1), (rows_by_level[-1] >= 0).nonzero()[0]
            rows[known] = levels[j].lower[rows_by_level[-1][known]]
            rows_by_level.append(rows)
        rows_by_level[-1] = fold_of(inside, len(self.top), self.folds)
        probs = self.smoothed.distributions(rows_by_level[::-1], orders)
        return np.log(probs, out=probs)


def fold_of(places: np.ndarray, chars: int, folds: int) -> np.ndarray:
    """Which of `folds` equal stretches of the text each place is in."""
    return places.astype(np.int64) * folds // chars


def cross_fit(
    ids: np.ndarray,
    vocab_size: int,
    order: int,
    *,
    folds: int,
    max_chars: int,
    line_break: int | None = None,
    before: Sequence[Counts] = (),
    after: Sequence[Counts] = (),
) -> CrossFitted:
    """Count the last `max_chars` of `ids` (N,), once for each fold without it, and once as a whole.

    `line_break` as for `count_ngrams`. Counts of other texts are combined with these as `adapt` says: this text adapts those
    `before` it, and those `after` it adapt this one.
    """
    text, ids = ids, ids[-max_chars:]
    folds = min(folds, len(ids))
    fold = fold_of(np.arange(len(ids)), len(ids), folds).astype(np.int32)
    depths, top = context_lengths(ids, order, line_break), np.zeros(len(ids), np.int32)
    levels: list[Level] = []
    pairs: list[np.ndarray] = []  # of each level: row·folds + fold of the (context, fold) pairs that occur, ascending
    alone: list[FoldCounts] = []  # of each level: n-grams that occur in one fold only
    as_occurring: list[FoldCounts] = []  # of each level: what folds put into n-grams that are counted as they occur
    for j, (level, events) in enumerate(build_levels(ids, vocab_size, order, depths)):
        here = fold[events.there]
        keys, places, _ = distinct(events.rows.astype(np.int64) * folds + here, level.rows * folds)
        top[events.there] = places  # of those with more context, a higher level's row takes its place
        levels.append(level)
        pairs.append(keys.astype(np.int32) if level.rows * folds < 2**31 else keys)
        alone.append(_in_one_fold(events.entries, here, len(level.characters)))
        counted = slice(None) if j == order - 1 else at_line_start(levels, line_break)[j][events.rows]
        as_occurring.append(_by_fold(events.entries[counted], here[counted], len(level.characters), folds))
    counts = Counts(with_continuation_counts(levels, line_break), vocab_size, len(ids))
    fitted: list[BackoffLevel] = []
    removed = as_occurring.pop()
    for j in reversed(range(order)):
        fitted.insert(0, _without_fold(counts, j, pairs, removed, folds))
        if j:
            removed = _lost_continuations(counts, j - 1, alone.pop(), folds) + as_occurring.pop()
    every = adapt([*before, counts, *after])
    if isinstance(every, AdaptedCounts):
        contexts = [keys // folds for keys in pairs]
        fitted = [_beside_others(j, level, contexts[j], counts, every) for j, level in enumerate(fitted)]
    return CrossFitted(every, BackoffModel(fitted, vocab_size), text, depths, top, folds)


def _beside_others(j: int, fitted: BackoffLevel, contexts: np.ndarray, counts: Counts, every: AdaptedCounts) -> BackoffLevel:
    """A level of fitted rows, of these `contexts` (R,) of `counts`, combined with the other texts' rows of the same ones."""
    own = next(i for i, part in enumerate(every.parts) if part is counts)
    joined = np.zeros(counts.levels[j].rows, np.int32)  # of each context of this text, its row among those of every text
    there = every.rows[own][j]
    joined[there[there >= 0]] = (there >= 0).nonzero()[0]
    of_texts = [rows[j][joined[contexts]] for rows in every.rows]
    each = [
        on_rows(fitted, np.arange(len(contexts)), every.vocab_size)
        if part is counts
        else on_rows(part.smoothed.levels[j], rows, every.vocab_size)
        for part, rows in zip(every.parts, of_texts, strict=True)
    ]
    return interpolated(each, fitted.lower, every.vocab_size)


def _by_fold(entries: np.ndarray, fold: np.ndarray, n_entries: int, folds: int) -> FoldCounts:
    """How often each of a level's entries occurs in each fold."""
    inside, _, counts = distinct(entries.astype(np.int64) * folds + fold, n_entries * folds)
    return FoldCounts((inside // folds).astype(np.int32), inside % folds, counts)


def _in_one_fold(entries: np.ndarray, fold: np.ndarray, n_entries: int) -> FoldCounts:
    """The n-grams that occur in one fold only. `fold` ascends with the text."""
    first, last = np.empty(n_entries, np.int32), np.empty(n_entries, np.int32)
    last[entries] = fold
    first[entries[::-1]] = fold[::-1]
    found = (first == last).nonzero()[0].astype(np.int32)
    return FoldCounts(found, first[found], np.broadcast_to(np.int32(1), found.shape))


def _lost_continuations(counts: Counts, j: int, alone: FoldCounts, folds: int) -> FoldCounts:
    """What folds put into continuation counts of level j, by the longer n-grams that occur in one fold only."""
    level, above = counts.levels[j], counts.levels[j + 1]
    context = counts.suffixes[j + 1][above.row_of[alone.entries]]
    shorter = level.find(context, above.characters[alone.entries])
    keys, lost = np.unique(shorter * folds + alone.folds, return_counts=True)
    return FoldCounts((keys // folds).astype(np.int32), keys % folds, lost)


def _without_fold(counts: Counts, j: int, pairs: list[np.ndarray], removed: FoldCounts, folds: int) -> BackoffLevel:
    """The distributions of all pairs of level j: each row of the whole trie, less what the pair's fold put in."""
    level, row, fold = counts.levels[j], pairs[j] // folds, pairs[j] % folds
    which, entries = expand(level.starts, row)
    left = level.counts[entries]
    begins = np.cumsum(np.diff(level.starts)[row]) - np.diff(level.starts)[row]
    context = level.row_of[removed.entries]
    pair = np.searchsorted(pairs[j], context.astype(np.int64) * folds + removed.folds)
    place = begins[pair] + removed.entries - level.starts[context]
    counts_of_counts = np.bincount(np.minimum(level.counts, 5), minlength=6)[1:5]
    counts_of_counts = counts_of_counts - _histogram(left[place], removed.folds, folds)
    left[place] -= removed.counts
    counts_of_counts += _histogram(left[place], removed.folds, folds)
    there = left > 0
    starts = np.concatenate(([0], np.cumsum(np.bincount(which[there], minlength=len(row)))))
    characters, left = level.characters[entries[there]], left[there]
    del which, entries, there, place
    lower = np.zeros(len(row), np.int32)
    if j:
        lower = np.searchsorted(pairs[j - 1], counts.suffixes[j][row].astype(np.int64) * folds + fold).astype(np.int32)
    return smooth(lower, starts, characters, left, discount(counts_of_counts)[fold])


def _histogram(counts: np.ndarray, fold: np.ndarray, folds: int) -> np.ndarray:
    """How many counts are 1, 2, 3, 4 in each fold: (folds, 4)."""
    return np.bincount(fold * 6 + np.minimum(counts, 5), minlength=6 * folds).reshape(folds, 6)[:, 1:5]
