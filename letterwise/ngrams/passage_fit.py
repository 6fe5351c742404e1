"""Passages: cross-fitting for training texts that are too large to keep a row for each place.

    text ──passages of 2²⁰ characters, dealt to folds in turn──▶ counts without each fold ──▶ for a character of a fold: those

As in cross_fit.py, no place is predicted by counts that have seen its neighbourhood; but folds are few, and each has counts of
its own, with as many n-grams as those of the whole. Of a text this large, three quarters are nearly as good.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from letterwise.ngrams.adapt import AdaptedCounts, adapt, texts
from letterwise.ngrams.contexts.fit import FittedContexts, fit_contexts
from letterwise.ngrams.contexts.keys import Alphabet
from letterwise.ngrams.cross_fit import CrossFitted, cross_fit
from letterwise.ngrams.kneser_ney import Counts, count_ngrams
from letterwise.ngrams.on_disk import PASSAGE, count_on_disk

IN_MEMORY = 2**24  # characters up to which all n-grams are kept, and counted in memory
FOLDS = 4
WITHOUT = (None, *((FOLDS, fold) for fold in range(FOLDS)))  # of which the counts of a large text are made


@dataclass(frozen=True)
class PassageFitted:
    """The cross-fitted prior of a large training text, `counts` for text it has not seen, and `without` each of the folds.

    Of `ids` (N,), the whole text, the last `counted` characters were counted.
    """

    counts: Counts
    without: list[Counts]
    ids: np.ndarray
    counted: int
    contexts: FittedContexts | None = None

    def log_probs_at(self, starts: np.ndarray, length: int, orders: int = 1) -> np.ndarray:
        """As `CrossFitted.log_probs_at`."""
        places = starts[:, None] + np.arange(1, length + 1) - (len(self.ids) - self.counted)
        fold = np.maximum(places, 0) // PASSAGE % len(self.without)  # what was not counted, no fold has seen
        log_probs = np.empty((len(starts), length, orders, self.counts.vocab_size + 1), np.float32)
        own = min(orders, self.counts.order)
        ngrams = log_probs[:, :, orders - own :]
        for f, counts in enumerate(self.without):
            windows = (fold == f).any(1).nonzero()[0]
            if len(windows):
                found = counts.log_probs_at(self.ids, starts[windows], length, own)
                row, place = (fold[windows] == f).nonzero()
                ngrams[windows[row], place] = found[row, place]
        if orders > own and self.contexts:
            self.contexts.fill(log_probs, self.ids, starts)
        return log_probs

    def complete(self) -> None:
        """Make all that follows from the counts, to be shared."""
        for counts in (self.counts, *self.without):
            _ = counts.smoothed.dense, [level.keys for level in counts.levels]
        if self.contexts:
            self.contexts.complete()


TrainingPrior = CrossFitted | PassageFitted


def by_disk(chars: int, order: int) -> bool:
    """Whether n-grams of so many characters are counted on disk, and rare ones left out."""
    return chars > IN_MEMORY and order >= 2


def count_text(ids: np.ndarray, vocab_size: int, order: int, line_break: int | None = None) -> Counts:
    """`count_ngrams` for a text of any length: of one over 16.8 million characters, rare n-grams are left out."""
    if by_disk(len(ids), order):
        return count_on_disk(ids, vocab_size, order, line_break)
    return count_ngrams(ids[-IN_MEMORY:], vocab_size, order, line_break)


def fit_text(
    ids: np.ndarray,
    vocab_size: int,
    order: int,
    *,
    folds: int,
    max_chars: int,
    line_break: int | None = None,
    before: Sequence[Counts] = (),
    after: Sequence[Counts] = (),
) -> TrainingPrior:
    """`cross_fit` for a text of any length: of over 16.8 million characters, rare n-grams are left out, and folds are few."""
    counted = min(max_chars, len(ids))
    if not by_disk(counted, order):
        counted = min(counted, IN_MEMORY)
        return cross_fit(
            ids, vocab_size, order, folds=folds, max_chars=counted, line_break=line_break, before=before, after=after
        )
    text = ids[-counted:]
    each: list[Counts] = [count_on_disk(text, vocab_size, order, line_break, without=without) for without in WITHOUT]
    return adapted(PassageFitted(each[0], each[1:], ids, counted), before, after)


def adapted(fitted: PassageFitted, before: Sequence[Counts], after: Sequence[Counts] = ()) -> PassageFitted:
    """The same, with counts of other texts put together with those of the whole, and of each fold, as `adapt` says."""
    each = [adapt([*before, counts, *after]) for counts in (fitted.counts, *fitted.without)]
    return replace(fitted, counts=each[0], without=each[1:])


def fitted_contexts(fitted: TrainingPrior, alphabet: Alphabet, *, folds: int, chars: int, after: int = 0) -> TrainingPrior:
    """The same, with contexts, of the last `chars` characters at most; so many texts come `after` this one in its counts."""
    counts = fitted.counts
    parts = list(texts(counts))
    place = len(parts) - 1 - after
    others = [part.contexts for i, part in enumerate(parts) if i != place and part.contexts]
    contexts = fit_contexts(fitted.ids[-chars:], counts.vocab_size, alphabet, folds=folds, others=others)
    if isinstance(counts, AdaptedCounts):
        parts[place] = parts[place].with_contexts(contexts.own)
        counts = replace(counts, parts=tuple(parts))
    return replace(fitted, counts=counts.with_contexts(contexts.counts), contexts=contexts)
