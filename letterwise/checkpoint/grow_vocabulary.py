"""Grow vocabulary: the same model over more characters. What it knows of the old ones stays, whatever their new ids.

ModelFile over V characters, Vocabulary of V' ──grown──▶ ModelFile over V'; what is new in it is 0, until finetuning.py fills it

Which axes of which weights have a place for each character is not listed here: they are those whose length depends on V.
"""

import math
from dataclasses import replace

import numpy as np

from letterwise.checkpoint.model_file import ModelFile
from letterwise.config.accounting import weight_shapes
from letterwise.data.vocabulary import Vocabulary
from letterwise.ngrams import Counts, adapt
from letterwise.ngrams.adapt import AdaptedCounts
from letterwise.ngrams.contexts import ContextCounts, alphabet
from letterwise.ngrams.contexts.storage import MAX_COUNT
from letterwise.ngrams.pruned import PrunedCounts
from letterwise.ngrams.trie import Level

NEW_SHARE = 1e-4


def grown(file: ModelFile, vocabulary: Vocabulary) -> ModelFile:
    """`file` over a `vocabulary` that holds all of its characters.

    Where counts know nothing of a context at all, they give new characters together a share of `NEW_SHARE`.
    """
    if vocabulary == file.vocabulary:
        return file
    places = new_places(file.vocabulary, vocabulary)
    before, after = (weight_shapes(file.config.model, len(held)) for held in (file.vocabulary, vocabulary))
    weights = {name: _grown(weight, before[name], after[name], places) for name, weight in file.weights.items()}
    counts = file.counts and _grown_counts(file.counts, places, vocabulary)
    return replace(file, vocabulary=vocabulary, weights=weights, counts=counts)


def new_places(old: Vocabulary, new: Vocabulary) -> np.ndarray:
    """The new id of each old character: (V,), ascending."""
    return np.searchsorted(new.points, old.points)


def _grown(weight: np.ndarray, before: tuple[int, ...], after: tuple[int, ...], places: np.ndarray) -> np.ndarray:
    """One weight; an axis that has more than a place for each character (a column for each escape) has them at its end."""
    for axis, (old, new) in enumerate(zip(before, after, strict=True)):
        if old != new:
            kept = np.arange(old - len(places))  # places at the end that are no character's
            larger = np.zeros((*weight.shape[:axis], new, *weight.shape[axis + 1 :]), weight.dtype)
            moved = np.moveaxis(larger, axis, 0)
            moved[np.concatenate((places, new - len(kept) + kept))] = np.moveaxis(weight, axis, 0)
            weight = larger
    return weight


def _grown_counts(counts: Counts, places: np.ndarray, vocabulary: Vocabulary) -> Counts:
    """The same counts where character c is `places[c]` of the vocabulary."""
    size = len(vocabulary)
    if isinstance(counts, AdaptedCounts):
        return adapt([_grown_counts(part, places, vocabulary) for part in counts.parts])
    dtype = np.min_scalar_type(size - 1)
    levels = [Level(each.starts, places[each.characters].astype(dtype), each.counts, size) for each in counts.levels]
    levels[0] = _scaled(levels[0])
    contexts = counts.contexts and _grown_contexts(counts.contexts, places, vocabulary)
    grown = replace(counts, levels=levels, vocab_size=size, contexts=contexts)
    if not isinstance(grown, PrunedCounts):
        return grown
    total = levels[0].counts.sum(keepdims=True, dtype=np.int64)
    few = [np.zeros(4, np.int64), *grown.counts_of_counts[1:]]
    return replace(grown, totals=[total, *grown.totals[1:]], counts_of_counts=few)


def _grown_contexts(contexts: ContextCounts, places: np.ndarray, vocabulary: Vocabulary) -> ContextCounts:
    """The same for contexts, whose keys know characters by their code points."""
    dtype = np.min_scalar_type(len(vocabulary) - 1)
    tables = [replace(table, characters=places[table.characters].astype(dtype)) for table in contexts.tables]
    lines = contexts.alphabet.fresh >= 0
    return ContextCounts(tables, alphabet(vocabulary, vocabulary.line_break if lines else None))


def _scaled(level: Level) -> Level:
    """Level 0 with all counts multiplied: what is proportional stays; discounts take off less, so less is left for the rest."""
    discounted, total, most = 1.5 * len(level.counts), int(level.counts.sum()), int(level.counts.max())
    times = max(1, min(math.ceil(discounted / (NEW_SHARE * total)), (MAX_COUNT - 1) // most))
    return replace(level, counts=level.counts * np.int32(times))
