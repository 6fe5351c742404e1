"""Kneser-Ney: predictions from the counts of a text's n-grams.

    ids ──build_levels──▶ trie ──continuation counts, discounts──▶ back-off model ──▶ p(c | the last order-1 characters)

Interpolated modified Kneser-Ney smoothing (Chen & Goodman 1998 §3; Kneser & Ney 1995). The longest n-grams are counted as
they occur. A shorter one is counted once for each different character that stands before it (its continuation count): it
is only asked where longer ones were never seen, so what matters is in how many contexts a character appears.

Where lines are examples, a context ends at the line break that its line begins after: no n-gram reaches across one. Those that
begin with it have nothing before them that could differ, and are counted as they occur (as KenLM's with <s>, Heafield 2011).
"""

from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Self

import numpy as np

from letterwise.config import CONTEXT_REACH
from letterwise.ngrams.backoff import BackoffModel, discount, smooth
from letterwise.ngrams.contexts.tables import ContextCounts
from letterwise.ngrams.trie import Level, at_line_start, build_levels, context_lengths, suffixes

ORDER = 7  # of counting alone, as a baseline: on a million characters of English longer ones bring nothing


@dataclass(frozen=True)
class Counts:
    """A frozen Kneser-Ney model: the trie of its training text, and the distributions that follow from it.

    The counts of all levels but the last are continuation counts. `chars` is how much text was counted. `contexts` are what
    else was counted, where that was asked for.
    """

    levels: list[Level]
    vocab_size: int
    chars: int
    contexts: ContextCounts | None = field(default=None, kw_only=True)

    @property
    def order(self) -> int:
        """Length of the longest n-grams: a character is predicted from the order - 1 before it."""
        return len(self.levels)

    def with_contexts(self, contexts: ContextCounts | None) -> Self:
        """The same n-grams, with all that was made of them, and these contexts."""
        changed = replace(self, contexts=contexts)
        vars(changed).update({name: value for name, value in vars(self).items() if name in ("suffixes", "smoothed")})
        return changed

    def reach(self, orders: int) -> int:
        """How many ids before a character `log_probs` looks at, for so many distributions."""
        return max(CONTEXT_REACH, self.order - 1) if orders > self.order else self.order - 1

    @cached_property
    def suffixes(self) -> list[np.ndarray]:
        """Each context without its first character."""
        return suffixes(self.levels)

    @cached_property
    def smoothed(self) -> BackoffModel:
        """The smoothed distributions."""
        levels = []
        for level, lower in zip(self.levels, self.suffixes, strict=True):
            counts_of_counts = np.bincount(np.minimum(level.counts, 5), minlength=6)[1:5]
            discounts = np.broadcast_to(discount(counts_of_counts), (level.rows, 4))
            levels.append(smooth(lower, level.starts, level.characters, level.counts, discounts))
        return BackoffModel(levels, self.vocab_size)

    def log_probs(self, windows: np.ndarray, length: int, orders: int = 1) -> np.ndarray:
        """ln p of what follows each of the last `length` ids of each window: (B, S) ids ──▶ (B, length, K, V+1), float32.

        With K = `orders`: by n-grams of up to order-K+1, …, order characters, each apart; the last of the V+1 is the escape,
        the share that is left to shorter n-grams. Of a K above the order, the first ones are by contexts of each kind.
        A window may begin with -1 for "no character": n-grams that would hold it count as never seen.
        """
        seen = windows[:, max(0, windows.shape[1] - length - self.order + 1) :]
        size = seen.shape[1]
        known = np.maximum(seen, 0)
        rows = np.zeros((len(seen), size + 1), np.int32)  # of the context that ends before place s
        rows_by_level = [rows[:, size - length + 1 :]]
        for level in self.levels[:-1]:
            grown = np.full_like(rows, -1)
            grown[:, 1:] = np.where(seen >= 0, level.find(rows[:, :-1], known), -1)
            rows = grown
            rows_by_level.append(rows[:, size - length + 1 :])
        probs = self.smoothed.distributions([rows.reshape(-1) for rows in rows_by_level], min(orders, self.order))
        log_probs = np.log(probs, out=probs).reshape(len(windows), length, -1, self.vocab_size + 1)
        if orders > self.order and self.contexts:
            others = self.contexts.log_probs(windows, length, log_probs[:, :, -1, :-1])
            log_probs = np.concatenate((others, log_probs), axis=2)
        return log_probs

    def log_probs_at(self, ids: np.ndarray, starts: np.ndarray, length: int, orders: int = 1) -> np.ndarray:
        """ln p of what follows each of `ids[start : start + length]`, all of `ids` before it known: (B, length, K, V+1).

        For places behind the end of `ids` the values mean nothing.
        """
        places = starts[:, None] + np.arange(1 - self.reach(orders), length)
        known = ids[np.clip(places, 0, len(ids) - 1)].astype(np.int64)
        return self.log_probs(np.where(places >= 0, known, -1), length, orders)

    def nats_per_char(self, ids: np.ndarray, *, chunk: int = 2**12, every: int = 1) -> float:
        """Mean surprise over all of `ids` (N,) but the first, or over each `every`-th chunk of them."""
        total, chars = 0.0, 0
        for start in range(0, len(ids) - 1, chunk * every):
            length = min(chunk, len(ids) - 1 - start)
            log_probs = self.log_probs_at(ids, np.array([start]), length)[0, :, 0]
            total -= log_probs[np.arange(length), ids[start + 1 : start + 1 + length]].sum(dtype=np.float64)
            chars += length
        return float(total / chars)


def count_ngrams(ids: np.ndarray, vocab_size: int, order: int, line_break: int | None = None) -> Counts:
    """Count `ids` (N,), which must be no fewer than the order; with the id of a line break, line by line."""
    levels = [level for level, _ in build_levels(ids, vocab_size, order, context_lengths(ids, order, line_break))]
    return Counts(with_continuation_counts(levels, line_break), vocab_size, len(ids))


def with_continuation_counts(levels: list[Level], line_break: int | None = None) -> list[Level]:
    """The levels with continuation counts, except the last, and those n-grams that begin with the line break of their line."""
    lower, line_starts = suffixes(levels), at_line_start(levels, line_break)
    counted = []
    for j, (level, above) in enumerate(pairwise(levels)):
        shorter = level.find(lower[j + 1][above.row_of], above.characters)  # each longer n-gram without its first character
        counts = np.bincount(shorter, minlength=len(level.characters))
        counts = np.where(line_starts[j][level.row_of], level.counts, counts)
        counted.append(Level(level.starts, level.characters, counts, level.vocab_size))
    return [*counted, levels[-1]]
