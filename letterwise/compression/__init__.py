"""Compression: a text in the bits that a model needs to tell it, and back. Lossless for any bytes."""

from letterwise.compression.archive import Packed, Predictors, compress, decompress
from letterwise.compression.fingerprint import fingerprint

__all__ = ["Packed", "Predictors", "compress", "decompress", "fingerprint"]
