"""Training state: what a run needs to go on as if it had never stopped. It is data, like a model file, and in its container.

    TrainingState ──save_state──▶ state.safetensors ──load_state──▶ TrainingState
                                        │ the save before it
                                        └──▶ state.previous.safetensors, when the newest is damaged

Batches and dropout are functions of (seed, step), so no random state needs keeping: one integer places the run.
"""

import os
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from letterwise.atomic import write_bytes
from letterwise.checkpoint.container import CHECKSUM, Damaged, pack, unpack
from letterwise.checkpoint.model_file import check_rows, check_weights, is_figure, stored_config
from letterwise.checkpoint.shards import open_shards
from letterwise.config import Config
from letterwise.errors import UserError, sentence
from letterwise.progress import Note

FORMAT, VERSION = "letterwise-training-state", 3  # 3: safetensors instead of pickle, a checksum, the best weights


@dataclass(frozen=True)
class TrainingState:
    """A run after `step` optimizer steps and `seconds` of its clock.

    `model_path` is seen from the run directory; `runtime` is what it ran on, in words; `every` and `validation_s` are how
    validations are cut and how long one took, `subset_every` how those on a subset are cut; `nats` and `nats_steps` sum the
    losses since the last validation; `rollbacks` counts how often the run diverged and went back; `rows` are the validations
    in metrics.jsonl, `record` its other rows, and `record_nats` and `record_steps` sum the losses since the last of training;
    `base` and `teacher` are the sha256 of the model files that the run was started from and is taught by, "" for none.
    `asked` are the knobs that were asked for by name: all others may be chosen anew for what belongs to this run.
    `shards` names the files that hold the arrays, with their sha256, where each of several processes had a share of them.

    Arrays by name: `weights`, those of the `best` validation so far (none before the first), `lookahead`, which only
    training needs, and `optimizers`, by "OPTIMIZER.PARAMETER.NAME".
    """

    step: int
    seconds: float
    config: Config
    fingerprint: str
    model_path: str
    runtime: str
    every: int
    validation_s: float
    nats: float
    nats_steps: int
    rollbacks: int
    rows: list[dict[str, Any]]
    weights: Mapping[str, np.ndarray]
    best: Mapping[str, np.ndarray]
    lookahead: Mapping[str, np.ndarray]
    optimizers: Mapping[str, np.ndarray]
    base: str = ""
    teacher: str = ""
    record: list[dict[str, Any]] = field(default_factory=list)
    record_nats: float = 0.0
    record_steps: int = 0
    subset_every: int = 0
    asked: list[str] = field(default_factory=list)
    shards: dict[str, str] = field(default_factory=dict)

    def check(self, vocab_size: int) -> None:
        """Weights against the configuration, before anything of its size is built. Raises `UserError`."""
        try:
            for weights in (self.weights, self.best) if self.best else (self.weights,):
                check_weights(weights, self.config.model, vocab_size)
        except UserError as error:
            raise damaged_state(error) from error


ARRAYS = ("weights", "best", "lookahead", "optimizers")
# Than version 3: written where there is one.
YOUNGER = ("base", "teacher", "record", "record_nats", "record_steps", "subset_every", "asked", "shards")
HEADER = {f.name: typing.get_origin(f.type) or f.type for f in fields(TrainingState) if f.name not in (*ARRAYS, "config")}


def save_state(path: Path, state: TrainingState) -> None:
    """Write the state, whole or not at all. The one that was there becomes the previous one."""
    header = {name: getattr(state, name) for name in HEADER} | {"config": state.config.to_json()}
    for name in YOUNGER:
        if not header[name]:
            del header[name]
    arrays = {f"{part}.{name}": array for part in ARRAYS for name, array in getattr(state, part).items()}
    content = pack({"format": FORMAT, "version": VERSION, **header}, arrays, ".safetensors")
    write_bytes(path, content, previous=previous(path))


def check_record(rows: list[Any]) -> None:
    """Rows between validations: of plain figures, each after a step. Raises `UserError`."""
    for row in rows:
        if not isinstance(row, dict) or type(row.get("step")) is not int or type(row.get("seconds")) not in (int, float):
            raise UserError("its record has a row without step and seconds")
        for name, value in row.items():
            if not (type(value) in (str, bool, type(None)) or is_figure(value, (int, float))):
                raise UserError(f"its record has {name} = {str(value)[:40]!r}")


def load_state(path: Path, note: Note = lambda text: None) -> TrainingState:
    """Read the newest state that is whole; where that is the previous one, `note` says so, and it becomes the newest.

    Only a damaged state is replaced. Raises `UserError` when there is none, both are damaged, or the newest cannot be read for
    another reason: it is somebody else's, or a newer version wrote it.
    """
    older, there = previous(path), os.path.lexists(path)  # a link that leads nowhere is there, and nobody's to replace
    if not older.exists():
        if not there:
            raise UserError(f"there is no run to resume in {str(path.parent)!r}: leave --resume out to start one.")
        return read_state(path)
    try:
        return read_state(path)
    except UserError as error:
        if there and not isinstance(error, Damaged):
            raise
        try:
            state = read_state(older)
        except Damaged as worse:
            neither = f"neither it nor the one before it, {older.name!r}, is whole"
            raise (damaged_state(neither, path) if there else worse) from worse
        why = error if there else "the newest state was not complete."
        note(f"{why} The one before it takes its place, of step {state.step}.")
        older.replace(path)
        return state


def previous(path: Path) -> Path:
    """Where the state before the newest is kept."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def damaged_state(why: object, path: Path | None = None) -> UserError:
    """What to say of a state that is not one, or not its run's."""
    where = f" {str(path)!r}" if path else ""
    return UserError(f"the training state{where} is damaged: {sentence(why)} Start anew with --overwrite.")


def read_state(path: Path) -> TrainingState:
    """Read one state file. Raises `UserError` when it is none, or damaged, or of another version."""
    try:
        is_other = path.exists() and not path.is_file()  # a pipe would be waited for
    except OSError as error:
        raise UserError(f"cannot read {str(path)!r}: {error.strerror}.") from error
    if is_other:
        raise UserError(f"{str(path)!r} is not a file: a training state is one. Restore it from a copy.")
    header, arrays = unpack(path, newest=VERSION)
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise UserError(f"{str(path)!r} is not a training state: start anew with --overwrite.")
    if header.get("version") != VERSION:
        raise UserError(
            f"{str(path)!r} is a training state of version {str(header.get('version'))[:20]}, and this Letterwise reads "
            f"{VERSION}: go on with the Letterwise that began it, or start anew with --overwrite."
        )
    if CHECKSUM not in header:
        raise Damaged(str(damaged_state("it has no checksum", path)))
    try:
        values = {name: header[name] for name in HEADER if name in header or name not in YOUNGER}
        for name, kind in HEADER.items():
            if name not in values:
                continue
            if type(values[name]) is not kind:
                raise UserError(f"{name} is {str(values[name])[:40]!r}")
            if kind in (int, float) and not 0 <= values[name] < float("inf"):
                raise UserError(f"{name} is {values[name]}")
        check_rows(values["rows"])
        check_record(values.get("record", []))
        if shards := values.get("shards"):
            held = open_shards(path.parent, shards)
            return TrainingState(config=stored_config(header["config"]), **values, **{p: held.under(f"{p}.") for p in ARRAYS})
        parts: dict[str, dict[str, np.ndarray]] = {part: {} for part in ARRAYS}
        for name, array in arrays.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = array
        return TrainingState(config=stored_config(header["config"]), **values, **parts)
    except Damaged as error:
        raise Damaged(str(damaged_state(error, path))) from error
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, UserError) as error:
        why = f"it lacks {error}" if isinstance(error, KeyError) else error
        raise damaged_state(why, path) from error
