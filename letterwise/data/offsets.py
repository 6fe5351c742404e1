r"""Offsets: from the ids that a text was read as, back to the characters of the text as it was given.

"ö\r\n" ──as bytes──▶ c3 b6 0d 0a ──places──▶ 0 0 1 2        "ö\r\n" ──\r\n read as \n──▶ ö \n ──places──▶ 0 2
"""

import numpy as np

from letterwise.data.line_ends import LINE_BREAK, RETURN
from letterwise.data.vocabulary import Vocabulary, code_points


def places(text: str, vocabulary: Vocabulary, *, plain_ends: bool) -> np.ndarray:
    r"""For each id of a text, where the character is in it that the id stands for, or for a part of: (N,) int64.

    The ids are those of `vocabulary.encode(text, "score")`; with `plain_ends`, those of the text with \n for each \r\n.
    """
    points = code_points(text)
    kept = np.ones(len(points), np.int64)
    if vocabulary.kind == "byte":
        kept += (points >= 0x80).astype(np.int64) + (points >= 0x800) + (points >= 0x10000)
        kept[(points >= 0xDC80) & (points <= 0xDCFF)] = 1  # a byte that is no character
    if plain_ends:
        kept[:-1][(points[:-1] == RETURN) & (points[1:] == LINE_BREAK)] = 0
    return np.repeat(np.arange(len(points)), kept)


def whole(where: np.ndarray, start: int, end: int) -> tuple[int, int]:
    """Which characters lie as a whole in ids `start` to `end` of a text: the first one's place, and that behind the last."""
    first, behind = int(where[start]), int(where[end - 1]) + 1
    if start and where[start - 1] == first:
        first += 1
    if end < len(where) and where[end] == behind - 1:
        behind -= 1
    return first, max(first, behind)
