"""Keys: what is looked at before a character, beside the last few: a number for each kind of context.

ids (N,) ──context_keys──▶ (S, N): for each kind, a hash of what it sees of the last `CONTEXT_REACH` characters

n-grams see characters side by side. Text compressors of the PAQ family (Mahoney 2005) also count what follows a word, whatever
its distance, what follows characters some way back, and what stands in the line above. Each kind is such a context:

word          the letters of this word so far, and the word before
word_before   the same, and the word before that one instead
apart         the second to the fifth character back, whatever the last one was
wide_apart    the last character, and the third to the fifth
column        how far into its line the text is, and the last two characters
above         the character above, in the line before, and the last one
long          the last ten characters
longer        the last sixteen characters

Words are compared without case. A key has 32 bits: two contexts in some billions share one, and then their counts. What a key
sees depends on the last characters only, so it does not matter where a text was begun to be read.
"""

import unicodedata
from dataclasses import dataclass

import numpy as np

from letterwise.config import CONTEXT_REACH
from letterwise.data.vocabulary import Vocabulary

KINDS = ("word", "word_before", "apart", "wide_apart", "column", "above", "long", "longer")
LONG, LONGER = 10, 16
STEP, FACTOR = 0x9E3779B1, 0x85EBCA6B  # odd: of a rolling hash, and of what scatters its bits
INVERSE = pow(STEP, -1, 2**32)
CHUNK = 2**18  # characters at a time
IN_WORDS = "'_"


@dataclass(frozen=True)
class Alphabet:
    """What contexts see of each id: `codes` (V,), its code point + 1; `letters` (V,), the same without case, 0 outside words.

    `newline` is the id of a line break, and `fresh` that of one before which nothing counts (of models of lines); -1: none.
    """

    codes: np.ndarray
    letters: np.ndarray
    newline: int
    fresh: int


def alphabet(vocabulary: Vocabulary, line_break: int | None = None) -> Alphabet:
    """Of a vocabulary; `line_break` for a model of lines. Of bytes, those of foreign letters are in words."""
    if vocabulary.kind == "byte":
        points = list(range(256))
        inside = [point >= 128 or _in_word(chr(point)) for point in points]
        lower = [ord(chr(point).lower()) if point < 128 else point for point in points]
    else:
        points = [int(point) for point in vocabulary.points]
        inside = [_in_word(chr(point)) for point in points]
        lower = [ord(low) if len(low := chr(point).lower()) == 1 else point for point in points]
    letters = np.where(inside, np.array(lower) + 1, 0)
    newline = vocabulary.line_break
    fresh = -1 if line_break is None else line_break
    return Alphabet(np.array(points, np.int32) + 1, letters.astype(np.int32), -1 if newline is None else newline, fresh)


def _in_word(character: str) -> bool:
    return character.isalnum() or character in IN_WORDS or unicodedata.category(character)[0] == "M"


def context_keys(ids: np.ndarray, of: Alphabet) -> np.ndarray:
    """The keys of the contexts that end with each of `ids` (N,): (S, N), uint32. Behind an id of -1, a text begins."""
    keys = np.empty((len(KINDS), len(ids)), np.uint32)
    for start in range(0, len(ids), CHUNK):
        first = max(0, start - CONTEXT_REACH + 1)
        keys[:, start : start + CHUNK] = _keys(ids[first : start + CHUNK].astype(np.int64), of)[:, start - first :]
    return keys


def _keys(ids: np.ndarray, of: Alphabet) -> np.ndarray:
    """The same for a short text."""
    places = np.arange(len(ids))
    codes = np.where(ids >= 0, of.codes[ids], 0).astype(np.uint32)
    letters = np.where(ids >= 0, of.letters[ids], 0).astype(np.uint32)
    begun = _last(ids < 0, places) + 1
    if of.fresh >= 0:
        begun = np.maximum(begun, _last(ids == of.fresh, places))
    first = np.maximum(begun, places - CONTEXT_REACH + 1)  # the first place that is seen

    def back(far: int) -> np.ndarray:
        """The character that stands so many places back, 1 being the last one."""
        return np.where(places - far + 1 >= first, codes[np.maximum(places - far + 1, 0)], 0).astype(np.uint32)

    last_end, last_letter = _last(letters == 0, places), _last(letters > 0, places)
    rolled = np.zeros(len(ids) + 1, np.uint32)
    powers = np.cumprod(np.full(len(ids) + 1, STEP, np.uint32), dtype=np.uint32)
    rolled[1:] = np.cumsum(letters * np.cumprod(np.full(len(ids), INVERSE, np.uint32), dtype=np.uint32), dtype=np.uint32)

    def hashed(start: np.ndarray, end: np.ndarray) -> np.ndarray:
        """A rolling hash of the letters from `start` up to `end`: Σ letter · STEP^(end - place)."""
        return (rolled[end] - rolled[start]) * powers[end]

    def word_that_ends(before: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Hash and start of the last word before some places; 0 where none is seen."""
        end = np.where(before > 0, last_letter[np.maximum(before - 1, 0)], -1)
        there = (end >= first) & (before > first)
        end = np.where(there, end, 0)
        start = np.where(there, np.maximum(last_end[end] + 1, first), first)
        return np.where(there, hashed(start, end + 1), 0).astype(np.uint32), start

    begins = np.maximum(last_end + 1, first)
    begins = np.minimum(begins, places + 1)
    word = hashed(begins, places + 1)
    before, its_start = word_that_ends(begins)
    one_more, _ = word_that_ends(its_start)

    breaks = _last(ids == of.newline, places) if of.newline >= 0 else np.full(len(ids), -1)
    in_line = breaks >= first
    column = np.where(in_line, places - breaks, CONTEXT_REACH)
    earlier = np.where(breaks > 0, breaks[np.maximum(breaks - 1, 0)], -1)
    there = earlier + 1 + column
    seen = in_line & (earlier >= first) & (there <= breaks)
    above = np.where(seen, codes[np.where(seen, there, 0)], 0).astype(np.uint32)
    far, whole = np.zeros(len(ids), np.uint32), []
    for distance in range(1, LONGER + 1):
        far = (far + back(distance)) * np.uint32(STEP)
        whole.append(far)
    parts: tuple[tuple[np.ndarray, ...], ...] = (
        (word, before),
        (word, one_more),
        (back(2), back(3), back(4), back(5)),
        (back(1), back(3), back(4), back(5)),
        (column.astype(np.uint32), back(1), back(2)),
        (above, back(1)),
        (whole[LONG - 1],),
        (whole[LONGER - 1],),
    )
    return np.stack([_mixed(kind, *seen) for kind, seen in enumerate(parts)])


def _last(where: np.ndarray, places: np.ndarray) -> np.ndarray:
    """For each place, the last one up to it `where` that is so; -1 for none."""
    return np.maximum.accumulate(np.where(where, places, -1))


def _mixed(kind: int, *parts: np.ndarray) -> np.ndarray:
    """Some numbers as one, whose bits each depend on all of theirs (after the finalizer of MurmurHash3, Appleby 2011)."""
    mixed = np.full(len(parts[0]), kind + 1, np.uint32)
    for part in parts:
        mixed = (mixed ^ part) * np.uint32(FACTOR)
        mixed ^= mixed >> np.uint32(15)
        mixed *= np.uint32(STEP)
        mixed ^= mixed >> np.uint32(13)
    return mixed
