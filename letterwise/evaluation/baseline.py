"""Baseline: what a model must beat to have learned anything.

ids of the training part ──count──▶ how often each character occurs ──score──▶ bits per character of the validation part
"""

import numpy as np

CHUNK = 2**22


def frequency_bits(training: np.ndarray, held_out: np.ndarray, vocab_size: int) -> float:
    """Bits per character of `held_out` (N,) for one who knows only how often each character occurs in `training`.

    Each character is counted once more than it occurred (Laplace's rule), so that none is impossible.
    """
    counts = _counts(training, vocab_size) + 1
    surprises = np.log2(counts.sum() / counts)
    return float(_counts(held_out, vocab_size) @ surprises / len(held_out))


def _counts(ids: np.ndarray, vocab_size: int) -> np.ndarray:
    """How often each id occurs, a chunk at a time: ids may be larger than memory."""
    total = np.zeros(vocab_size, np.int64)
    for start in range(0, len(ids), CHUNK):
        total += np.bincount(ids[start : start + CHUNK], minlength=vocab_size)
    return total
