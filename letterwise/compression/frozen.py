"""Frozen: a model as it is, predicting many streams side by side.

    read (S,) ids ──kernel──▶ logits (S, V) ──softmax──▶ probabilities (S, V)

The kernel gives a row the same bits in any company, with any number of threads and on every processor (inference/kernel.py),
and so does the softmax: encoder and decoder see the same numbers.
"""

import numpy as np

from letterwise.compiling.arithmetic import EXACT, exp
from letterwise.compiling.jit import njit
from letterwise.errors import finite
from letterwise.inference.backend import Backend
from letterwise.inference.sampling.filters import peak
from letterwise.inference.windows import Windows

MAX_STREAMS = 64  # as many rows as the kernel takes at once
CHARS_PER_STREAM = 2**11  # a stream begins knowing nothing, which costs it a few bytes: under 1 % at this length


@njit(**EXACT)
def softmax(logits, shares):
    """`shares` (S, V) of `logits` (S, V), summed in the order of the characters."""
    for s in range(len(logits)):
        highest, total = peak(logits[s]), 0.0
        for c in range(logits.shape[1]):
            shares[s, c] = exp(logits[s, c] - highest)
            total += shares[s, c]
        for c in range(logits.shape[1]):
            shares[s, c] /= total


class Frozen:
    """Some streams of one text, each from its beginning."""

    probed = 32

    def __init__(self, model: Backend, streams: int) -> None:
        self.windows = Windows(model, streams)
        self.windows.read()  # a model of lines begins with a line break

    def probabilities(self) -> np.ndarray:
        """(S, V), float64, of what comes next in each."""
        finite(float(self.windows.logits.max()))
        shares = np.empty(self.windows.logits.shape)
        softmax(self.windows.logits, shares)
        return shares

    def read(self, ids: np.ndarray) -> None:
        """One more character of each of the first streams (at most S)."""
        self.windows.pending = {stream: [id] for stream, id in enumerate(ids.tolist())}
        self.windows.read()


def streams_for(chars: int) -> int:
    """Into how many streams to cut a text of so many characters."""
    return max(1, min(MAX_STREAMS, chars // CHARS_PER_STREAM))
