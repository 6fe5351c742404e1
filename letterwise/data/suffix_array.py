"""Suffix array: where a run of characters occurs in a text, and what follows it there.

    ids (N,) ──divsufsort──▶ positions, sorted by the text from there on ──▶ suffixes.bin, mapped
    a run    ──binary search──▶ the positions where it occurs, side by side in that order

The array is that of Manber & Myers (1993). It is made piece by piece, so that the memory it takes (5 bytes for each byte of a
piece, 170 MB) does not grow with the text. Pieces overlap: every run of up to `OVERLAP` characters is whole in one of them.
It is made once, kept beside the ids and, like them, checked whenever it is opened. Whether it is sorted is not: of one that
is not, answers are wrong, and no more than that, since compiled code stays inside `order` and `ids` whatever they hold.
"""

import json
import sys
import zlib
from typing import Any

import numpy as np

from letterwise.atomic import replacing, write_bytes
from letterwise.compiling.entry import entry
from letterwise.compiling.parts import part
from letterwise.data.cache import entry_crc32, file_crc32
from letterwise.data.token_stream import TokenStream

VERSION = 1
PIECE = 2**25  # bytes of ids that are sorted at once
OVERLAP = 2**16  # characters that a piece shares with the next
EXACT_UP_TO = 2**12  # characters: a run up to that long is found in its full length


class Suffixes:
    """The suffixes of a text (N,) of ids, in order."""

    def __init__(self, ids: np.ndarray, order: np.ndarray) -> None:
        """`order` holds, piece after piece, the positions in it, sorted by the text from there to the piece's end."""
        self.ids, self.pieces = np.asarray(ids), list[tuple[int, np.ndarray, np.ndarray]]()  # where it begins, ids, order
        for first, end in piece_bounds(ids):
            self.pieces.append((first, self.ids[first:end], order[: end - first]))
            order = order[end - first :]

    @property
    def reach(self) -> int:
        """Length of the longest run that is found wherever it occurs."""
        return OVERLAP if len(self.pieces) > 1 else sys.maxsize

    def following(self, run: np.ndarray, size: int) -> np.ndarray:
        """Which of the `size` characters of the vocabulary follow a run anywhere in the text: (V,) bool.

        `run` has up to `reach` characters.
        """
        found = np.zeros(size, np.bool_)
        for _, ids, order in self.pieces:
            mark_following(ids, order, run, found)
        return found

    def first(self, run: np.ndarray) -> int:
        """The first position of a run that `runs` found; -1 for one that does not occur."""
        for first, ids, order in self.pieces:
            low, high = span(ids, order, run, 0, run.size)
            if low < high:
                return first + int(order[low:high].min())
        return -1

    def runs(self, query: np.ndarray) -> np.ndarray:
        """The maximal runs of `query` (n,) that occur in the text: rows of start and end, in order (R, 2).

        Ids below 0 occur in no text. A run over `EXACT_UP_TO` may be found shorter, where it overlaps another by more than
        that, or crosses the border of a piece.
        """
        query, found = query.astype(np.int64), list[np.ndarray]()
        for _, ids, order in self.pieces:
            runs = np.empty((query.size, 2), np.int64)
            found.append(runs[: maximal(ids, order, query, EXACT_UP_TO, runs)].copy())
        every = np.concatenate(found)
        every = every[np.lexsort((-every[:, 1], every[:, 0]))]
        reached = np.maximum.accumulate(np.append(0, every[:-1, 1]))
        return every[every[:, 1] > reached] if len(every) else every


def suffixes_of(text: TokenStream) -> Suffixes:
    """Those of a text's training part, as they are kept beside its ids, or made now.

    Raises `UserError` where they cannot be written.
    """
    ids = text.part("train")
    facts: dict[str, Any] = {"version": VERSION, "chars": len(ids), "piece": PIECE, "overlap": OVERLAP}
    order = _cached(text, facts)
    if order is None:
        _sort(text, ids, facts)
        order = _cached(text, facts)
        assert order is not None
    return Suffixes(ids, order)


def piece_bounds(ids: np.ndarray) -> list[tuple[int, int]]:
    """Where the pieces of a text begin and end."""
    step = PIECE // ids.itemsize
    return [(first, min(len(ids), first + step + OVERLAP)) for first in range(0, max(1, len(ids) - OVERLAP), step)]


def _sort(text: TokenStream, ids: np.ndarray, facts: dict[str, Any]) -> None:
    """Write the suffix array of each piece of a text, and the facts that say what it belongs to."""
    import pydivsufsort  # 0.1 s that only whoever sorts has to wait

    crc32 = 0
    with replacing(text.folder / "suffixes.bin") as file:
        for first, end in piece_bounds(ids):
            order = pydivsufsort.divsufsort(np.array(ids[first:end])).astype(np.int32, copy=False)
            crc32 = zlib.crc32(order.data, crc32)
            file.write(order.data)
            del order  # before the next one is made
    write_bytes(text.folder / "suffixes.json", json.dumps({**facts, "crc32": entry_crc32(crc32, facts)}).encode())


def _cached(text: TokenStream, facts: dict[str, Any]) -> np.ndarray | None:
    """The array in the cache, if it is whole and unchanged: otherwise a search could leave the text."""
    place = text.folder / "suffixes.bin"
    try:
        kept = json.loads((text.folder / "suffixes.json").read_bytes())
        if kept != {**facts, "crc32": entry_crc32(file_crc32(place), facts)}:
            return None
        order = np.asarray(np.memmap(place, np.int32, mode="r"))
        return order if _in_range(order, text.part("train")) else None
    except (OSError, ValueError, RecursionError):
        return None


def _in_range(order: np.ndarray, ids: np.ndarray) -> bool:
    """Whether each piece holds each of its positions once: compiled code uses them without checking."""
    for first, end in piece_bounds(ids):
        size, piece, order = end - first, order[: end - first], order[end - first :]
        if len(piece) != size or (size and not 0 <= int(piece.min()) <= int(piece.max()) < size):
            return False
        seen = np.zeros(size, np.bool_)
        seen[piece] = True
        if not seen.all():
            return False
    return not len(order)


@part(small=True)
def edge(ids, order, query, start, end, behind):
    """The first suffix that does not come before query[start:end]; or, `behind`, the first after all that begin with it."""
    low, high = 0, order.size
    low_alike, high_alike = 0, 0  # how many characters those beside the edge share with the query: all between share as many
    while low < high:
        middle = (low + high) // 2
        place, alike = order[middle], min(low_alike, high_alike)
        while start + alike < end and place + alike < ids.size and np.int64(ids[place + alike]) == query[start + alike]:
            alike += 1
        if start + alike == end:
            before = behind
        else:
            before = place + alike >= ids.size or np.int64(ids[place + alike]) < query[start + alike]
        if before:
            low, low_alike = middle + 1, alike
        else:
            high, high_alike = middle, alike
    return low


@part(small=True)
def span(ids, order, query, start, end):
    """Which suffixes begin with query[start:end]: order[low:high]."""
    return edge(ids, order, query, start, end, False), edge(ids, order, query, start, end, True)


@part()
def bound(ids, order, low, high, depth, id):
    """Of the suffixes order[low:high], equal in their first `depth` characters, the first that goes on with `id` or more."""
    while low < high:
        middle = (low + high) // 2
        place = order[middle] + depth
        if place >= ids.size or np.int64(ids[place]) < id:
            low = middle + 1
        else:
            high = middle
    return low


@entry()
def mark_following(ids, order, run, found):
    """Mark in `found` (V,) what follows `run`."""
    low, high = span(ids, order, run, 0, run.size)
    while low < high:
        place = order[low] + run.size
        if place >= ids.size:  # the text ends behind it
            low += 1
        else:
            found[ids[place]] = True
            low = bound(ids, order, low, high, run.size, np.int64(ids[place]) + 1)


@part()
def occurs(ids, order, query, start, end):
    """Does query[start:end] occur in the text?"""
    low, high = span(ids, order, query, start, end)
    return low < high


@part()
def earliest_start(ids, order, query, behind, good, end):
    """The smallest start > `behind` with query[start:end] in the text; `good` is a start that is known to be one."""
    step = 1
    while behind + step < good and not occurs(ids, order, query, behind + step, end):
        behind, step = behind + step, 2 * step
    good = min(good, behind + step)
    while good - behind > 1:
        middle = (good + behind) // 2
        if occurs(ids, order, query, middle, end):
            good = middle
        else:
            behind = middle
    return good


@entry(waits=True)
def maximal(ids, order, query, overlap, runs):
    """How many maximal runs of `query` (n,) occur in the text. In `runs` (n, 2) are rows of start and end, in order.

    Each ends after the one before it, and may begin in that one's last `overlap` characters. (In all of them, a stretch of
    one character that is longer than any in the text would cost its square.)
    """
    count, start, end = 0, 0, 0
    while start < query.size:
        low, high = span(ids, order, query, start, end)
        while end < query.size:
            low = bound(ids, order, low, high, end - start, query[end])
            high = bound(ids, order, low, high, end - start, query[end] + 1)
            if low == high:
                break
            end += 1
        if start < end:
            runs[count] = start, end
            count += 1
        if end == query.size:
            break
        start = earliest_start(ids, order, query, max(start, end - overlap), end + 1, end + 1)
        end += 1
    return count
