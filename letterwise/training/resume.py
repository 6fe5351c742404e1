"""Resume: what a run that goes on keeps from its state, and what may change.

TrainingState, flags ──resumed_config──▶ Config ──▶ the run, restored ──▶ notes about going on
"""

from dataclasses import asdict, fields
from typing import Any

from letterwise.checkpoint.training_state import TrainingState
from letterwise.config import PARTS, Config, RuntimeConfig
from letterwise.errors import UserError
from letterwise.training.finetune.base import Base, open_base
from letterwise.training.planning.settings import absolute
from letterwise.training.run import Run

CHANGEABLE = ("max_iters", "minutes", "eval_interval", "eval_chars", "save_interval", "patience")
CHANGEABLE += tuple(f.name for f in fields(RuntimeConfig))
MODELS = ("init_from", "teacher")  # may have been moved: what counts is which models they are


def resumed_config(state: TrainingState, flags: dict[str, Any]) -> Config:
    """The run's own configuration, with the changes asked for. Raises `UserError` on one that a run cannot survive."""
    old_config, requested = state.config, dict(flags)
    names = {name: requested.pop(name, getattr(old_config, name)) for name in ("preset", "size")}
    new_config = absolute(old_config.with_values(requested))
    old, new = ({k: v for part in PARTS for k, v in asdict(getattr(c, part)).items()} for c in (old_config, new_config))
    old |= {"preset": old_config.preset, "size": old_config.size}
    for name, value in {**new, **names}.items():
        moved = name in MODELS and value and old[name]
        if value != old[name] and name not in CHANGEABLE and not moved:
            raise UserError(
                f"this run has {name}={old[name]!r}, not {value!r}: --resume can change {', '.join(CHANGEABLE)} only."
            )
    return new_config


def resumed_models(config: Config, state: TrainingState) -> tuple[Base | None, Base | None]:
    """The models that the run was started from, and is taught by. Raises `UserError` when one is gone, or another."""
    training = config.training
    return _same(training.init_from, state.base, "was started from"), _same(training.teacher, state.teacher, "is taught by")


def _same(path: str | None, digest: str, role: str) -> Base | None:
    if not path:
        return None
    base = open_base(path)
    if base.digest != digest:
        raise UserError(f"{path!r} is not the model that this run {role}: bring that one back, or start anew.")
    return base


def resume_notes(run: Run, state: TrainingState) -> list[str]:
    """Notes about going on."""
    lines = []
    if run.finished() and not run.validation_due():
        lines.append(f"this run is finished, after step {run.step}: raise --max_iters, --minutes or --patience to go on.")
    if state.runtime != str(run.runtime):
        lines.append(
            f"this run was on {state.runtime}, and is on {run.runtime} now: as good, but no longer the same to the last bit."
        )
    return lines
