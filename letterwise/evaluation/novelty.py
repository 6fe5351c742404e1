"""Novelty: how much of a text is copied from the training text.

    text ──▶ ids, -1 for what training never had ──Suffixes──▶ runs that stand in both ──▶ the longest, shares, the nearest line

A run is a stretch that stands in both texts, character for character, and is part of no longer one. Runs may overlap.
Characters outside the vocabulary are in no run. With a byte vocabulary, characters are bytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from letterwise.data.suffixes import Suffixes
from letterwise.data.vocabulary import ABSENT, Vocabulary, code_points, from_code_points
from letterwise.errors import UserError

LENGTHS = (20, 50, 100)  # characters: of runs whose share is told
CHUNK = 2**20  # characters of the training text that are looked at together
LONGEST = 2**11  # characters: of a longer line, so many are compared, from its longest copied stretch on
BREAK = ord("\n")


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


class _Text:
    """A text as characters (n,), or bytes with a byte vocabulary: cut into lines, and spelled again."""

    def __init__(self, text: str, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        if vocabulary.kind == "byte":
            self.units = vocabulary.encode(text)
            self.ids = self.units.astype(np.int64)
        else:
            self.units = code_points(text)
            found = vocabulary.table[self.units]
            self.ids = np.where(found == ABSENT, -1, found.astype(np.int64))
        ends = np.flatnonzero(self.units == BREAK) + 1
        self.starts = np.append(0, ends)  # of each line
        self.ends = np.append(ends - 1, len(self.units))  # its line break is no part of a line

    def spelled(self, start: int, end: int) -> str:
        """A part of it."""
        if self.vocabulary.kind == "byte":
            return self.vocabulary.decode(self.units[start:end])
        return from_code_points(self.units[start:end])

    def line_at(self, place: int) -> int:
        """The index of the line that a place is in."""
        return int(np.searchsorted(self.starts, place, "right")) - 1


def novelty(text: str, vocabulary: Vocabulary, training: Suffixes, *, nearest: int = 1) -> Novelty:
    """What `text` shares with the training text, with the nearest training line of `nearest` lines.

    Raises `UserError` when there is no text.
    """
    if nearest < 0:
        raise UserError(f"--nearest {nearest} must be 0 (none) or more.")
    own = _Text(text, vocabulary)
    if not len(own.units):
        raise UserError("the text is empty: there is nothing to compare with the training text.")
    runs = training.runs(own.ids)
    return Novelty(
        len(own.units),
        _longest(own, runs, training),
        {length: share(runs, length, len(own.units)) for length in LENGTHS},
        _nearest(own, runs, training, nearest),
    )


def share(runs: np.ndarray, length: int, chars: int) -> float:
    """The share of a text's characters that are part of one of its `runs` (R, 2) of `length` or more."""
    starts, ends = runs[runs[:, 1] - runs[:, 0] >= length].T
    if not len(starts):
        return 0.0
    fresh = ends - np.maximum(starts, np.append(starts[0], ends[:-1]))  # both grow from run to run
    return int(fresh.sum()) / chars


def _longest(own: _Text, runs: np.ndarray, training: Suffixes) -> Run | None:
    if not len(runs):
        return None
    start, end = runs[np.argmax(runs[:, 1] - runs[:, 0])].tolist()
    line, place = own.line_at(start), training.first(own.ids[start:end])
    column, training_line = start - int(own.starts[line]) + 1, _breaks(training.ids[:place], own.vocabulary) + 1
    return Run(own.spelled(start, end), end - start, start, line + 1, column, place, training_line)


def _breaks(ids: np.ndarray, vocabulary: Vocabulary) -> int:
    """How many line breaks are in a part of the training text."""
    chunks = (ids[i : i + CHUNK] for i in range(0, len(ids), CHUNK))
    return 0 if vocabulary.line_break is None else sum(int((chunk == vocabulary.line_break).sum()) for chunk in chunks)


def _nearest(own: _Text, runs: np.ndarray, training: Suffixes, count: int) -> list[Nearest]:
    """The lines of which most is copied in one run, each with the first of the training lines that are most like it."""
    from rapidfuzz.distance import Levenshtein
    from rapidfuzz.process import extractOne

    if own.vocabulary.line_break is None:
        return []
    best = [Nearest(line + 1, text, 0, "", 0.0) for line, text in _most_copied(own, runs, count)]
    for number, lines in _training_lines(training.ids, own.vocabulary) if best else ():
        for k, known in enumerate(best):
            found = extractOne(known.text, lines, scorer=Levenshtein.normalized_similarity, score_cutoff=known.similarity)
            if found and (found[1] > known.similarity or not known.training_line):
                best[k] = Nearest(known.line, known.text, number + found[2], found[0], found[1])
    return best


def _most_copied(own: _Text, runs: np.ndarray, count: int) -> list[tuple[int, str]]:
    """Index and text of the lines with the longest stretch in one run, longest first; those alike in the order of the text."""
    stretches = []
    firsts, lasts = np.searchsorted(runs[:, 1], own.starts, "right"), np.searchsorted(runs[:, 0], own.ends)
    for line, (start, end, first, last) in enumerate(zip(own.starts, own.ends, firsts, lasts, strict=True)):
        if first < last and start < end:
            starts = np.maximum(runs[first:last, 0], start)
            lengths = np.minimum(runs[first:last, 1], end) - starts
            longest = int(lengths.argmax())
            stretches.append((-int(lengths[longest]), line, int(starts[longest])))
    chosen = []
    for _, line, place in sorted(stretches)[:count]:
        start, end = int(own.starts[line]), int(own.ends[line])
        start = start if end - start <= LONGEST else place
        chosen.append((line, own.spelled(start, min(end, start + LONGEST))))
    return chosen


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
