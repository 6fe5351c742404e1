"""Environment: what torchrun, or whoever starts processes as it does, tells each of them. Read without PyTorch.

RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE ──places──▶ which process of how many
"""

import os
from collections.abc import Mapping
from typing import NamedTuple

from letterwise.errors import UserError

NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
ATTEMPT = "LETTERWISE_ATTEMPT"  # of `train --processes`: how often the processes were started before
LOST = 75  # exit code of a process that cannot go on without another (EX_TEMPFAIL)


class Place(NamedTuple):
    """A process: number `rank` of `size`, and number `local_rank` of the `local_size` on its machine."""

    rank: int
    size: int
    local_rank: int
    local_size: int


def started_by_torchrun(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this is one of several processes that were started together, or one of one."""
    return all(name in environment for name in NEEDED)


def place(environment: Mapping[str, str] = os.environ) -> Place:
    """Which process this is. Raises `UserError` where the variables make no sense."""
    if not started_by_torchrun(environment):
        return Place(0, 1, 0, 1)
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    given = {name: environment.get(name, environment[names[i % 2]]) for i, name in enumerate(names)}
    try:
        rank, size, local_rank, local_size = (int(given[name]) for name in names)
    except ValueError:
        rank = size = local_rank = local_size = -1
    if not (0 <= rank < size and 0 <= local_rank < local_size):
        shown = " ".join(f"{name}={value}" for name, value in given.items())
        raise UserError(f"the environment says {shown}, which is no process of several: start with torchrun, or unset RANK.")
    return Place(rank, size, local_rank, local_size)


def launch(environment: Mapping[str, str] = os.environ) -> str:
    """What all processes that were started together have in common, also those that take the place of killed ones."""
    return environment.get("TORCHELASTIC_RUN_ID", "")


def restarted(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether processes were started before these, in the same launch, and ended early."""
    return any(environment.get(name, "0") != "0" for name in (ATTEMPT, "TORCHELASTIC_RESTART_COUNT"))


def speaks(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process is the one that says what all of them find out."""
    return not started_by_torchrun(environment) or environment["RANK"] == "0"
