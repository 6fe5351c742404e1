"""Probe: what a machine's arithmetic makes of a model, in a few bytes.

    predictor ──reads characters that are always the same──▶ its probabilities, to the last bit ──sha256──▶ 4 bytes

A compressed file comes back only where the same probabilities come out again. Whoever reads one compares first.
"""

import hashlib

import numpy as np

from letterwise.compression.coder import Predictor

BYTES = 4
STEP = 2_654_435_761  # Knuth's multiplicative hash: characters that look like chance


def arithmetic(predictor: Predictor, vocab_size: int) -> bytes:
    """The first bytes of the digest. The predictor, of one stream, is fresh, and used up."""
    digest = hashlib.sha256()
    for place in range(predictor.probed):
        digest.update(predictor.probabilities().astype("<f8").tobytes())
        predictor.read(np.array([place * STEP % 2**32 * vocab_size >> 32]))
    return digest.digest()[:BYTES]
