"""Base: the model that a run starts from, and what it settles for the run.

--init_from FILE ──open_base──▶ Base ──with_base──▶ what was asked, with its architecture; and the recipe for fine-tuning
"""

import hashlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from letterwise.checkpoint import ModelFile, load_model
from letterwise.checkpoint.ensemble import require_single
from letterwise.checkpoint.grow_vocabulary import grown, new_places
from letterwise.checkpoint.texts import own_text
from letterwise.config import ModelConfig
from letterwise.data.token_stream import TokenStream
from letterwise.data.vocabulary import Vocabulary
from letterwise.errors import UserError, quoted
from letterwise.progress import Note

FREE = ("dropout", "shared_dropout")  # of the model's knobs: no part of its architecture
OF_TEXT = ("vocab", "lines")  # knobs of the text that the model was built for
# What differs from training from nothing; docs/log.md has the measurements.
RECIPE: dict[str, Any] = {
    "learning_rate": 1e-3,
    "matrix_learning_rate": 2e-3,
    "min_lr": 0.0,
    "warmup_iters": 10,
    "lookahead": 0.0,
}


@dataclass(frozen=True)
class Base:
    """A model file to start from, and its `digest`, the sha256 of the file."""

    path: str
    file: ModelFile
    digest: str

    @property
    def lineage(self) -> list[dict[str, Any]]:
        """What a model that was fine-tuned from this one tells of it, and of those before it."""
        record = self.file.data
        mine = {"model": self.digest, "fingerprint": record["fingerprint"], "sources": record["sources"]}
        return [*self.file.lineage, {**mine, "vocabulary": self.file.vocabulary.to_json()}]

    def grown(self, vocabulary: Vocabulary) -> ModelFile:
        """The model over a larger vocabulary. Raises `UserError` where its architecture cannot have so many characters."""
        model, old, new = self.file.config.model, len(self.file.vocabulary), len(vocabulary)
        if model.mixed_counts(old) != model.mixed_counts(new):
            raise UserError(
                f"{self.path!r} tells {model.mixed_counts(old)} distributions of counts apart, and with the text's characters "
                f"its vocabulary would have {new:,}, too many for that: train a model of its own, without --init_from."
            )
        return grown(self.file, vocabulary)

    def own_text(self, note: Note) -> TokenStream | None:
        """The text that the base model learned; None when it is gone, which is noted."""
        try:
            return own_text(self.file, note, missing="how much of it is forgotten is not measured.")
        except UserError as error:
            note(str(error))
            return None

    def ids_in(self, vocabulary: Vocabulary, ids: np.ndarray) -> np.ndarray:
        """Ids (N,) of the base's vocabulary as those of a larger one."""
        if vocabulary == self.file.vocabulary:
            return ids
        return new_places(self.file.vocabulary, vocabulary).astype(vocabulary.dtype)[ids]


def open_base(path: str) -> Base:
    """The model file of `--init_from`. Raises `UserError` when it is none."""
    file = load_model(path)
    with Path(path).open("rb") as content:
        return Base(path, file, hashlib.file_digest(content, "sha256").hexdigest())


def with_base(flags: dict[str, Any]) -> tuple[Base | None, dict[str, Any], dict[str, Any]]:
    """The base model that was asked for, if any; what is settled by asking for it; and that with the recipe's defaults.

    Raises `UserError` as `open_base` and `settled` do, and for an ensemble.
    """
    if not flags.get("init_from"):
        return None, flags, flags
    base = open_base(flags["init_from"])
    require_single(base.file, f"--init_from {quoted(base.path)}")
    flags = settled(flags, base)
    return base, flags, flags | recipe(flags)


def settled(flags: dict[str, Any], base: Base) -> dict[str, Any]:
    """What was asked, with the base model's architecture. Raises `UserError` where something else was asked for."""
    config = base.file.config
    names = {f.name for f in fields(ModelConfig)} - set(FREE)
    fixed = {name: getattr(config.model, name) for name in names} | {name: getattr(config.data, name) for name in OF_TEXT}
    fixed |= {"preset": config.preset, "size": config.size}
    for name, value in fixed.items():
        if name in flags and flags[name] != value:
            raise UserError(
                f"--init_from keeps the architecture of {base.path!r}, which has {name}={quoted(value)}, not "
                f"{quoted(flags[name])}: leave out --{name}."
            )
    return fixed | flags


def recipe(flags: dict[str, Any]) -> dict[str, Any]:
    """Defaults for fine-tuning that fit what was asked."""
    values = {name: value for name, value in RECIPE.items() if name not in flags}
    if not flags.get("minutes") and isinstance(steps := flags.get("max_iters"), int) and "warmup_iters" in values:
        values["warmup_iters"] = max(0, min(values["warmup_iters"], steps // 4))
    return values
