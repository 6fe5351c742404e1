"""Novelty: how much of a text is copied from the training text.

    ids, a window at a time ──Suffixes──▶ maximal runs ──▶ the longest, shares, the nearest training lines

A run is a stretch that occurs in both texts, character for character. It is maximal when it is part of no longer run; maximal
runs may overlap. Characters outside the vocabulary are in no run. With a byte vocabulary, characters are bytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from letterwise.data.suffix_array import Suffixes
from letterwise.data.vocabulary import Vocabulary
from letterwise.errors import UserError

LENGTHS = (20, 50, 100)  # characters: `shares` is about runs of these lengths or more
CHUNK = 2**20  # characters of the training text that are read at a time
MAX_LINE = 2**11  # characters: of a longer line, this many are compared, from its longest run on
WINDOW, LOOKAHEAD = 2**21, 2**16  # characters of the text that are read at a time; and those behind, in which runs may end

LineRun = tuple[int, int, int]  # -(length of the run), number of the line from 0, where the run begins in the text


@dataclass(frozen=True)
class Run:
    """A stretch of a text that occurs in the training text, too: perhaps several times; where it does first is given.

    Attributes:
        text, chars: the stretch, and its length.
        start, line, column: where it begins in the text: its position from 0, line and column from 1.
        training_start, training_line: where it begins in the training text.
    """

    text: str
    chars: int
    start: int
    line: int
    column: int
    training_start: int
    training_line: int


@dataclass(frozen=True)
class Nearest:
    """A line of a text, and the training line most similar to it.

    `similarity` is 1 - d / n, where d is the edit distance (Levenshtein 1966) and n the length of the longer line.
    """

    line: int
    text: str
    training_line: int
    training_text: str
    similarity: float


@dataclass(frozen=True)
class Novelty:
    """What a text of `chars` characters shares with the training text.

    Attributes:
        longest: the longest run; None where no character is known.
        shares: for a length of 20, 50, 100: the share of characters that are part of a run of that length or more.
        nearest: lines with the longest runs, longest first, each with the training line most similar to it.
    """

    chars: int
    longest: Run | None
    shares: dict[int, float]
    nearest: list[Nearest]


def novelty(ids: np.ndarray, vocabulary: Vocabulary, training: Suffixes, *, nearest: int = 1) -> Novelty:
    """What a text shares with the training text, with the nearest training line of `nearest` lines.

    `ids` (N,) hold V + code point for characters that the vocabulary lacks. They may lie in a file: they are read in windows,
    so memory does not grow with the text. Where a window ends, a run of more than 65,536 characters may be cut.

    Raises `UserError` when there is no text.
    """
    if nearest < 0:
        raise UserError(f"--nearest {nearest} must be 0 (none) or more.")
    if not len(ids):
        raise UserError("the text is empty: there is nothing to compare with the training text.")
    coverage, longest, line_runs = Coverage(), (0, 0), list[LineRun]()
    line, line_end = 0, vocabulary.line_end
    for start, runs in windows(ids, training):
        coverage.add(runs)
        if len(runs):
            longest_here = tuple(runs[np.argmax(runs[:, 1] - runs[:, 0])].tolist())
            longest = max(longest, longest_here, key=lambda run: run[1] - run[0])
        if nearest:
            window = ids[start : start + WINDOW + LOOKAHEAD]
            line_runs = _longest_by_line(line_runs, window, start, runs, line, line_end, nearest)
        line += int((ids[start : start + WINDOW] == line_end).sum())
    return Novelty(
        len(ids),
        _located(ids, *longest, vocabulary, training) if longest[1] else None,
        {length: coverage.chars[length] / len(ids) for length in LENGTHS},
        _nearest(ids, line_runs, vocabulary, training),
    )


def windows(ids: np.ndarray, training: Suffixes) -> Iterator[tuple[int, np.ndarray]]:
    """Where each window of a text begins, and the maximal runs that begin in it.

    Runs are rows of start, end (R, 2); both grow from run to run, over all windows.
    """
    covered = 0
    for start in range(0, len(ids), WINDOW):
        runs = start + training.runs(ids[start : start + WINDOW + LOOKAHEAD])
        runs = runs[(runs[:, 0] < start + WINDOW) & (runs[:, 1] > covered)]  # others are parts of an earlier one
        covered = int(runs[-1, 1]) if len(runs) else covered
        yield start, runs


class Coverage:
    """How many of a text's characters are part of a run of each of `LENGTHS` or more: `chars`."""

    def __init__(self) -> None:
        self.chars, self.ends = dict.fromkeys(LENGTHS, 0), dict.fromkeys(LENGTHS, 0)

    def add(self, runs: np.ndarray) -> None:
        """The next `runs` (R, 2) of the text."""
        for length in LENGTHS:
            starts, ends = runs[runs[:, 1] - runs[:, 0] >= length].T
            if len(starts):
                fresh = ends - np.maximum(starts, np.append(self.ends[length], ends[:-1]))  # what no earlier run covers
                self.chars[length] += int(fresh.sum())
                self.ends[length] = int(ends[-1])


def _located(ids: np.ndarray, start: int, end: int, vocabulary: Vocabulary, training: Suffixes) -> Run:
    """A run with its position in both texts."""
    line, line_start = _line_breaks(ids[:start], vocabulary.line_end)
    position = training.first(ids[start:end].astype(np.int64))
    training_line, _ = _line_breaks(training.ids[:position], vocabulary.line_end)
    text = vocabulary.spell(ids[start:end])
    return Run(text, end - start, start, line + 1, start - line_start + 1, position, training_line + 1)


def _line_breaks(ids: np.ndarray, line_end: int) -> tuple[int, int]:
    """How many line breaks are in the beginning of a text, and where its last line begins."""
    count, line_start = 0, 0
    for start in range(0, len(ids), CHUNK):
        found = np.flatnonzero(ids[start : start + CHUNK] == line_end)
        if len(found):
            count, line_start = count + len(found), start + int(found[-1]) + 1
    return count, line_start


def _nearest(ids: np.ndarray, line_runs: list[LineRun], vocabulary: Vocabulary, training: Suffixes) -> list[Nearest]:
    """For each of the lines, the first of the training lines that are most similar to it."""
    from rapidfuzz.distance import Levenshtein
    from rapidfuzz.process import extractOne

    if vocabulary.line_break is None:
        return []
    best = [Nearest(line + 1, _line_at(ids, position, vocabulary), 0, "", 0.0) for _, line, position in line_runs]
    for number, lines in _training_lines(training.ids, vocabulary) if best else ():
        for k, known in enumerate(best):
            found = extractOne(known.text, lines, scorer=Levenshtein.normalized_similarity, score_cutoff=known.similarity)
            if found and (found[1] > known.similarity or not known.training_line):
                best[k] = Nearest(known.line, known.text, number + found[2], found[0], found[1])
    return best


def _longest_by_line(
    before: list[LineRun], window: np.ndarray, first: int, runs: np.ndarray, line: int, line_end: int, count: int
) -> list[LineRun]:
    """The `count` lines with the longest runs, of those `before` and those of a window.

    The window begins at position `first` of the text, in line `line`. Longest first; equal ones in the order of the text.
    """
    best = {number: (length, number, position) for length, number, position in before}
    breaks = first + np.flatnonzero(window == line_end)
    starts, ends = np.append(first, breaks + 1), np.append(breaks, first + len(window))
    lefts, rights = np.searchsorted(runs[:, 1], starts, "right"), np.searchsorted(runs[:, 0], ends)
    for number, (start, end, left, right) in enumerate(zip(starts, ends, lefts, rights, strict=True), line):
        if left < right and start < end:
            positions = np.maximum(runs[left:right, 0], start)
            lengths = np.minimum(runs[left:right, 1], end) - positions
            longest = int(lengths.argmax())
            found = -int(lengths[longest]), number, int(positions[longest])
            best[number] = min(found, best.get(number, found))
    return sorted(best.values())[:count]


def _line_at(ids: np.ndarray, position: int, vocabulary: Vocabulary) -> str:
    """The line that a position is in; of one that is longer than `MAX_LINE`, so much from there on."""
    line_end, first = vocabulary.line_end, max(0, position - MAX_LINE)
    before, after = (
        np.flatnonzero(ids[first:position] == line_end),
        np.flatnonzero(ids[position : position + MAX_LINE] == line_end),
    )
    start = first + int(before[-1]) + 1 if len(before) else first if first == 0 else position
    end = position + int(after[0]) if len(after) else min(len(ids), position + MAX_LINE)
    if end - start > MAX_LINE:
        start, end = position, min(end, position + MAX_LINE)
    return vocabulary.spell(ids[start:end])


def _training_lines(ids: np.ndarray, vocabulary: Vocabulary) -> Iterator[tuple[int, list[str]]]:
    """The lines of the training text, some at a time, and the number of the first of them. One over `CHUNK` comes in pieces."""
    number, start = 1, 0
    while start < len(ids):
        chunk = ids[start : start + CHUNK]
        breaks = np.flatnonzero(chunk == vocabulary.line_break)
        if len(breaks) and start + CHUNK < len(ids):
            chunk = chunk[: breaks[-1] + 1]
        yield number, vocabulary.decode(chunk).removesuffix("\n").split("\n")
        number, start = number + len(breaks), start + len(chunk)
