"""Pack: arrays as text inside a page, small and exact.

{name: array} ──bytes in planes──deflate──base64──▶ numbers (ASCII), and a list of what they are        unpack.js reads them

In planes: the lowest byte of all numbers of an array, then the second byte of all, … Counts are small numbers, and the upper
bytes of weights are alike; such planes deflate to little.
"""

import base64
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

KINDS = ("uint8", "uint16", "uint32", "int8", "float16", "float32")  # that unpack.js knows


@dataclass(frozen=True)
class Packed:
    """`numbers` in base64, and the name, kind and size of each array in them, in their order."""

    numbers: str
    arrays: list[dict[str, Any]]


def packed(arrays: Mapping[str, np.ndarray]) -> Packed:
    """All of them in one stretch."""
    listed = [{"name": name, "kind": array.dtype.name, "size": array.size} for name, array in arrays.items()]
    assert {each["kind"] for each in listed} <= set(KINDS)
    deflated = zlib.compress(b"".join(map(planes, arrays.values())), 9)
    return Packed(base64.b64encode(deflated).decode("ascii"), listed)


def planes(array: np.ndarray) -> bytes:
    """The lowest bytes of all its numbers, then the second ones, …"""
    little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
    return little.reshape(-1, 1).view(np.uint8).T.tobytes()
