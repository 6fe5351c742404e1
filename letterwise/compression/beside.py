"""Beside: what is encoded is decoded again meanwhile, in a thread of its own, by a predictor of its own.

    ids (n,) ──encode──▶ piece ──▶ piece ──▶ piece ──▶ bits
                           └─decode─▶ └─decode─▶ └─decode─▶ the same ids, by the same probabilities to the last bit?

A predictor that learns takes as long to decode as to encode. The decoder begins where the encoder began a piece, and a digest
of all probabilities shows that it would have come there by itself.
"""

import hashlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from letterwise.compression.coder import MODEL, Predictor, integers, stream

PIECE = 2**8  # characters


class Beside:
    """Two predictors of one stream: one encodes, the other decodes what that has encoded."""

    def __init__(self, encoding: Predictor, decoding: Predictor, vocab_size: int) -> None:
        self.encoding, self.decoding, self.vocab_size = encoding, decoding, vocab_size
        self.checked: dict[bytes, np.ndarray] = {}  # what the last bits were decoded to

    def encode(self, ids: np.ndarray) -> bytes:
        """`ids` (n,) in bits, as `coder.encode` has them. Both predictors go on behind them."""
        from letterwise.runtime.process import one_thread  # which loads PyTorch: what learns has loaded it

        self.checked = {}
        if self.vocab_size == 1 or not len(ids):  # nothing to encode
            self.checked[b""] = np.zeros(len(ids), np.int64)
            return b""
        encoder, checks = stream.queue.RangeEncoder(), []
        with one_thread(), ThreadPoolExecutor(1) as thread:
            try:
                for piece in np.split(ids.astype(np.int64), range(PIECE, len(ids), PIECE)):
                    (begin, state), digest = encoder.pos(), hashlib.sha256()
                    for id in piece:
                        frequencies = integers(self.encoding.probabilities())
                        digest.update(frequencies.tobytes())
                        encoder.encode(np.array([id], np.int32), MODEL, frequencies)
                        self.encoding.read(np.array([id]))
                    words = encoder.get_compressed()[begin:]
                    checks.append(thread.submit(self._decode, len(piece), words, state, digest.digest()))
                found = [check.result() for check in checks]
            except BaseException:
                thread.shutdown(cancel_futures=True)
                raise
        packed = encoder.get_compressed().astype("<u4").tobytes()
        if all(piece is not None for piece in found):
            self.checked[packed] = np.concatenate(found)
        return packed

    def decoded(self, packed: bytes, chars: int, streams: int) -> np.ndarray:
        """What bits that `encode` gave last were decoded to, (chars,). Raises `ValueError` where that went wrong."""
        ids = self.checked.get(packed)
        if ids is None or len(ids) != chars or streams != 1:
            raise ValueError("these bits are others, or were decoded by other probabilities")
        return ids

    def _decode(self, chars: int, words: np.ndarray, state: tuple[int, int], wanted: bytes) -> np.ndarray | None:
        """A piece of so many characters; None where its probabilities are others than those it was encoded by."""
        decoder, digest, ids = stream.queue.RangeDecoder(words), hashlib.sha256(), np.zeros(chars, np.int64)
        decoder.seek(0, state)
        for place in range(chars):
            frequencies = integers(self.decoding.probabilities())
            digest.update(frequencies.tobytes())
            try:
                ids[place : place + 1] = decoder.decode(MODEL, frequencies)
            except AssertionError:  # constriction's: no character has such bits
                return None
            self.decoding.read(ids[place : place + 1])
        return ids if digest.digest() == wanted else None
