"""On disk: the n-grams of a text of any length, all of them counted; rare ones are left out until a table of the others fits.

    ids ──group of last two characters──▶ n-grams as numbers, last character first ──sort──▶ each once, and how often it occurs
    groups, one after another, on disk ──how many occur how often──▶ from which count on they are kept ──▶ PrunedCounts

In a sorted group n-grams with the same end stand side by side, so the shorter ones can be read off: how often each occurs, and
how many different characters stand before it (its continuation count). What Kneser-Ney smoothing asks is taken from all of them
before any is left out: continuation counts, how much was counted in each context, and what discounts are estimated from.

An n-gram occurs no more often than the shorter ones that are part of it, and is asked to occur at least as often as these to be
kept: so what is kept of an n-gram's context, and of shorter contexts, is there.
"""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, NamedTuple

import numpy as np

from letterwise.errors import UserError
from letterwise.ngrams.pruned import PrunedCounts
from letterwise.ngrams.trie import Level, context_lengths, distinct

MAX_NGRAMS = 2**24  # that are kept
AT_ONCE = 2**25  # n-grams that are sorted at once, 8 bytes each
PIECE = 2**22  # and looked at at once after that
CHUNK = 2**20  # places of the text that are looked at at once
MOST = 2**10  # counts from here on are the same to pruning
PASSAGE = 2**20  # characters that are in one fold together


@dataclass(frozen=True)
class Text:
    """A text (N,), and how its n-grams are numbers: the last character's id, then a digit for each before it, nearest first.

    `digits` (V,) are those of characters, in their order, from 1 on; 0 is for none. Where there are too many characters for 62
    bits, the rarest have none: no context reaches over one. Of `folds`, places of the one that is `without` are not counted.
    """

    ids: np.ndarray
    order: int
    line_break: int | None
    digits: np.ndarray
    without: tuple[int, int] | None

    @property
    def vocab_size(self) -> int:
        """V"""
        return len(self.digits)

    @property
    def base(self) -> int:
        """How many digits there are."""
        return int(self.digits.max()) + 1

    def pairs(self, begin: int, end: int, lowest: int = 0, highest: int | None = None) -> "Pairs":
        """Of the places begin … end with an id from `lowest` to `highest`, the last two characters as a number."""
        first = max(0, begin - self.order + 1)
        some = np.asarray(self.ids[first:end])
        chosen = some[begin - first :] >= lowest
        if highest is not None:
            chosen &= some[begin - first :] <= highest
        if self.without:
            folds, fold = self.without
            chosen &= np.arange(begin, end) // PASSAGE % folds != fold
        places = chosen.nonzero()[0] + (begin - first)
        depths = context_lengths(some, self.order, self.line_break)[places]
        numbers = some[places].astype(np.int64) * self.base
        found = Pairs(some, places, depths, numbers)
        numbers += self.digits_before(found, 1)
        return found

    def digits_before(self, pairs: "Pairs", back: int) -> np.ndarray:
        """The digit of the character so far before each place (n,); 0 where it is no part of the context."""
        return np.where(pairs.depths >= back, self.digits[pairs.ids[np.maximum(pairs.places - back, 0)]], 0)

    def ngrams(self, low: int, high: int) -> Iterator[np.ndarray]:
        """The longest n-grams, as numbers, whose last two characters are a number from `low` to below `high`."""
        for begin in range(0, len(self.ids), CHUNK):
            pairs = self.pairs(begin, min(begin + CHUNK, len(self.ids)), low // self.base, (high - 1) // self.base)
            pairs = pairs.taken((pairs.numbers >= low) & (pairs.numbers < high))
            ngrams = pairs.numbers
            known = ngrams % self.base > 0
            for back in range(2, self.order):
                digit = self.digits_before(pairs, back)
                known &= digit > 0
                ngrams = ngrams * self.base + np.where(known, digit, 0)
            yield ngrams

    def forward(self, ngrams: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
        """N-grams of one length the other way round: the context, its oldest character first, and the last character."""
        context = np.zeros_like(ngrams)
        for _ in range(length - 1):
            ngrams, digit = np.divmod(ngrams, self.base)
            context = context * self.base + digit
        return context, ngrams

    def backward(self, keys: np.ndarray, length: int) -> np.ndarray:
        """Keys of n-grams of one length as numbers of digits alone, the last character first."""
        context, characters = np.divmod(keys, self.vocab_size)
        numbers = self.digits[characters] if length else np.zeros_like(keys)
        for _ in range(length - 1):
            context, digit = np.divmod(context, self.base)
            numbers = numbers * self.base + digit
        return numbers

    def context_key(self, context: np.ndarray) -> np.ndarray:
        """A context as an n-gram of its own: see `key`."""
        before, digit = np.divmod(context, self.base)
        return self.key(before, self.digits.nonzero()[0][digit - 1])

    def key(self, context: np.ndarray, character: np.ndarray) -> np.ndarray:
        """N-grams as numbers that ascend as a trie's entries do."""
        return context * self.vocab_size + character


@dataclass(frozen=True)
class Pairs:
    """Places among some `ids` of a text, `depths` of their context, and `numbers` of their last two characters; all (n,)."""

    ids: np.ndarray
    places: np.ndarray
    depths: np.ndarray
    numbers: np.ndarray

    def taken(self, which: np.ndarray) -> "Pairs":
        """Those of a mask (n,)."""
        return Pairs(self.ids, self.places[which], self.depths[which], self.numbers[which])


class Group(NamedTuple):
    """Where a group is: in a file that has no name, so that nothing is left of it, however the process ends."""

    file: IO[bytes]
    begin: int
    ngrams: int


def count_on_disk(
    ids: np.ndarray,
    vocab_size: int,
    order: int,
    line_break: int | None = None,
    *,
    max_ngrams: int = MAX_NGRAMS,
    at_once: int = AT_ONCE,
    without: tuple[int, int] | None = None,
) -> PrunedCounts:
    """`count_ngrams` of a text of any length, for an order of 2 or more. At most about `max_ngrams` are kept.

    `without` one of so many folds: stretches of 2²⁰ characters are dealt to the folds in turn. Raises `UserError` where the
    disk is full.
    """
    text = Text(ids, order, line_break, digits_for(ids, vocab_size, order), without)
    try:
        with tempfile.TemporaryFile() as file:
            pairs = pairs_of(text)
            groups = list(sorted_groups(text, pairs, file, at_once))
            histograms, few = np.zeros((order + 1, MOST + 1), np.int64), np.zeros((order + 1, 6), np.int64)
            for group in groups:
                for length, _, occurs, counts in by_length(text, group):
                    histograms[length] += np.bincount(np.minimum(occurs, MOST), minlength=MOST + 1)
                    few[length] += np.bincount(np.minimum(counts, 5), minlength=6)
            seen = pairs.sum(1).nonzero()[0]
            singles = (pairs[seen, 1:] > 0).sum(1)
            few[1] = np.bincount(np.minimum(singles, 5), minlength=6)
            kept = _kept(text, groups, min_counts(histograms, max_ngrams))
            keys, levels = _as_levels(text, [(seen, singles), *kept])
            totals = _totals(text, keys, groups)
    except OSError as error:
        raise UserError(
            f"counting n-grams takes room in {tempfile.gettempdir()!r}, and there is a problem: {error.strerror}. "
            "Set TMPDIR to a folder with more room, or lower --counts_chars."
        ) from error
    totals[0][0] = singles.sum()
    return PrunedCounts(levels, vocab_size, int(pairs.sum()), totals, list(few[1:, 1:5]))


def digits_for(ids: np.ndarray, vocab_size: int, order: int) -> np.ndarray:
    """Digits (V,) of as many characters as fit, the most frequent ones."""
    room = int((2.0**62 / vocab_size) ** (1 / (order - 1))) - 1
    frequency = np.zeros(vocab_size, np.int64)
    for begin in range(0, len(ids), CHUNK):
        frequency += np.bincount(ids[begin : begin + CHUNK], minlength=vocab_size)
    digits = np.zeros(vocab_size, np.int64)
    chosen = np.sort(np.argsort(-frequency, kind="stable")[:room])
    digits[chosen] = np.arange(1, len(chosen) + 1)
    return digits


def pairs_of(text: Text) -> np.ndarray:
    """How often each character follows each digit: (V, base)."""
    pairs = np.zeros(text.vocab_size * text.base, np.int64)
    for begin in range(0, len(text.ids), CHUNK):
        found = text.pairs(begin, min(begin + CHUNK, len(text.ids))).numbers
        which, _, counts = distinct(found, len(pairs))
        pairs[which] += counts
    return pairs.reshape(text.vocab_size, text.base)


def sorted_groups(text: Text, pairs: np.ndarray, file: IO[bytes], at_once: int) -> Iterator[Group]:
    """All different n-grams of the longest length, ascending, and how often each occurs: see `by_length`."""
    ends = np.cumsum(pairs)
    low = 0
    while low < len(ends):
        before = int(ends[low - 1]) if low else 0
        high = max(low + 1, int(np.searchsorted(ends, before + at_once, "right")))
        ngrams, filled = np.empty(int(ends[high - 1]) - before, np.int64), 0
        for some in text.ngrams(low, high) if len(ngrams) else ():
            ngrams[filled : filled + len(some)] = some
            filled += len(some)
        ngrams.sort()
        edges = np.searchsorted(ngrams, np.arange(low, high + 1) * text.base ** (text.order - 2)).tolist()
        low, begin = high, 0
        for end in edges:
            if end - begin >= PIECE or begin < end == filled:
                some, begin = ngrams[begin:end], end
                begins = _begins(some)
                group = Group(file, file.seek(0, os.SEEK_END), len(begins))
                for numbers in some[begins], np.diff(begins, append=len(some)):
                    file.write(numbers.data)
                yield group


def by_length(text: Text, group: Group) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
    """The n-grams of a group, the longest first: their length, they themselves, how often they occur, and count; all (n,)."""
    group.file.seek(group.begin)
    ngrams, occurs = np.frombuffer(group.file.read(2 * 8 * group.ngrams), np.int64).reshape(2, -1)
    counts, break_digit = occurs, 0 if text.line_break is None else int(text.digits[text.line_break])
    for length in range(text.order, 1, -1):
        oldest = ngrams % text.base
        whole = oldest > 0
        if break_digit:
            counts = np.where(oldest == break_digit, occurs, counts)
        yield length, ngrams[whole], occurs[whole], counts[whole]
        ngrams = ngrams // text.base
        begins = _begins(ngrams)
        ngrams, occurs, counts = (
            ngrams[begins],
            np.add.reduceat(occurs, begins),
            np.add.reduceat(whole.astype(np.int64), begins),
        )


def min_counts(histograms: np.ndarray, max_ngrams: int) -> list[int]:
    """How often n-grams of each length must occur to be kept. `histograms` (order + 1, …) says how many occur how often.

    The longest are asked for more first, then those that are one shorter, and so on.
    """
    at_least = np.cumsum(histograms[:, ::-1], axis=1)[:, ::-1]
    found = [1] * len(histograms)
    for least in range(2, histograms.shape[1]):
        for length in range(len(histograms) - 1, 1, -1):
            if sum(int(at_least[i, found[i]]) for i in range(2, len(found))) <= max_ngrams:
                return found
            found[length] = least
    return found


def _kept(text: Text, groups: list[Group], least: list[int]) -> list[tuple[np.ndarray, np.ndarray]]:
    """The n-grams of lengths 2, 3, … that occur often enough, as keys, and their counts."""
    found: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in least]
    for group in groups:
        for length, ngrams, occurs, counts in by_length(text, group):
            enough = occurs >= least[length]
            found[length].append((text.key(*text.forward(ngrams[enough], length)), counts[enough]))
    nothing = (np.zeros(0, np.int64), np.zeros(0, np.int64))
    return [tuple(map(np.concatenate, zip(nothing, *parts, strict=True))) for parts in found[2:]]


def _as_levels(text: Text, kept: list[tuple[np.ndarray, np.ndarray]]) -> tuple[list[np.ndarray], list[Level]]:
    """The n-grams of each length as a level, and their keys. One at the edge of a fold whose context is in that is left out."""
    keys, levels = [np.zeros(1, np.int64)], list[Level]()
    for mine, counts in kept:
        order = np.argsort(mine)
        mine, counts = mine[order], counts[order]
        context, characters = np.divmod(mine, text.vocab_size)
        rows = _find(keys[-1], text.context_key(context)) if levels else np.zeros(len(mine), np.int64)
        there = rows >= 0
        mine, rows, characters, counts = mine[there], rows[there], characters[there], counts[there]
        starts = np.searchsorted(rows, np.arange(len(keys[-1]) + 1))
        smallest = np.min_scalar_type(text.vocab_size - 1)
        levels.append(
            Level(starts, characters.astype(smallest), np.minimum(counts, 2**31 - 1).astype(np.int32), text.vocab_size)
        )
        keys.append(mine)
    return keys, levels


def _totals(text: Text, keys: list[np.ndarray], groups: list[Group]) -> list[np.ndarray]:
    """How much was counted in each context of each level, whether or not it was kept."""
    totals = [np.zeros(len(mine), np.int64) for mine in keys[:-1]]
    contexts = [text.backward(mine, length) for length, mine in enumerate(keys[:-1])]
    order = [np.argsort(mine) for mine in contexts]
    contexts = [mine[ascending] for mine, ascending in zip(contexts, order, strict=True)]
    for group in groups:
        for length, ngrams, _, counts in by_length(text, group):
            # of n-grams with one last character, contexts ascend: looked up in any other order, they take ten times as long
            rows = _find(contexts[length - 1], ngrams % text.base ** (length - 1))
            there = rows >= 0
            totals[length - 1] += np.bincount(rows[there], counts[there], minlength=len(totals[length - 1])).astype(np.int64)
    for j, ascending in enumerate(order):
        totals[j][ascending] = totals[j].copy()
    return totals


def _find(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Where each of the wanted keys is among these, which ascend; -1 for nowhere."""
    if not len(keys):
        return np.full(len(wanted), -1)
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[places] == wanted, places, -1)


def _begins(ascending: np.ndarray) -> np.ndarray:
    """Where each different number begins."""
    return np.concatenate(([0], np.flatnonzero(ascending[1:] != ascending[:-1]) + 1))
