"""States: what a run has kept so far, seen by who looks on while it goes on."""

from pathlib import Path

from letterwise.checkpoint.training_state import read_state
from letterwise.errors import UserError


def steps_kept(out: Path) -> int:
    """After which step the newest state was kept; before all, -1, also between the two renames of a run's second save."""
    try:
        return read_state(out / "state.safetensors").step
    except UserError:
        return -1
