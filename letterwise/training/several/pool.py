"""Pool: finished members become one model file, whose weights are fitted on text that none of them learned from.

model files ──logits on text that none has learned──▶ fit_weights ──▶ combined ──validation part──▶ its history, and a sample

The validation part is only measured on: nothing here depends on what is in it but the figure.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from letterwise.checkpoint import ModelFile, load_model, save_model
from letterwise.checkpoint.container import checksum
from letterwise.checkpoint.ensemble import combined, same_counts
from letterwise.checkpoint.text_model import TextModel, text_model
from letterwise.checkpoint.texts import own_text
from letterwise.config import RuntimeConfig
from letterwise.data.token_stream import TokenStream
from letterwise.errors import UserError
from letterwise.evaluation.evaluate import evaluate
from letterwise.evaluation.passes import passes
from letterwise.inference.torch_backend import torch_backend
from letterwise.progress import Note
from letterwise.runtime.device import find_device
from letterwise.training.report.result import TrainResult
from letterwise.training.several.mixture import fit_weights
from letterwise.training.validation import sample_of

NUMBERS = 2**25  # logits that are held at once: of a longer text, every n-th window is looked at
RECORD = "mixture"  # of how it was made, in the file's record of its text

Between = Callable[[], None]


@dataclass(frozen=True)
class Pool:
    """An ensemble's file, and what its weights were fitted on: how many characters, and the mean nats of each model alone."""

    file: ModelFile
    chars: int
    nats: float
    each: list[float]

    @property
    def row(self) -> dict[str, Any]:
        """Its validation."""
        return self.file.history[-1]


def pooled(place: Path, runs: Sequence[TrainResult], runtime: RuntimeConfig, note: Note, between: Between) -> Pool:
    """The ensemble of finished members, written to `place`; what is there of the very same members is read again.

    `between` is called now and then, and may raise to give up. Raises `UserError` where the text is gone.
    """
    files = load_members([run.model_path for run in runs])
    digests = [checksum({}, file.weights) for file in files]
    if there := made_before(place, digests):
        return there
    first, device = files[0], find_device(runtime.device)
    share = first.config.training.tuning_fraction or 0.0
    stream = own_text(first, note, missing="the members' weights are fitted on it.").keeping_back(share)
    note(f"fitting the weights of {len(files)} members on {stream.tuning:,} characters that none has learned …")
    models = [text_model(file, device) for file in files]
    targets, logits = each_logits(models, stream, between)
    mixture = fit_weights(logits, targets, between)
    ensemble = combined(files, mixture.weights.tolist())
    record = {"members": digests, "chars": len(targets), "nats": mixture.nats, "each": mixture.each}
    whole = text_model(ensemble, device)
    row = validated(whole, stream, first.data["every"], between)
    row |= {"step": sum(run.iters for run in runs), "chars": sum(run.chars_seen for run in runs)}
    backend = torch_backend(whole.transformer, whole.counts, whole.line_break)
    row |= {
        "seconds": round(sum(run.train_seconds for run in runs), 3),
        "sample": sample_of(backend, whole.vocabulary, between),
    }
    ensemble = replace(ensemble, data=ensemble.data | {RECORD: record}, history=[row])
    save_model(place, ensemble)
    return pool_of(ensemble)


def pool_of(file: ModelFile) -> Pool:
    """What its own record says of an ensemble. Raises `LookupError` or `TypeError` where that is of another kind."""
    record = file.data[RECORD]
    return Pool(file, int(record["chars"]), float(record["nats"]), [float(nats) for nats in record["each"]])


def made_before(place: Path, digests: list[str]) -> Pool | None:
    """The ensemble that is there already, if it is of just these members."""
    if not place.is_file():
        return None
    try:
        pool = pool_of(load_model(place))
        return pool if pool.file.data[RECORD]["members"] == digests and pool.file.members else None
    except (UserError, LookupError, TypeError, ValueError):  # another file, or a damaged one
        return None


def load_members(paths: Sequence[str]) -> list[ModelFile]:
    """Model files; those with the same counts share them in memory."""
    files: list[ModelFile] = []
    for path in paths:
        file = load_model(path)
        known = next((other.counts for other in files if other.counts), None)
        if known and file.counts and same_counts(known, file.counts):
            file = replace(file, counts=known)
        files.append(file)
    return files


def each_logits(models: Sequence[TextModel], stream: TokenStream, between: Between) -> tuple[np.ndarray, list[np.ndarray]]:
    """The targets (n,) in the tuning part, in windows as validations have them, and each model's logits there (n, V)."""
    ids = stream.tuning_part
    every = math.ceil(len(ids) * len(models) * len(stream.vocabulary) / NUMBERS)
    targets, found = np.zeros(0, np.int64), list[np.ndarray]()
    for model in models:
        parts = list(passes(model, ids, every=every, with_logits=True, between=between))
        found.append(torch.cat([some.logits for some in parts if some.logits is not None]).float().cpu().numpy())
        targets = torch.cat([some.targets for some in parts]).cpu().numpy()
    return targets, found


def validated(model: TextModel, stream: TokenStream, every: int, between: Between) -> dict[str, Any]:
    """A row of the history: the ensemble on the characters that its members were validated on."""
    held_out, score = stream.part("val"), None
    if len(held_out) >= 2:
        score = evaluate(model, held_out, every=max(1, every), between=between)
    low, high = score.interval_nats if score and score.interval_nats else (None, None)
    return {
        "learning_rate": 0.0,
        "train_nats_per_char": None,
        "val_nats_per_char": score.nats_per_char if score else None,
        "val_chars": score.chars if score else 0,
        "val_nats_low": low,
        "val_nats_high": high,
        "chars_per_second": 0,
        "best": True,
    }
