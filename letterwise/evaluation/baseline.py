"""Baseline: what a model must beat to have learned anything.

ids of the training part ──count──▶ how often each character occurs ──score──▶ bits per character of the validation part
"""

import lzma
import math
from collections.abc import Callable

import numpy as np

from letterwise.data.batches import NO_TARGET, sweep
from letterwise.data.vocabulary import Vocabulary
from letterwise.ngrams import Counts

XZ = 9 | lzma.PRESET_EXTREME

CHUNK = 2**22
WINDOWS, NUMBERS = 16, 2**24  # counted together: so many windows at most, and log-probabilities
XZ_MAX_CHARS = 2**24  # characters: xz takes half a second for each million


def utf8_bytes(ids: np.ndarray, vocabulary: Vocabulary) -> int:
    """How many bytes the text of `ids` (N,) takes in UTF-8."""
    if vocabulary.kind == "byte":
        return len(ids)
    lengths = np.array([len(character.encode("utf-8", "surrogatepass")) for character in vocabulary.characters])
    return int(_counts(ids, len(vocabulary)) @ lengths)


def xz_bits(ids: np.ndarray, vocabulary: Vocabulary) -> float | None:
    """Bits per character of xz -9e on the text of `ids` (N,); None for one of more than 16 million characters."""
    if len(ids) > XZ_MAX_CHARS:
        return None
    text = vocabulary.decode(ids)
    packed = lzma.compress(text.encode("utf-8", "surrogateescape" if vocabulary.kind == "byte" else "surrogatepass"), preset=XZ)
    return 8 * len(packed) / len(ids)


def baseline_bits(
    counts: Counts,
    training: np.ndarray,
    held_out: np.ndarray,
    *,
    block_size: int,
    every: int,
    line_break: int | None,
    between: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """What a model is to be compared with, in bits per character, over just the characters that `evaluate` scores.

    These are the targets in each `every`-th window of `held_out` (N,), which must be 2 or more. `between` is called after each
    batch of windows, and may raise to give up.
    """
    targets: list[np.ndarray] = []
    nats, windows = 0.0, max(1, min(WINDOWS, NUMBERS // (block_size * counts.vocab_size)))
    for together in sweep(held_out, block_size, windows, every=every, line_break=line_break):
        for starts, inputs, following in together:
            asked, log_probs = following != NO_TARGET, counts.log_probs_at(held_out, starts, inputs.shape[1])[:, :, 0]
            known = np.take_along_axis(log_probs, np.maximum(following, 0)[..., None], -1)[..., 0]
            nats -= float(known[asked].sum(dtype=np.float64))
            targets.append(following[asked])
        between()
    scored = np.concatenate(targets)
    return {
        "letter frequencies alone": frequency_bits(training, scored, counts.vocab_size),
        "counting alone": nats / len(scored) / math.log(2),
    }


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
