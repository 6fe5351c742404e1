"""Coder: arithmetic coding of characters, each at -log2 of its probability in bits.

    predictor: probabilities (S, V) of what comes next in S streams ──▶ range coder ◀── the characters
            ▲──────────────────────── read (S,) ◀──────────────────────────┘

Encoder and decoder get the same distributions from the same predictor in the same order, to the last bit. A text is cut into S
streams of equal length (the first may be one longer) that go on side by side: S characters for one step of the predictor. The
range coder is constriction's (Bamler 2022), with 32-bit words and 24-bit probabilities.
"""

from collections.abc import Iterator
from typing import Protocol

import constriction
import numpy as np

stream = constriction.stream  # ty: ignore[missing-attribute]  it is compiled, and known when it runs
MODEL = stream.model.Categorical(perfect=False)
TOTAL = 2**24  # probabilities are whole numbers of about this sum


class Predictor(Protocol):
    """What comes next in each of S streams.

    `probed` is the number of characters after which all of its arithmetic was used (probe.py).
    """

    probed: int

    def probabilities(self) -> np.ndarray:
        """(S, V), float64, of the next character of each."""
        ...

    def read(self, ids: np.ndarray) -> None:
        """One more character of each of the first streams (at most S), int64."""
        ...


def encode(predictor: Predictor, ids: np.ndarray, streams: int, vocab_size: int) -> bytes:
    """`ids` (n,) in bits: whole words."""
    if vocab_size == 1:  # nothing to encode
        return b""
    coder = stream.queue.RangeEncoder()
    for column in columns(len(ids), streams):
        column_ids = ids[column].astype(np.int64)
        coder.encode(column_ids.astype(np.int32), MODEL, integers(predictor.probabilities()[: len(column)]))
        predictor.read(column_ids)
    return coder.get_compressed().astype("<u4").tobytes()


def decode(predictor: Predictor, packed: bytes, chars: int, streams: int, vocab_size: int) -> np.ndarray:
    """The inverse: ids (chars,). From damaged bits come other ids, or `ValueError` where no characters have such bits."""
    ids = np.zeros(chars, np.int64)
    if vocab_size == 1:
        return ids
    coder = stream.queue.RangeDecoder(np.frombuffer(packed, "<u4").astype(np.uint32))
    for column in columns(chars, streams):
        try:
            ids[column] = coder.decode(MODEL, integers(predictor.probabilities()[: len(column)]))
        except AssertionError as error:  # constriction's
            raise ValueError("no characters have such bits") from error
        predictor.read(ids[column])
    return ids


def columns(chars: int, streams: int) -> Iterator[np.ndarray]:
    """Step by step, the position of the next character of each stream in the text."""
    length, longer = divmod(chars, streams)
    begins = np.arange(streams) * length + np.minimum(np.arange(streams), longer)
    for step in range(length):
        yield begins + step
    if longer:
        yield begins[:longer] + length


def integers(probabilities: np.ndarray) -> np.ndarray:
    """Probabilities (S, V) as whole numbers, 1 at least, of about `TOTAL` together."""
    return np.floor(probabilities * TOTAL) + 1.0
