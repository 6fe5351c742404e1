"""Describe: what a page knows of its model, as plain containers: how to compute, how to spell, and what to tell a person.

ModelFile ──▶ {"config", "vocabulary", "line_break", "texts", "title", "facts", …}

All of it ends as JSON, and the page shows it as text. Of the sources it has file names, never folders: the page is for others.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from letterwise.checkpoint import ModelFile
from letterwise.config import ModelConfig
from letterwise.config.accounting import parameters
from letterwise.errors import UserError
from letterwise.interop.exporting.record import listed, sources
from letterwise.ngrams import Counts
from letterwise.ngrams.adapt import texts
from letterwise.ngrams.contexts import storage as contexts
from letterwise.ngrams.pruned import PrunedCounts
from letterwise.units import bits

SPELLED = ("n_kv_head", "ffn_hidden")  # what may be left to a default is written out: "n_kv_head", "hidden"
IN_TRAINING = ("dropout", "shared_dropout", "zero_output")  # knobs that change nothing once a model is trained


def description(file: ModelFile) -> dict[str, Any]:
    """All but the numbers and the facts about them."""
    vocabulary = file.vocabulary
    return {
        "config": config_of(file.config.model, len(vocabulary)),
        "vocab_size": len(vocabulary),
        "vocabulary": {"kind": vocabulary.kind, "points": vocabulary.points.tolist()},
        "line_break": file.line_break,
        "texts": len(texts(file.counts)) if file.counts else 0,
        "title": listed(sources(file), 3),
    }


def config_of(config: ModelConfig, vocab_size: int) -> dict[str, Any]:
    """The configuration as the engine reads it, with nothing left to a default."""
    names = [f.name for f in fields(config) if f.name not in (*SPELLED, *IN_TRAINING)]
    spelled = {"n_kv_head": config.kv_heads, "hidden": config.hidden, "gated": config.gated}
    counted = {"orders": config.mixed_counts(vocab_size), "counts_contexts": config.has_contexts(vocab_size)}
    return {name: getattr(config, name) for name in names} | spelled | counted


def counts_arrays(counts: Counts | None) -> dict[str, np.ndarray]:
    """What was counted, of each text and level: how long each row is, and the character and count of each entry. All of it.

    Of contexts, the same of each kind, all texts together, and the keys that find a row.
    """
    arrays: dict[str, np.ndarray] = {}
    for i, text in enumerate(texts(counts) if counts else ()):
        if isinstance(text, PrunedCounts):
            raise UserError(
                f"this model counted {text.chars:,} characters, too many for a page: "
                "--distill MINUTES trains one without counts that predicts what this one does."
            )
        for j, level in enumerate(text.levels):
            parts = {"lengths": np.diff(level.starts), "characters": level.characters, "counts": level.counts}
            arrays |= {f"counts.{i}.{j}.{name}": _smallest(values) for name, values in parts.items()}
    if counts and counts.contexts:
        kept = contexts.to_arrays(counts.contexts)
        arrays |= {
            f"counts.contexts.{name}": values.view(np.uint32) if name.endswith(".keys") else _smallest(values)
            for name, values in kept.items()
        }
    return arrays


def _smallest(values: np.ndarray) -> np.ndarray:
    return values.astype(np.min_scalar_type(int(values.max(initial=0))))


def facts(file: ModelFile, arrays: Mapping[str, np.ndarray], cost: float | None) -> list[tuple[str, str]]:
    """What a person may want to know, label and value."""
    config, vocabulary = file.config.model, file.vocabulary
    found = [("Learned from", listed(sources(file), 30))]
    if file.data["bounds"][0] > 0:
        found.append(("Characters learned from", f"{file.data['bounds'][0]:,}"))
    if best := file.best_validation:
        found.append(("Surprise on text it had not seen", f"{bits(best['val_nats_per_char']):.3f} bits per character"))
    kind = "bytes" if vocabulary.kind == "byte" else "characters"
    found += [
        ("Alphabet", f"{len(vocabulary):,} {kind}"),
        ("Parameters", f"{parameters(config, len(vocabulary)).total:,}"),
    ]
    if config.n_layer:
        found.append(("Transformer", f"layers: {config.n_layer}, heads: {config.n_head}, width: {config.n_embd}"))
        found.append(("Context", f"{config.block_size:,} {kind}"))
    if file.counts:
        entries = sum(len(level.characters) for text in texts(file.counts) for level in text.levels)
        counted = f"{entries:,} n-grams of up to {config.counts_order} characters, all of them, exactly"
        if file.counts.contexts:
            rows = sum(len(table.keys) for table in file.counts.contexts.tables)
            others = "words, characters some way back, places in lines, long repeats"
            counted += f"; and what followed {rows:,} other contexts: {others}"
        found.append(("Counts", counted))
    return [*found, ("Weights", price(file, arrays, cost))]


def price(file: ModelFile, arrays: Mapping[str, np.ndarray], cost: float | None) -> str:
    """What kinds of number its weights became, and what that costs."""
    kinds = list(dict.fromkeys(arrays[name].dtype.name for name in file.weights))
    if kinds == ["float32"]:
        return "float32, as they were trained"
    if cost is None:
        measured = "what that costs was not measured, since the model's own validation text is gone"
    else:
        measured = f"that costs {cost:+.5f} nats per character on the model's own validation text"
    return f"rounded to {' and '.join(kinds)}; {measured}"
