"""Arguments: what Python hands to machine code, in words of 8 bytes.

    (array, (1, 2.5), True) ──flatten──▶ kinds, for which there must be machine code, and words: address, 1, 2.5, 1

Of an array that is the address of NumPy's record of it, whose layout is part of NumPy's binary interface: machine code finds
data, shape and strides there (compiler.py).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

ARRAY = np.ndarray
IN_ONE_RUN = 0x101  # NumPy's flags of arrays in C's order that are aligned
OWN = {bool, int, float}  # of numbers, Python's types


@dataclass(frozen=True, eq=False)  # of equal ones there is one: so they are fast to look up
class ArrayKind:
    """What machine code has to know of an array."""

    dtype: np.dtype
    ndim: int
    in_one_run: bool


@dataclass(frozen=True, eq=False)
class TupleKind:
    """What it has to know of a tuple, perhaps a named one."""

    type: type[tuple[Any, ...]]
    kinds: "Kinds"


Kind = ArrayKind | TupleKind | type  # a number's is its type
Kinds = tuple[Kind, ...]
KNOWN: dict[tuple[Any, ...], Any] = {}  # the kinds of arrays and tuples, by their fields


class Packed(tuple[Any, ...]):
    """A tuple of arguments that are handed over again and again: made words of once."""

    kind: "Kind"
    words: list[float]

    def __new__(cls, values: Iterable[Any]) -> "Packed":
        """It holds on to these values."""
        packed = super().__new__(cls, values)
        packed.words = []
        (packed.kind,) = flatten((tuple(packed),), packed.words)
        return packed


def flatten(values: tuple[Any, ...], words: list[float]) -> Kinds:
    """The kinds of these values, whose words are appended to `words`."""
    kinds: list[Any] = []
    for value in values:
        kind = type(value)
        if isinstance(value, ARRAY):
            array = value.dtype, value.ndim, value.flags.num & IN_ONE_RUN == IN_ONE_RUN
            kinds.append(KNOWN.get(array) or KNOWN.setdefault(array, ArrayKind(*array)))
            words.append(id(value))
        elif kind is Packed:
            kinds.append(value.kind)
            words += value.words
        elif isinstance(value, tuple):
            several = kind, flatten(value, words)
            kinds.append(KNOWN.get(several) or KNOWN.setdefault(several, TupleKind(*several)))
        else:
            kinds.append(kind)
            words.append(value if kind in OWN else value.item())
    return tuple(kinds)


def packing(kinds: Kinds) -> str:
    """How `struct` packs the words of values of these kinds."""
    return "".join(packing(kind.kinds) if isinstance(kind, TupleKind) else packed_as(kind) for kind in kinds)


def packed_as(kind: ArrayKind | type) -> str:
    """How it packs an address or a number."""
    if isinstance(kind, type) and issubclass(kind, (float, np.floating)):
        return "d"
    return "Q" if kind is np.uint64 else "q"
