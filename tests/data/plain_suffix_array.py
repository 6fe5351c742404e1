"""Suffixes by their definition: sorted by Python, and runs found one start after another."""

import numpy as np

from letterwise.data.suffix_array import Suffixes, piece_bounds


def plain_suffix_array(ids: np.ndarray) -> Suffixes:
    """Suffixes of `ids` (N,), each piece sorted as its rest reads."""
    pieces = [ids[first:end].tolist() for first, end in piece_bounds(ids)]
    order = [place for piece in pieces for place in sorted(range(len(piece)), key=lambda i: piece[i:])]
    return Suffixes(ids, np.array(order, np.int32))


def plain_runs(text: str, source: str) -> list[list[int]]:
    """Start and end of each stretch of `text` that stands in `source` and is part of no longer one."""
    runs: list[list[int]] = []
    for start in range(len(text)):
        end = start
        while end < len(text) and text[start : end + 1] in source:
            end += 1
        if end > start and not (runs and runs[-1][1] >= end):
            runs.append([start, end])
    return runs
