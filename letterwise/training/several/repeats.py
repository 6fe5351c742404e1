"""Repeats: the same training with several seeds, to see how much of a figure is chance.

flags, seeds ──▶ OUT/seed-1337, OUT/seed-1338, … (a run directory each) ──▶ Repeats(mean and spread of the best validations)

They differ in their seed and in nothing else (in_turn.py).
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from letterwise.config.declaration import LARGEST_SEED
from letterwise.config.presets import resolve
from letterwise.errors import UserError
from letterwise.progress import Progress
from letterwise.training.prepare import PLACING
from letterwise.training.report.result import TrainResult
from letterwise.training.run_directory import run_directory
from letterwise.training.several.in_turn import Turn, directory_in, has_state, in_turn, numbered


@dataclass(frozen=True)
class Repeats:
    """What the runs came to, in the order of their seeds."""

    seeds: list[int]
    runs: list[TrainResult]

    @property
    def same_characters(self) -> bool:
        """Whether all best validations scored the same characters; a mean of other figures says little."""
        return len({(run.val_chars, run.val_chars_scored) for run in self.runs}) == 1

    def mean_and_std(self, figure: str) -> tuple[float | None, float | None]:
        """The mean of a figure and its sample standard deviation; None without a validation part, or for a single run."""
        values = [getattr(run, figure) for run in self.runs]
        if None in values:
            return None, None
        return mean(values), stdev(values) if len(values) > 1 else None

    def to_json(self) -> dict[str, Any]:
        """Plain containers."""
        found: dict[str, Any] = {"seeds": self.seeds, "runs": [run.to_json() for run in self.runs]}
        for unit in ("nats", "bits"):
            middle, spread = self.mean_and_std(f"best_val_{unit}_per_char")
            found |= {f"mean_val_{unit}_per_char": middle, f"std_val_{unit}_per_char": spread}
        return found | {"same_characters": self.same_characters}


def repeat(
    flags: dict[str, Any],
    *,
    seeds: int,
    out: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    started: float | None = None,
) -> Repeats:
    """Train as `flags` say with `seeds` seeds, from `rng_seed` on, or go on where that ended.

    Finished runs are only read again. `minutes` are for each run. Raises what `train` raises, and `UserError` for a text that
    cannot be read once more.
    """
    progress = progress or Progress()
    config = resolve({name: flags[name] for name in PLACING if name in flags} if resume else flags)
    directory = run_directory(config, out, None)
    directory.is_there()  # which objects to a name that is too long
    home = directory.path
    first = first_seed(flags, home if resume else None)
    places = {seed: home / f"seed-{seed}" for seed in range(first, first + seeds)}
    if first + seeds - 1 > LARGEST_SEED:
        raise UserError(f"--seeds {seeds} from rng_seed={first} goes beyond {LARGEST_SEED}: lower --rng_seed.")
    if config.data.read_once:
        raise UserError(
            "--seeds reads the text once for each run, and stdin or a pipe can be read only once: save it to a file first."
        )
    if resume and not any(map(has_state, places.values())):
        raise UserError(f"there are no runs to resume in {str(home)!r}, like seed-{first}: leave --resume out to start them.")
    if not resume and not overwrite:
        for place in places.values():  # before the first is trained for hours
            directory_in(place).refuse_if_used()
    turns = [Turn(f"seed {seed}", place, partial(with_seed, seed)) for seed, place in places.items()]
    others = [directory_in(place) for seed, place in numbered(home, "seed").items() if seed not in places]
    replaced = others if overwrite else None
    runs = in_turn(flags, turns, resume=resume, replaced=replaced, progress=progress, started=started)
    return Repeats(list(places), runs)


def with_seed(seed: int, first: object) -> dict[str, Any]:
    """What a repeat changes, whatever the first was."""
    return {"rng_seed": seed}


def first_seed(flags: dict[str, Any], resumed: Path | None) -> int:
    """`rng_seed` where it was asked for, else the lowest seed of the resumed runs, else the default."""
    there = [seed for seed, place in numbered(resumed, "seed").items() if has_state(place)] if resumed else []
    if there and "rng_seed" not in flags:
        return min(there)
    return resolve({name: flags[name] for name in ("rng_seed",) if name in flags}).training.rng_seed
