"""Frozen: a model whose weights stay, predicting many streams side by side.

    read (S,) ids ──kernel──▶ logits (S, V) ──softmax──▶ probabilities (S, V)

The kernel gives a row the same bits in any batch, with any number of threads and on every processor (inference/cpu/kernel.py),
and so does the softmax: encoder and decoder get the same numbers.
"""

import numpy as np

from letterwise.compiling.arithmetic import EXACT, exp
from letterwise.compiling.entry import entry
from letterwise.errors import finite
from letterwise.inference.backend import Backend
from letterwise.inference.sampling.filters import maximum
from letterwise.inference.windows import Windows

MAX_STREAMS = 64  # rows that the kernel reads at once
CHARS_PER_STREAM = 2**11  # a stream begins without context, which costs a few bytes: under 1 % at this length


@entry(waits=True, **EXACT)
def softmax(logits, probabilities):
    """`probabilities` (S, V) of `logits` (S, V), summed in the order of the characters."""
    for s in range(len(logits)):
        highest, total = maximum(logits[s]), 0.0
        for c in range(logits.shape[1]):
            probabilities[s, c] = exp(logits[s, c] - highest)
            total += probabilities[s, c]
        for c in range(logits.shape[1]):
            probabilities[s, c] /= total


class Frozen:
    """Some streams of one text, each from its beginning."""

    probed = 32

    def __init__(self, model: Backend, streams: int) -> None:
        self.windows = Windows(model, streams)
        self.windows.read()  # a model of lines begins with a line break

    def probabilities(self) -> np.ndarray:
        """(S, V), float64, of what comes next in each."""
        finite(float(self.windows.logits.max()))
        probabilities = np.empty(self.windows.logits.shape)
        softmax(self.windows.logits, probabilities)
        return probabilities

    def read(self, ids: np.ndarray) -> None:
        """One more character of each of the first streams (at most S)."""
        self.windows.pending = {stream: [id] for stream, id in enumerate(ids.tolist())}
        self.windows.read()


def streams_for(chars: int) -> int:
    """Into how many streams to cut a text of so many characters."""
    return max(1, min(MAX_STREAMS, chars // CHARS_PER_STREAM))
