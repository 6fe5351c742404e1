"""Novelty: how much of a text is copied from the training text.

    ids, a window at a time ──Suffixes──▶ runs that stand in both texts ──▶ the longest, shares, the nearest line

A run is a stretch that stands in both texts, character for character, and is part of no longer one. Runs may overlap.
Characters outside the vocabulary are in no run. With a byte vocabulary, characters are bytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from letterwise.data.suffix_array import Suffixes
from letterwise.data.vocabulary import Vocabulary
from letterwise.errors import UserError

LENGTHS = (20, 50, 100)  # characters: of runs whose share is told
CHUNK = 2**20  # characters of the training text that are looked at together
LONGEST = 2**11  # characters: of a longer line, so many are compared, from its longest copied stretch on
WINDOW, REACH = 2**21, 2**16  # characters of the text that are looked at together; and those behind them that runs may end in


@dataclass(frozen=True)
class Run:
    """A stretch of a text that stands in the training text, too: at several places perhaps, of which the first is told."""

    text: str
    chars: int  # its length
    start: int  # its first character's place in the text, from 0
    line: int  # where it begins: line and column, from 1
    column: int
    training_start: int  # where it begins in the training text
    training_line: int


@dataclass(frozen=True)
class Nearest:
    """A line of a text, and the training line most like it.

    `similarity` is 1 - d / n: putting in, leaving out or replacing d characters makes one of the other (Levenshtein 1966), and
    the longer one has n.
    """

    line: int
    text: str
    training_line: int
    training_text: str
    similarity: float


@dataclass(frozen=True)
class Novelty:
    """What a text of so many `chars` shares with the training text.

    Attributes:
        longest: the longest run; None where no character is known.
        shares: for a length of 20, 50, 100: the share of characters that are part of a run of that length or more.
        nearest: lines with the longest runs, longest first, each with the training line most like it.
    """

    chars: int
    longest: Run | None
    shares: dict[int, float]
    nearest: list[Nearest]


def novelty(ids: np.ndarray, vocabulary: Vocabulary, training: Suffixes, *, nearest: int = 1) -> Novelty:
    """What a text shares with the training text, with the nearest training line of `nearest` lines.

    `ids` (N,) hold V + code point for characters that the vocabulary lacks. They may lie in a file: they are looked at in
    windows, so that memory does not grow with the text. A run of more than 65,536 characters may be told shorter where a
    window ends.

    Raises `UserError` when there is no text.
    """
    if nearest < 0:
        raise UserError(f"--nearest {nearest} must be 0 (none) or more.")
    if not len(ids):
        raise UserError("the text is empty: there is nothing to compare with the training text.")
    covered, longest, copied = Covered(), (0, 0), list[tuple[int, int, int]]()
    line, end = 0, vocabulary.line_end
    for start, runs in windows(ids, training):
        covered.add(runs)
        if len(runs):
            longest = max(longest, tuple(runs[np.argmax(runs[:, 1] - runs[:, 0])].tolist()), key=lambda run: run[1] - run[0])
        if nearest:
            copied = _most_copied(copied, ids[start : start + WINDOW + REACH], start, runs, line, end, nearest)
        line += int((ids[start : start + WINDOW] == end).sum())
    return Novelty(
        len(ids),
        _run(ids, *longest, vocabulary, training) if longest[1] else None,
        {length: covered.chars[length] / len(ids) for length in LENGTHS},
        _nearest(ids, copied, vocabulary, training),
    )


def windows(ids: np.ndarray, training: Suffixes) -> Iterator[tuple[int, np.ndarray]]:
    """Where each window of a text begins, and the runs that begin in it: rows of start, end (R, 2), both growing throughout."""
    reached = 0
    for start in range(0, len(ids), WINDOW):
        runs = start + training.runs(ids[start : start + WINDOW + REACH])
        runs = runs[(runs[:, 0] < start + WINDOW) & (runs[:, 1] > reached)]  # others are parts of one from the window before
        reached = int(runs[-1, 1]) if len(runs) else reached
        yield start, runs


class Covered:
    """How many of a text's characters are part of a run of each of `LENGTHS` or more: `chars`."""

    def __init__(self) -> None:
        self.chars, self.ends = dict.fromkeys(LENGTHS, 0), dict.fromkeys(LENGTHS, 0)

    def add(self, runs: np.ndarray) -> None:
        """The next `runs` (R, 2) of the text."""
        for length in LENGTHS:
            starts, ends = runs[runs[:, 1] - runs[:, 0] >= length].T
            if len(starts):
                fresh = ends - np.maximum(starts, np.append(self.ends[length], ends[:-1]))  # both grow from run to run
                self.chars[length] += int(fresh.sum())
                self.ends[length] = int(ends[-1])


def _run(ids: np.ndarray, start: int, end: int, vocabulary: Vocabulary, training: Suffixes) -> Run:
    """A run with its places."""
    line, begin = _breaks(ids[:start], vocabulary.line_end)
    place = training.first(ids[start:end].astype(np.int64))
    training_line, _ = _breaks(training.ids[:place], vocabulary.line_end)
    return Run(vocabulary.spell(ids[start:end]), end - start, start, line + 1, start - begin + 1, place, training_line + 1)


def _breaks(ids: np.ndarray, end: int) -> tuple[int, int]:
    """How many line breaks are in the beginning of a text, and where the line begins that its end is in."""
    count, begin = 0, 0
    for start in range(0, len(ids), CHUNK):
        found = np.flatnonzero(ids[start : start + CHUNK] == end)
        if len(found):
            count, begin = count + len(found), start + int(found[-1]) + 1
    return count, begin


def _nearest(ids: np.ndarray, copied: list[tuple[int, int, int]], vocabulary: Vocabulary, training: Suffixes) -> list[Nearest]:
    """The lines of which most is copied in one run, each with the first of the training lines that are most like it."""
    from rapidfuzz.distance import Levenshtein
    from rapidfuzz.process import extractOne

    if vocabulary.line_break is None:
        return []
    best = [Nearest(line + 1, _around(ids, place, vocabulary), 0, "", 0.0) for _, line, place in copied]
    for number, lines in _training_lines(training.ids, vocabulary) if best else ():
        for k, known in enumerate(best):
            found = extractOne(known.text, lines, scorer=Levenshtein.normalized_similarity, score_cutoff=known.similarity)
            if found and (found[1] > known.similarity or not known.training_line):
                best[k] = Nearest(known.line, known.text, number + found[2], found[0], found[1])
    return best


def _most_copied(
    before: list[tuple[int, int, int]], window: np.ndarray, first: int, runs: np.ndarray, line: int, end: int, count: int
) -> list[tuple[int, int, int]]:
    """Of `before` and a window's lines, those with the longest stretch in one run: (-its length, the line, its place).

    Longest first; those alike in the order of the text. The window begins at place `first`, in line `line`.
    """
    best = {number: (length, number, place) for length, number, place in before}
    breaks = first + np.flatnonzero(window == end)
    starts, ends = np.append(first, breaks + 1), np.append(breaks, first + len(window))
    lefts, rights = np.searchsorted(runs[:, 1], starts, "right"), np.searchsorted(runs[:, 0], ends)
    for number, (start, stop, left, right) in enumerate(zip(starts, ends, lefts, rights, strict=True), line):
        if left < right and start < stop:
            places = np.maximum(runs[left:right, 0], start)
            lengths = np.minimum(runs[left:right, 1], stop) - places
            longest = int(lengths.argmax())
            told = -int(lengths[longest]), number, int(places[longest])
            best[number] = min(told, best.get(number, told))
    return sorted(best.values())[:count]


def _around(ids: np.ndarray, place: int, vocabulary: Vocabulary) -> str:
    """The line that a place is in; of one that is longer than `LONGEST`, so much from there on."""
    end, first = vocabulary.line_end, max(0, place - LONGEST)
    before, after = np.flatnonzero(ids[first:place] == end), np.flatnonzero(ids[place : place + LONGEST] == end)
    start = first + int(before[-1]) + 1 if len(before) else first if first == 0 else place
    stop = place + int(after[0]) if len(after) else min(len(ids), place + LONGEST)
    if stop - start > LONGEST:
        start, stop = place, min(stop, place + LONGEST)
    return vocabulary.spell(ids[start:stop])


def _training_lines(ids: np.ndarray, vocabulary: Vocabulary) -> Iterator[tuple[int, list[str]]]:
    """The lines of the training text, some at a time, with the number of the first of them; one over `CHUNK` in pieces."""
    number, start = 1, 0
    while start < len(ids):
        chunk = ids[start : start + CHUNK]
        breaks = np.flatnonzero(chunk == vocabulary.line_break)
        if len(breaks) and start + CHUNK < len(ids):
            chunk = chunk[: breaks[-1] + 1]
        yield number, vocabulary.decode(chunk).removesuffix("\n").split("\n")
        number, start = number + len(breaks), start + len(chunk)
