"""Compression: lossless, for any bytes, by a model's predictions."""

from letterwise.compression.archive import FROZEN, ONLINE, PRIMED, Packed, Predictors, compress, decompress
from letterwise.compression.fingerprint import fingerprint

__all__ = ["FROZEN", "ONLINE", "PRIMED", "Packed", "Predictors", "compress", "decompress", "fingerprint"]
