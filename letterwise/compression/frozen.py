"""Frozen: a model as it is, predicting many streams side by side.

    read (S,) ids ──kernel──▶ logits (S, V) ──softmax──▶ probabilities (S, V)

The kernel gives a row the same bits in any company and with any number of threads (inference/kernel.py), and the softmax is
taken in float64 over arrays of one shape: encoder and decoder see the same numbers.
"""

import numpy as np

from letterwise.inference.predictor import Batch, Model

STREAMS_AT_MOST = 64  # as many rows as the kernel takes at once
CHARS_PER_STREAM = 2**11  # a stream begins knowing nothing, which costs it a few bytes: under 1 % at this length


class Frozen:
    """Some streams of one text, each from its beginning."""

    def __init__(self, model: Model, streams: int) -> None:
        self.batch = Batch(model, streams)
        self.batch.read()  # a model of lines begins with a line break

    def probabilities(self) -> np.ndarray:
        """(S, V), float64, of what comes next in each."""
        logits = self.batch.logits.astype(np.float64)
        shares = np.exp(logits - logits.max(-1, keepdims=True))
        return shares / shares.sum(-1, keepdims=True)

    def read(self, ids: np.ndarray) -> None:
        """One more character of each of the first streams (at most S)."""
        self.batch.new = {stream: [id] for stream, id in enumerate(ids.tolist())}
        self.batch.read()


def streams_for(chars: int) -> int:
    """Into how many streams to cut a text of so many characters."""
    return max(1, min(STREAMS_AT_MOST, chars // CHARS_PER_STREAM))
