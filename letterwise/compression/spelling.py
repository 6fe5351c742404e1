"""Spelling: any bytes as characters of a vocabulary, and escapes for all others.

    bytes ──UTF-8──▶ ids (n,) of known characters + escapes: where others stood, and their bytes ──▶ the same bytes

Bytes that are no UTF-8 are unknown characters too. The model reads the known ones as if the others were not there.
"""

import zlib
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from letterwise.data.vocabulary import Vocabulary, code_points

LONGEST = 4  # bytes of a character in UTF-8
MAX_ESCAPE_OVERHEAD = 12  # bytes of an escape beside its own: two numbers of up to 6 bytes


@dataclass(frozen=True)
class Spelled:
    """Ids (n,) of the known characters, and escapes as bytes: for each run, known characters before it, its length, itself."""

    ids: np.ndarray
    escapes: bytes


def spell(content: bytes, vocabulary: Vocabulary) -> Spelled:
    """Known characters and escapes of some bytes."""
    if vocabulary.kind == "byte":
        return Spelled(np.frombuffer(content, np.uint8), b"")
    text = content.decode("utf-8", "surrogateescape")
    ids = vocabulary.table[code_points(text)]
    known = ids < len(vocabulary)
    if known.all():
        return Spelled(ids, b"")
    bounds = np.concatenate(([0], (known[1:] != known[:-1]).nonzero()[0] + 1, [len(known)]))  # where runs begin
    escapes, before = bytearray(), 0
    for begin, end in pairwise(bounds.tolist()):
        if known[begin]:
            before += end - begin
        else:
            run = text[begin:end].encode("utf-8", "surrogateescape")
            escapes += to_varint(before) + to_varint(len(run)) + run
            before = 0
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    return Spelled(ids[known], packer.compress(bytes(escapes)) + packer.flush())


def unspell(spelled: Spelled, vocabulary: Vocabulary, size: int) -> bytes:
    """The inverse of `spell`: the `size` bytes. Raises `ValueError` where the escapes do not fit."""
    if vocabulary.kind == "byte":
        return spelled.ids.astype(np.uint8).tobytes()
    text = vocabulary.decode(spelled.ids)
    if not spelled.escapes:
        return text.encode("utf-8", "surrogateescape")
    max_length = size * (1 + MAX_ESCAPE_OVERHEAD)
    try:
        escapes = zlib.decompressobj(-zlib.MAX_WBITS).decompress(spelled.escapes, max_length)
    except zlib.error as error:
        raise ValueError(f"escapes: {error}") from error
    pieces, position, at = [], 0, 0
    while at < len(escapes):
        before, at = from_varint(escapes, at)
        length, at = from_varint(escapes, at)
        pieces += [text[position : position + before].encode("utf-8", "surrogateescape"), escapes[at : at + length]]
        position, at = position + before, at + length
    return b"".join([*pieces, text[position:].encode("utf-8", "surrogateescape")])


def whole_characters(content: bytes) -> int:
    """How many of these bytes end with a whole character of UTF-8: all but up to 3, or all where they are none."""
    for back in range(1, min(LONGEST, len(content)) + 1):
        first = content[-back]
        if first >= 0xC0:  # begins a character of 2, 3 or 4 bytes
            needed = 2 + (first >= 0xE0) + (first >= 0xF0)
            return len(content) if back >= needed or back == len(content) else len(content) - back
        if first < 0x80:
            break
    return len(content)


def to_varint(number: int) -> bytes:
    """A whole number in 7 bits a byte, the lowest first; all bytes but the last have their highest bit set."""
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])


def from_varint(content: bytes, at: int) -> tuple[int, int]:
    """The number at position `at`, and the position after it. Raises `ValueError` when it ends early, or is over 2^63."""
    number = 0
    for shift in range(0, 63, 7):
        if at >= len(content):
            raise ValueError("a number is cut off")
        number |= (content[at] & 0x7F) << shift
        at += 1
        if content[at - 1] < 0x80:
            return number, at
    raise ValueError("a number is too long")
