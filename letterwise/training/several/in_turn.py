"""In turn: runs that belong together, one after another, each in a directory of its own.

flags, turns ──▶ train ──▶ train ──▶ … ──▶ a result each        what the first settled holds for all, but what each changes

Who is stopped goes on with the same turns: finished runs are only read again.
"""

import math
import signal
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from letterwise.checkpoint.training_state import TrainingState, load_state
from letterwise.compiling.clock import clock
from letterwise.config import Config
from letterwise.config.presets import knob_values
from letterwise.errors import Terminated
from letterwise.progress import Progress
from letterwise.training.interruption import Interrupted
from letterwise.training.prepare import train
from letterwise.training.report.result import TrainResult
from letterwise.training.run_directory import RunDirectory


@dataclass(frozen=True)
class Turn:
    """A run: its name, where it is, the knobs that it changes, given what the first settled (None: it is the first).

    Those in `planned` it chooses itself, where nobody asked for them. It takes a `share` of the time, in comparison with the
    others.
    """

    name: str
    place: Path
    values: Callable[[Config | None], dict[str, Any]]
    share: float = 1.0
    planned: Set[str] = frozenset()


class OneOfSeveral(Progress):
    """Shows a run as `shown` does, but as what is left the time of all runs: later ones take `later` times as long as this.

    Once it has begun, what was `replaced` is removed: before, something asked for may yet turn out to be impossible.
    """

    def __init__(self, shown: Progress, later: float, replaced: Sequence[RunDirectory]) -> None:
        self.shown, self.later, self.replaced, self.began = shown, later, replaced, clock()
        self.note, self.held_out, self.stop = shown.note, shown.held_out, shown.stop

    def start(self, max_iters: int | None) -> None:
        """Training begins."""
        for directory in self.replaced:
            directory.clear()
        self.shown.start(max_iters)

    def step(self, step: int, done: float, nats: float, chars_per_second: float, left_s: float) -> None:
        """A step was taken."""
        whole_s = clock() - self.began + left_s
        self.shown.step(step, done, nats, chars_per_second, left_s + self.later * whole_s)


def in_turn(
    flags: dict[str, Any],
    turns: Sequence[Turn],
    *,
    resume: bool = False,
    replaced: Sequence[RunDirectory] | None = None,
    progress: Progress,
    started: float | None = None,
    first: Config | None = None,
    after: float = 0.0,
) -> list[TrainResult]:
    """Train as `flags` say, and each turn changes that; or go on where that ended. In the order of the turns.

    What the first run chose for its minutes, text and machine holds for all; or what an earlier one did, `first`. What comes
    `after` all of these takes a share of the time, too. Where runs may be `replaced`, these are, too, once the first has begun.
    Raises what `train` raises.
    """
    order = sorted(turns, key=lambda turn: not (resume and has_state(turn.place)))  # what is there already holds for all
    found: dict[Path, TrainResult] = {}
    named = set(flags)
    for i, turn in enumerate(order):
        progress.note(
            f"{turn.name}, run {i + 1} of {len(turns)}: {turn.place}" if len(turns) > 1 else f"{turn.name}: {turn.place}"
        )
        later = (sum(other.share for other in order[i + 1 :]) + after) / turn.share
        others = [*map(directory_in, (other.place for other in order[1:])), *replaced] if replaced is not None and not i else []
        values = turn.values(first)  # which may find out that what is there is of no use
        begun = resume and has_state(turn.place)
        asked = as_flags(first, turn.planned - named) if first and not begun else flags
        how: dict[str, Any] = {"resume": begun, "overwrite": replaced is not None, "started": started}
        shown = OneOfSeveral(progress, later, others)
        try:
            found[turn.place] = train({**asked, **values}, out=str(turn.place), progress=shown, **how)
        except (KeyboardInterrupt, Terminated) as stop:  # before the run itself listens
            if not found and not begun:
                raise
            number = stop.signal_number if isinstance(stop, Terminated) else signal.SIGINT
            raise Interrupted(number, f"stopped before {turn.name} went on; all that was trained is saved") from stop
        started = None  # only the first run's clock began with the process
        if not first:
            state = state_in(turn.place)
            first, named = as_trained(state, found[turn.place]), named.union(state.asked)
    return [found[turn.place] for turn in turns]


def as_flags(config: Config, left: Set[str] = frozenset()) -> dict[str, Any]:
    """A configuration as if every knob of it had been asked for: nothing but what is `left` is to be chosen."""
    flags = {"preset": config.preset, "size": config.size, **knob_values(config)}
    return {name: value for name, value in flags.items() if name not in left}


def as_trained(state: TrainingState, result: TrainResult) -> Config:
    """A finished run's configuration. Where time decided how much to validate on, that is fixed: all score the same."""
    config = state.config
    if config.training.minutes and not config.training.eval_chars and state.every:
        config = config.with_values({"eval_chars": math.ceil((result.val_chars + 1) / state.every)})
    return config


def numbered(home: Path, name: str) -> dict[int, Path]:
    """The folders NAME-1, NAME-2, … in `home`, by number."""
    places = [place for place in sorted(home.glob(f"{name}-*")) if place.is_dir()]
    numbers = [place.name.removeprefix(f"{name}-") for place in places]
    return {int(n): place for n, place in zip(numbers, places, strict=True) if n.isascii() and n.isdigit() and str(int(n)) == n}


def directory_in(place: Path) -> RunDirectory:
    """The run directory at a place, its model inside."""
    return RunDirectory(place, place / "model.safetensors")


def state_in(place: Path) -> TrainingState:
    """What the run there saved last. Raises `UserError` where there is none, or a damaged one."""
    return load_state(directory_in(place).state)


def has_state(place: Path) -> bool:
    """Whether a run was begun there, and can go on."""
    return directory_in(place).has_state
