"""Training state: what a run needs to go on as if it had never stopped.

    TrainingState ──save_state──▶ state.pth in the run directory ──load_state──▶ TrainingState

Batches and dropout are functions of (seed, step), so no random state needs keeping: one integer places the run.
"""

import io
import pickle
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from letterwise.atomic import write_bytes
from letterwise.errors import UserError

FORMAT, VERSION = "letterwise-training-state", 2


@dataclass(frozen=True)
class TrainingState:
    """A run after `step` optimizer steps and `seconds` of its clock.

    `config` is `Config.to_json()`; `lookahead` holds weights that only training needs; `model_path` is seen from the run
    directory; `rows` are those of metrics.jsonl.
    """

    step: int
    seconds: float
    config: dict[str, Any]
    fingerprint: str
    model_path: str
    weights: dict[str, Tensor]
    lookahead: dict[str, Tensor]
    optimizers: list[dict[str, Any]]
    rows: list[dict[str, Any]]


def save_state(path: Path, state: TrainingState) -> None:
    """Write the state, whole or not at all."""
    content = io.BytesIO()
    values = {field.name: getattr(state, field.name) for field in fields(state)}
    torch.save({"format": FORMAT, "version": VERSION, **values}, content)
    write_bytes(path, content.getvalue())


def load_state(path: Path) -> TrainingState:
    """Read a state. Raises `UserError` when there is none or it is damaged."""
    if not path.exists():
        raise UserError(f"there is no run to resume in {str(path.parent)!r}: leave --resume out to start one.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if content.pop("format") != FORMAT or content.pop("version") != VERSION:
            raise UserError(
                f"{str(path)!r} is not a training state that this Letterwise reads: upgrade it, or start anew with --overwrite."
            )
        return TrainingState(**content)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"the training state {str(path)!r} is damaged: start anew with --overwrite.") from error
