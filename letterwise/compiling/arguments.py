"""Arguments: what Python hands to machine code, in words of 8 bytes.

    (array, (1, 2.5), True) ──flatten──▶ kinds, for which there must be machine code, and words: address, 1, 2.5, 1

Of an array that is the address of NumPy's record of it, whose layout is part of NumPy's binary interface: machine code finds
data, shape and strides there (compiler.py).
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

Kinds = tuple[Any, ...]  # of values one after another, flat: so it is fast to make, and to look up
IN_ONE_RUN = 0x101  # NumPy's flags of arrays in C's order that are aligned
OWN = {bool, int, float}  # of numbers, Python's types


class ArrayKind(NamedTuple):
    """What machine code has to know of an array."""

    dtype: np.dtype
    ndim: int
    in_one_run: bool


class TupleKind(NamedTuple):
    """What it has to know of a tuple, perhaps a named one."""

    type: type[tuple[Any, ...]]
    kinds: "tuple[Kind, ...]"


Kind = ArrayKind | TupleKind | type  # a number's is its type


class Packed(tuple[Any, ...]):
    """A tuple of arguments that are handed over again and again: flat from the beginning."""

    kinds: list[Any]
    words: list[float]

    def __new__(cls, values: Iterable[Any]) -> "Packed":
        """It holds on to these values."""
        packed = super().__new__(cls, values)
        packed.kinds, packed.words = [], []
        flatten((tuple(packed),), packed.kinds, packed.words)
        return packed


def flatten(values: tuple[Any, ...], kinds: list[Any], words: list[float]) -> None:
    """Append the kinds of these values, and their words."""
    for value in values:
        kind = type(value)
        if isinstance(value, np.ndarray):
            kinds += np.ndarray, value.dtype, value.ndim, value.flags.num & IN_ONE_RUN == IN_ONE_RUN
            words.append(id(value))
        elif kind is Packed:
            kinds += value.kinds
            words += value.words
        elif isinstance(value, tuple):
            kinds += kind, len(value)
            flatten(value, kinds, words)
        else:
            kinds.append(kind)
            words.append(value if kind in OWN else value.item())


def nested(kinds: Iterator[Any]) -> Iterator[Kind]:
    """The kinds that were made flat."""
    for kind in kinds:
        if kind is np.ndarray:
            yield ArrayKind(next(kinds), next(kinds), next(kinds))
        elif issubclass(kind, tuple):
            count = next(kinds)
            yield TupleKind(kind, tuple(islice(nested(kinds), count)))
        else:
            yield kind


def packing(kinds: tuple[Kind, ...]) -> str:
    """How `struct` packs the words of values of these kinds."""
    return "".join(packing(kind.kinds) if isinstance(kind, TupleKind) else packed_as(kind) for kind in kinds)


def packed_as(kind: ArrayKind | type) -> str:
    """How it packs an address or a number."""
    if isinstance(kind, type) and issubclass(kind, (float, np.floating)):
        return "d"
    return "Q" if kind is np.uint64 else "q"
