"""Ensembles out of the blue: members of several shapes, with and without counts, that predict something each."""

from typing import Any

import numpy as np
import torch
from priors import counted

from letterwise.checkpoint import ModelFile
from letterwise.checkpoint.ensemble import combined
from letterwise.checkpoint.weights import weights_of
from letterwise.config.presets import resolve
from letterwise.data.vocabulary import Vocabulary
from letterwise.model import build, initialize

VOCABULARY = Vocabulary("char", "\n abcdehilnost")
COUNTS = counted(np.random.default_rng(0).integers(0, len(VOCABULARY), 300), len(VOCABULARY), 3)
WEIGHTS = (0.7, 0.4, -0.1)


def member(seed: int = 0, **flags: Any) -> ModelFile:
    """An ordinary model."""
    shape = {"n_layer": 1, "n_head": 2, "n_embd": 16, "block_size": 12, "counts_order": 3}
    config = resolve({**shape, **flags})
    transformer, generator = initialize(build(config.model, len(VOCABULARY)), seed), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in transformer.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.2)
    data = {"fingerprint": "0" * 64, "sources": [], "bounds": [0, 0, 0]}
    counts = COUNTS if config.model.counts_order else None
    return ModelFile(config, VOCABULARY, weights_of(transformer), data, [], counts)


def members(**flags: Any) -> list[ModelFile]:
    """The first has no counts, and the others have the same."""
    wide = {"preset": "llama", "counts_order": 0, "n_embd": 24, "n_layer": 2}
    return [member(1, **wide, **flags), member(2, **flags), member(3, n_head=1, tied=True, **flags)]


def ensemble(**flags: Any) -> ModelFile:
    """Of these."""
    return combined(members(**flags), WEIGHTS)
