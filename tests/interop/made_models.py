"""Models for exports: any bricks, small, with weights that are far from where training begins."""

from dataclasses import fields
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np

import letterwise
from letterwise.checkpoint.model_file import ModelFile
from letterwise.config import ModelConfig
from letterwise.config.accounting import weight_shapes
from letterwise.config.presets import resolve
from letterwise.data.vocabulary import Vocabulary

CHARS = "\n abcdefgh"
PLAIN = ("classic", "gpt2", "llama")  # presets that travel
SHAPE = dict(n_layer=2, n_head=4, n_embd=32, block_size=24)


def made(preset: str, vocabulary: Vocabulary = Vocabulary("char", CHARS), **changes: Any) -> letterwise.LanguageModel:  # noqa: B008
    """A model with random weights. Its text is nowhere."""
    config = resolve({"preset": preset, **SHAPE, "counts_order": 0, **changes})
    draw = np.random.default_rng(0)
    weights = {
        name: (draw.normal(size=shape) * 0.3 + ("norm" in name and name.endswith("weight"))).astype(np.float32)
        for name, shape in weight_shapes(config.model, len(vocabulary)).items()
    }
    record = {"fingerprint": "0" * 64, "sources": ["a text"], "bounds": [90, 100, 100]}
    return letterwise.LanguageModel(ModelFile(config, vocabulary, weights, record, []), "cpu")


def ids_of(model: letterwise.LanguageModel, length: int = SHAPE["block_size"]) -> np.ndarray:
    """Random characters."""
    return np.random.default_rng(1).integers(0, len(model.vocabulary), length)


def choices() -> list[tuple[str, str, Any]]:
    """Every value of every brick, in each of the presets that travel."""
    hints = get_type_hints(ModelConfig)
    found = []
    for f in fields(ModelConfig):
        values = get_args(hints[f.name]) if get_origin(hints[f.name]) is not None else (False, True)
        if hints[f.name] is bool or isinstance(values[0], str):
            found += [(preset, f.name, value) for preset in PLAIN for value in values]
    return [*found, ("llama", "n_kv_head", 1), ("gpt2", "n_kv_head", 2), ("classic", "n_kv_head", 2), ("llama", "n_head", 2)]
