"""Crossfit: for each place of the training text, what counts say that have not seen its neighbourhood.

    text, cut into folds ──▶ for a character of fold f: Kneser-Ney from the n-grams of all other folds

A prior that has counted the very text it predicts looks far better there than it will on new text, and a model that learns
beside it learns to trust it too much. So each fold gets the counts of the others. An n-gram belongs to the fold of its
last character.

Building as many models as there are folds would cost that many builds. Instead every (context, fold) pair that occurs
gets a row of its own: the context's row of the whole trie, less what the fold had put in. That is about two builds.
"""

from dataclasses import dataclass

import numpy as np

from letterwise.counts.kneser_ney import Counts, continued, discount, smooth
from letterwise.counts.ladder import Ladder, Rung
from letterwise.counts.trie import Level, distinct, expand, grow


@dataclass(frozen=True)
class Pairs:
    """The (context, fold) pairs of one level, ascending, and the n-grams that occur in each fold.

    `keys` (P,) are row·folds + fold. `pair`, `character`, `count` (G,): how often the character followed within the fold.
    """

    keys: np.ndarray
    pair: np.ndarray
    character: np.ndarray
    count: np.ndarray


@dataclass(frozen=True)
class CrossFitted:
    """The cross-fitted prior of a training text, and `counts` for text it has not seen.

    `ids` (N,) is the whole text, and `top` (M,) the place on the highest rung of each of the last M characters, which
    are those that were counted. What comes before them was not, so the whole counts are honest there.
    """

    counts: Counts
    ladder: Ladder
    ids: np.ndarray
    top: np.ndarray
    folds: int

    def at(self, starts: np.ndarray, length: int, orders: int = 1) -> np.ndarray:
        """ln p of the characters at start + 1 … start + length, from the folds they are not in: (B, length, K, V+1), float32.

        K = `orders` and escapes as for `Counts.log_probs`.
        """
        told = np.empty((len(starts), length, orders, self.ladder.vocab_size + 1), np.float32)
        starts = starts - (len(self.ids) - len(self.top))
        outside = starts + length < 0
        if outside.any():
            told[outside] = self.counts.before(self.ids, starts[outside] + len(self.ids) - len(self.top), length, orders)
        places = (starts[~outside, None] + np.arange(1, length + 1)).reshape(-1)
        told[~outside] = self._counted(places, orders).reshape(-1, *told.shape[1:])
        return told

    def _counted(self, places: np.ndarray, orders: int) -> np.ndarray:
        """ln p of characters of the counted text (n, K, V+1). A place just before it gets letter frequencies."""
        inside = np.maximum(places, 0)
        chain = [np.where(places >= 0, self.top[inside], -1)]
        for rung in self.ladder.rungs[:0:-1]:
            chain.append(np.where(chain[-1] >= 0, rung.lower[chain[-1]], -1))
        chain[-1] = fold_of(inside, len(self.top), self.folds)
        told = self.ladder.distributions(chain[::-1], orders)
        return np.log(told, out=told)


def fold_of(places: np.ndarray, chars: int, folds: int) -> np.ndarray:
    """Which of `folds` equal stretches of the text each place is in."""
    return places.astype(np.int64) * folds // chars


def cross_fit(ids: np.ndarray, vocab_size: int, order: int, *, folds: int, most: int) -> CrossFitted:
    """Count the last `most` of `ids` (N,), once for each fold without it, and once as a whole."""
    text, ids = ids, ids[-most:]
    folds = min(folds, len(ids))
    fold = fold_of(np.arange(len(ids)), len(ids), folds)
    raw, pairs = [], []
    top = np.full(len(ids), -1, np.int32)
    for level, events in grow(ids, vocab_size, order):
        j = len(raw)
        keys, pair, _ = distinct(events.rows[j:].astype(np.int64) * folds + fold[j:], level.rows * folds)
        inside, count = np.unique(pair.astype(np.int64) * vocab_size + ids[j:], return_counts=True)
        raw.append(level)
        pairs.append(Pairs(keys, inside // vocab_size, inside % vocab_size, count))
        top[:] = -1
        top[j:] = pair
    counts = Counts(continued(raw), vocab_size, len(ids))
    rungs: list[Rung] = []
    for j, level in enumerate(counts.levels):
        gone = _removed(pairs[j]) if j == order - 1 else _vanished(counts, pairs, j, folds)
        below = rungs and pairs[j - 1].keys
        rungs.append(_rung(level, counts.suffixes[j], pairs[j].keys, below, gone, folds))
    return CrossFitted(counts, Ladder(rungs, vocab_size), text, top, folds)


def _removed(pairs: Pairs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a fold had put into raw counts: (pair, character, count)."""
    return pairs.pair, pairs.character, pairs.count


def _vanished(counts: Counts, pairs: list[Pairs], j: int, folds: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a fold had put into continuation counts of level j: the longer n-grams that occur in no other fold."""
    level, above, longer = counts.levels[j], counts.levels[j + 1], pairs[j + 1]
    row, fold = longer.keys[longer.pair] // folds, longer.keys[longer.pair] % folds
    entry = above.find(row, longer.character)
    alone = np.bincount(entry, minlength=len(above.characters))[entry] == 1
    context = counts.suffixes[j + 1][row[alone]]
    pair = np.searchsorted(pairs[j].keys, context.astype(np.int64) * folds + fold[alone])
    keys, many = np.unique(pair * np.int64(level.vocab_size) + longer.character[alone], return_counts=True)
    return keys // level.vocab_size, keys % level.vocab_size, many


def _rung(
    level: Level,
    suffix: np.ndarray,
    keys: np.ndarray,
    below: np.ndarray | list[Rung],
    gone: tuple[np.ndarray, np.ndarray, np.ndarray],
    folds: int,
) -> Rung:
    """The distributions of all pairs of a level: each row of the whole trie, less what is `gone` in the pair's fold."""
    row, fold = keys // folds, keys % folds
    which, entries = expand(level.starts, row)
    counts = level.counts[entries]
    starts = np.concatenate(([0], np.cumsum(np.diff(level.starts)[row])))
    pair, character, many = gone
    whole = level.find(row[pair], character)
    place = starts[pair] + whole - level.starts[row[pair]]
    few = np.bincount(np.minimum(level.counts, 5), minlength=6)[1:5]
    before = _histogram(level.counts[whole], fold[pair], folds)
    counts[place] -= many
    after = _histogram(counts[place], fold[pair], folds)
    discounts = discount(few - before + after)[fold]
    left = counts > 0
    starts = np.concatenate(([0], np.cumsum(np.bincount(which[left], minlength=len(row)))))
    lower = np.searchsorted(below, suffix[row].astype(np.int64) * folds + fold) if len(below) else np.zeros(len(row), np.int64)
    return smooth(lower.astype(np.int32), starts, level.characters[entries[left]], counts[left], discounts)


def _histogram(counts: np.ndarray, fold: np.ndarray, folds: int) -> np.ndarray:
    """How many counts are 1, 2, 3, 4 in each fold: (folds, 4)."""
    return np.bincount(fold * 6 + np.minimum(counts, 5), minlength=6 * folds).reshape(folds, 6)[:, 1:5]
