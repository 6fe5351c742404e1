"""Probe: a fingerprint of a machine's arithmetic, in a few bytes.

    predictor ──reads characters that are always the same──▶ its probabilities, to the last bit ──sha256──▶ 4 bytes

A compressed file can only be decompressed where the same probabilities come out again: that is checked first.
"""

import hashlib

import numpy as np

from letterwise.compression.coder import Predictor

BYTES = 4
STEP = 2_654_435_761  # Knuth's multiplicative hash: pseudo-random characters


def arithmetic(predictor: Predictor, vocab_size: int) -> bytes:
    """The first bytes of the digest. The predictor has one stream and is fresh; it cannot be used again."""
    digest = hashlib.sha256()
    for i in range(predictor.probed):
        digest.update(predictor.probabilities().astype("<f8").tobytes())
        predictor.read(np.array([i * STEP % 2**32 * vocab_size >> 32]))
    return digest.digest()[:BYTES]
