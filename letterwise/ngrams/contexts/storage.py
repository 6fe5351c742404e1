"""Storage: counts of contexts as a few small arrays, and back.

ContextCounts ──to_arrays──▶ {"codes", "letters", "breaks", "KIND.keys", "KIND.lengths", …} ──from_arrays──▶ ContextCounts

Distributions follow from what was counted. docs/formats.md describes the arrays.
"""

import numpy as np

from letterwise.errors import UserError
from letterwise.ngrams.contexts.keys import KINDS, Alphabet
from letterwise.ngrams.contexts.tables import MIN_SEEN, ContextCounts, ContextTable

PARTS = ("keys", "lengths", "characters", "counts", "few")
MAX_COUNT = 2**31  # a count is below this: they are int32 in memory


def to_arrays(contexts: ContextCounts) -> dict[str, np.ndarray]:
    """What a file keeps. Keys are kept as int32 of the same bits, as not every container knows uint32."""
    of = contexts.alphabet
    arrays = {"codes": of.codes, "letters": of.letters, "breaks": np.array([of.newline + 1, of.fresh + 1])}
    for kind, table in zip(KINDS, contexts.tables, strict=True):
        parts = (table.keys.view(np.int32), table.lengths, table.characters, table.counts, table.few)
        arrays |= {f"{kind}.{name}": array for name, array in zip(PARTS, parts, strict=True)}
    return arrays


def from_arrays(arrays: dict[str, np.ndarray], vocab_size: int) -> ContextCounts:
    """The inverse of `to_arrays`. Raises `UserError` when the arrays do not fit each other or the vocabulary."""
    names = {"codes", "letters", "breaks", *(f"{kind}.{part}" for kind in KINDS for part in PARTS)}
    if arrays.keys() != names or any(array.ndim != 1 or array.dtype.kind not in "iu" for array in arrays.values()):
        raise UserError("the counts of contexts are not complete")
    codes, letters, breaks = (arrays[name] for name in ("codes", "letters", "breaks"))
    if len(codes) != vocab_size or len(letters) != vocab_size or len(breaks) != 2 or not within(breaks, vocab_size + 1):
        raise UserError("the counts of contexts are of another vocabulary")
    of = Alphabet(codes.astype(np.int32), letters.astype(np.int32), int(breaks[0]) - 1, int(breaks[1]) - 1)
    return ContextCounts([_table(kind, arrays, vocab_size) for kind in KINDS], of)


def _table(kind: str, arrays: dict[str, np.ndarray], vocab_size: int) -> ContextTable:
    keys, lengths, characters, counts, few = (arrays[f"{kind}.{part}"] for part in PARTS)
    keys = keys.astype(np.int32).view(np.uint32)
    fitting = within(lengths, len(characters) + 1) and within(characters, vocab_size) and within(counts, MAX_COUNT)
    starts = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))
    if not fitting or len(lengths) != len(keys) or len(few) != 4 or not len(characters) == len(counts) == starts[-1]:
        raise UserError(f"the counts of contexts of kind {kind!r} do not fit each other")
    table = ContextTable(
        keys, starts, characters.astype(np.min_scalar_type(vocab_size - 1)), counts.astype(np.int32), few.astype(np.int64)
    )
    rows = np.repeat(np.arange(len(keys)), lengths)
    ascending = (np.diff(keys.astype(np.int64)) > 0).all() and (np.diff(rows * vocab_size + table.characters) > 0).all()
    if not ascending or (table.totals < MIN_SEEN).any() or (few < 0).any():
        raise UserError(f"the counts of contexts of kind {kind!r} are not in order")
    return table


def within(values: np.ndarray, below: int) -> bool:
    """Whether all of them are from 0 to before that."""
    return bool(values.min(initial=0) >= 0 and values.max(initial=0) < below)
