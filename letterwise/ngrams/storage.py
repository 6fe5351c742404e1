"""Storage: counts as a few small arrays, and back.

Counts ──to_arrays──▶ {"J.lengths", "J.characters", "J.counts"} for each level J ──from_arrays──▶ Counts

Only what was counted is kept, in the smallest whole numbers that hold it; the distributions follow from it. Counts of several
texts (see adapt.py) are kept apart: "text0.J.lengths", "text1.J.lengths", … Where rare n-grams were left out, what is known of
them is kept, too: "J.totals", "J.few". docs/formats.md describes the arrays.
"""

import numpy as np

from letterwise.errors import UserError
from letterwise.ngrams.adapt import AdaptedCounts, adapt
from letterwise.ngrams.contexts import storage as contexts
from letterwise.ngrams.contexts.storage import MAX_COUNT, within
from letterwise.ngrams.kneser_ney import Counts
from letterwise.ngrams.pruned import PrunedCounts
from letterwise.ngrams.trie import Level

SIZES = (np.uint8, np.int16, np.int32, np.int64)  # kinds that every container knows
PRUNED = ("totals", "few")  # of each level, where rare n-grams were left out
CONTEXTS = "contexts."  # the arrays of what was counted beside n-grams begin so
OF_TEXT = "text{}."  # the arrays of one of several texts begin so


def to_arrays(counts: Counts) -> dict[str, np.ndarray]:
    """What a file keeps: for each level, the length of each row, and the character and count of each entry."""
    if isinstance(counts, AdaptedCounts):
        each = enumerate(to_arrays(part) for part in counts.parts)
        return {OF_TEXT.format(i) + name: array for i, arrays in each for name, array in arrays.items()}
    arrays = {"chars": np.array([counts.chars])}
    for j, level in enumerate(counts.levels):
        parts = {"lengths": np.diff(level.starts), "characters": level.characters, "counts": level.counts}
        if isinstance(counts, PrunedCounts):
            parts |= {"totals": counts.totals[j], "few": counts.counts_of_counts[j]}
        arrays |= {f"{j}.{name}": _smallest(values) for name, values in parts.items()}
    if counts.contexts:
        kept = contexts.to_arrays(counts.contexts)
        arrays |= {CONTEXTS + name: v if name.endswith(".keys") else _smallest(v) for name, v in kept.items()}
    return arrays


def from_arrays(arrays: dict[str, np.ndarray], vocab_size: int) -> Counts:
    """The inverse of `to_arrays`. Raises `UserError` when the arrays do not fit each other or the vocabulary."""
    if OF_TEXT.format(0) + "chars" in arrays:
        return _of_texts(arrays, vocab_size)
    kept = {name.removeprefix(CONTEXTS): array for name, array in arrays.items() if name.startswith(CONTEXTS)}
    arrays = {name: array for name, array in arrays.items() if not name.startswith(CONTEXTS)}
    parts = ("lengths", "characters", "counts") + PRUNED * ("0.totals" in arrays)
    order = (len(arrays) - 1) // len(parts)
    names = {"chars", *(f"{j}.{part}" for j in range(order) for part in parts)}
    complete = order and arrays.keys() == names and len(arrays["chars"]) == 1
    if not complete or any(a.ndim != 1 or a.dtype not in SIZES for a in arrays.values()):
        raise UserError("the counts are not complete")
    levels: list[Level] = []
    rows = 1
    for j in range(order):
        lengths, characters, counts = (arrays[f"{j}.{part}"] for part in ("lengths", "characters", "counts"))
        entries = len(characters)
        fitting = within(lengths, entries + 1) and within(characters, vocab_size) and within(counts, MAX_COUNT)
        starts = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))  # of numbers so small, the sum is exact
        if not fitting or len(lengths) != rows or not entries == len(counts) == starts[-1] or not (j or entries):
            raise UserError(f"the counts of level {j} do not fit each other")
        level = Level(starts, characters.astype(np.min_scalar_type(vocab_size - 1)), counts.astype(np.int32), vocab_size)
        if (np.diff(level.keys) <= 0).any():
            raise UserError(f"the counts of level {j} are not in order")
        levels.append(level)
        rows = entries
    if not arrays["chars"][0] > 0:
        raise UserError("the counts are of 0 characters")
    read = _pruned(arrays, levels, Counts(levels, vocab_size, int(arrays["chars"][0])))
    if any((lower < 0).any() for lower in read.suffixes):
        raise UserError("the counts have a context, but not that context without its first character")
    return read.with_contexts(contexts.from_arrays(kept, vocab_size)) if kept else read


def _pruned(arrays: dict[str, np.ndarray], levels: list[Level], counts: Counts) -> Counts:
    """Counts of which rare n-grams were left out, if these are such."""
    if "0.totals" not in arrays:
        return counts
    totals, few = ([arrays[f"{j}.{part}"].astype(np.int64) for j in range(counts.order)] for part in PRUNED)
    for j, level in enumerate(levels):
        kept = np.bincount(level.row_of, level.counts, minlength=level.rows)
        if len(totals[j]) != level.rows or (totals[j] < kept).any() or len(few[j]) != 4 or (few[j] < 0).any():
            raise UserError(f"the counts of level {j} are more than was counted")
    return PrunedCounts(levels, counts.vocab_size, counts.chars, totals, few)


def _of_texts(arrays: dict[str, np.ndarray], vocab_size: int) -> Counts:
    """Counts of several texts, of each of which there are arrays."""
    parts: list[Counts] = []
    left = dict(arrays)
    while left:
        of_text = OF_TEXT.format(len(parts))
        names = [name for name in left if name.startswith(of_text)]
        parts.append(from_arrays({name.removeprefix(of_text): left.pop(name) for name in names}, vocab_size))
    if len({part.order for part in parts}) > 1:
        raise UserError("the counts of several texts are of different orders")
    return adapt(parts)


def _smallest(values: np.ndarray) -> np.ndarray:
    highest = int(values.max(initial=0))
    return values.astype(next(size for size in SIZES if highest <= np.iinfo(size).max))
