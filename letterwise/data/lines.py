"""Lines: a text whose every line is an example.

    code points ──▶ without the \\r of \\r\\n, each file's last line ended
    ids of all lines, as they come ──digest of each line──▶ order ──▶ \\n, lines of one part, lines of the next …

A line's digest depends on its characters alone. In the order of their digests lines are shuffled, always alike, and equal ones
stand side by side: so a cut between two different digests leaves no line on both sides.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from letterwise.data.line_ends import RETURN, warn_about_lines, with_line_ends
from letterwise.data.reading.source import Source
from letterwise.data.vocabulary import Vocabulary, code_points
from letterwise.progress import Note

CHARS_AT_ONCE = 2**22
DIGEST_BYTES, POINT_BYTES = 8, 4


@dataclass(frozen=True)
class LineSource(Source):
    """A source whose lines end as after `with_line_ends` (line_ends.py)."""

    whole: bool = True

    def decoded(self, note: Note = lambda text: None) -> Iterator[tuple[np.ndarray, int | None]]:
        """As the source's own. One cannot go on within a line's end, nor at the text's, which may lack a line break."""
        place: list[int | None] = [None]

        def chunks() -> Iterator[np.ndarray]:
            held = None
            for points, skip in Source.decoded(self, note):
                if len(points) and held is not None:
                    place[0] = held[1] if held[0][-1] != RETURN else None
                    yield held[0]
                held = (points, skip) if len(points) else held
            place[0] = None
            if held is not None:
                yield held[0]

        for points in with_line_ends(warn_about_lines(chunks(), self.name, note), whole=self.whole):
            yield points, place[0]


@dataclass(frozen=True)
class Lines:
    """The lines of `ids` (N,) that are not empty: where each begins, and ends with its line break, and its digest; all (n,)."""

    ids: np.ndarray
    begins: np.ndarray
    ends: np.ndarray
    digests: np.ndarray

    def taken(self, which: np.ndarray) -> Iterator[np.ndarray]:
        """The ids of some lines, in that order, a few MiB at a time."""
        size = self.ids.itemsize
        for some in _groups(which, (self.ends - self.begins)[which]):
            spans = zip((self.begins[some] * size).tolist(), (self.ends[some] * size).tolist(), strict=True)
            view = self.ids.data.cast("B")
            yield np.frombuffer(b"".join([view[begin:end] for begin, end in spans]), self.ids.dtype)


class LineSet:
    """The lines of a text as a set, in 8 bytes for each. (Two lines share a digest with a probability of 2⁻⁶⁴.)"""

    def __init__(self, ids: np.ndarray, vocabulary: Vocabulary) -> None:
        self.vocabulary, self.digests = vocabulary, np.unique(find_lines(ids, vocabulary).digests)

    def __contains__(self, line: object) -> bool:
        searched = digest(self.vocabulary.encode(str(line)), self.vocabulary)
        place = int(np.searchsorted(self.digests, np.uint64(searched)))
        return place < len(self.digests) and int(self.digests[place]) == searched


def find_lines(ids: np.ndarray, vocabulary: Vocabulary) -> Lines:
    """The lines of `ids` (N,), in their order. What stands after the last line break is one, too."""
    ends = np.flatnonzero(ids == vocabulary.line_break) + 1
    if len(ids) and (not len(ends) or ends[-1] < len(ids)):
        ends = np.append(ends, len(ids))
    begins = np.concatenate(([0], ends[:-1])).astype(np.int64)
    full = ids[begins] != vocabulary.line_break if len(ends) else np.zeros(0, bool)
    begins, ends = begins[full], ends[full]
    digests = [np.zeros(0, np.uint64)]
    for some in _groups(np.arange(len(begins)), ends - begins):
        first, last = begins[some[0]], ends[some[-1]]
        view, size = spelling(ids[first:last], vocabulary), POINT_BYTES
        bare = ends[some] - (ids[ends[some] - 1] == vocabulary.line_break)
        spans = zip(((begins[some] - first) * size).tolist(), ((bare - first) * size).tolist(), strict=True)
        digests.append(_joined([_digest(view[begin:end]) for begin, end in spans]))
    return Lines(ids, begins, ends, np.concatenate(digests))


def digest(ids: np.ndarray, vocabulary: Vocabulary) -> int:
    """The digest of a line, given without its line break."""
    return int(_joined([_digest(spelling(ids, vocabulary))])[0])


def spelling(ids: np.ndarray, vocabulary: Vocabulary) -> memoryview:
    """What digests are made of: the code points of `ids`, or their bytes with a byte vocabulary, four bytes each."""
    spelled = ids.astype(np.uint32) if vocabulary.kind == "byte" else code_points(vocabulary.characters)[ids]
    return spelled.data.cast("B")


def shuffled(digests: np.ndarray, shares: Sequence[float]) -> list[np.ndarray]:
    """Lines cut into parts that hold these shares of the different lines, each part's in the order of their digests.

    The first part has one line at least.
    """
    order = np.argsort(digests, kind="stable")
    ordered = digests[order]
    new = np.concatenate(([True], ordered[1:] != ordered[:-1])) if len(ordered) else np.zeros(0, bool)
    starts = np.append(np.flatnonzero(new), len(order))  # of each different line
    different = len(starts) - 1
    cuts = [min(different, max(1, int(different * share + 1e-9))) for share in np.cumsum(shares)[:-1]]
    return np.split(order, starts[cuts])


def _groups(which: np.ndarray, lengths: np.ndarray) -> Iterator[np.ndarray]:
    """`which`, in groups of about `CHARS_AT_ONCE` characters, of one line at least."""
    group = (np.cumsum(lengths) - lengths) // CHARS_AT_ONCE
    yield from np.split(which, np.flatnonzero(np.diff(group)) + 1) if len(which) else ()


def _digest(line: memoryview) -> bytes:
    return hashlib.blake2b(line, digest_size=DIGEST_BYTES).digest()


def _joined(digests: list[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(digests), np.dtype("<u8")).astype(np.uint64)
