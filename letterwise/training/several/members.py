"""Members: an ensemble, from what was asked for to one file.

flags ──▶ OUT/member-1, OUT/member-2, … (a run directory each) ──pool──▶ the ensemble's file
                                                                         or with --distill the teacher of OUT/student: its file

What the members are is said in planning/recipe.py. Who is stopped goes on with --resume: what is finished is only read again.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from letterwise.checkpoint import load_model, save_model
from letterwise.config import Config
from letterwise.config.declaration import LARGEST_SEED
from letterwise.config.presets import resolve
from letterwise.distributed.environment import started_by_torchrun
from letterwise.errors import UserError
from letterwise.progress import Progress
from letterwise.training.interruption import Interrupted, Interruption
from letterwise.training.planning import recipe
from letterwise.training.planning.settings import with_members
from letterwise.training.prepare import PLACING
from letterwise.training.run_directory import RunDirectory, run_directory
from letterwise.training.several.in_turn import Turn, as_trained, directory_in, has_state, in_turn, numbered, state_in
from letterwise.training.several.page import write_page
from letterwise.training.several.pool import pooled
from letterwise.training.several.result import EnsembleResult, ensemble_result


@dataclass(frozen=True)
class Home:
    """Where an ensemble's runs and files are."""

    directory: RunDirectory

    def member(self, number: int) -> Path:
        """A member's run directory; they are counted from 1."""
        return self.directory.path / f"member-{number}"

    @property
    def student(self) -> Path:
        """The run directory of the model that learns what the ensemble predicts."""
        return self.directory.path / "student"

    @property
    def teacher(self) -> Path:
        """The ensemble's file where its student has the usual place."""
        return self.directory.path / "ensemble.safetensors"

    def places(self, config: Config) -> list[Path]:
        """All run directories."""
        members = [self.member(number) for number in range(1, config.training.members + 1)]
        return [*members, self.student] if config.training.distill else members

    def ensemble(self, config: Config) -> Path:
        """The ensemble's file."""
        return self.teacher if config.training.distill else self.directory.model_path

    def refuse_if_used(self, config: Config) -> None:
        """Raises `UserError` where an earlier run's files are."""
        for directory in (self.directory, *map(directory_in, self.places(config))):
            directory.refuse_if_used()
        RunDirectory(self.directory.path, self.teacher).refuse_if_used()

    def replaced(self, config: Config) -> list[RunDirectory]:
        """What an earlier run may have left beside the directories of this one's members."""
        others = set(numbered(self.directory.path, "member").values()) - set(self.places(config)) | {self.student}
        directories = [directory_in(place) for place in sorted(others)]
        return [*directories, RunDirectory(self.directory.path, self.teacher), self.directory]


def is_ensemble(flags: dict[str, Any], out: str | None = None, model_path: str | None = None, *, resume: bool = False) -> bool:
    """Whether what was asked for is an ensemble, or to go on with one."""
    if not resume or flags.get("members"):
        return bool(flags.get("members"))
    home = home_of(flags, out, model_path, resume=True)
    return has_state(home.member(1)) and not home.directory.has_state


def completed(flags: dict[str, Any], progress: Progress | None = None) -> dict[str, Any]:
    """What was asked of a new run, and `members` where an ensemble is worth its minutes. Raises what `train` raises."""
    if started_by_torchrun() and not flags.get("distill"):
        return flags
    return with_members(flags, progress or Progress())


def home_of(flags: dict[str, Any], out: str | None, model_path: str | None, *, resume: bool) -> Home:
    """Where its files are. Raises `UserError` for a place that cannot be one."""
    placing = {name: flags[name] for name in PLACING if name in flags} if resume else flags
    directory = run_directory(resolve(placing), out, model_path)
    directory.is_there()  # which objects to a name that is too long
    return Home(directory)


class Begun(Progress):
    """Shows what `shown` does. Once a run has begun, the `directory` says where the ensemble's model file is to be."""

    def __init__(self, shown: Progress, directory: RunDirectory) -> None:
        self.shown, self.directory = shown, directory
        self.note, self.step, self.held_out, self.stop = shown.note, shown.step, shown.held_out, shown.stop

    def start(self, max_iters: int | None) -> None:
        """Training begins: what was asked for is possible."""
        self.directory.make()
        self.directory.note_model()
        self.shown.start(max_iters)


def train_members(
    flags: dict[str, Any],
    *,
    out: str | None = None,
    model_path: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    started: float | None = None,
) -> EnsembleResult:
    """Train an ensemble of `members`, and its student with `distill`, as `flags` say, or go on with the one in `out`.

    `minutes` are for all of it. Raises what `train` raises, and `UserError` where what was asked contradicts an ensemble.
    """
    progress, home = progress or Progress(), home_of(flags, out, model_path, resume=resume)
    if started_by_torchrun():
        raise UserError("--members trains one model after another, each in a single process: start it without torchrun.")
    if resume and not has_state(home.member(1)):
        raise UserError(f"there is no ensemble to resume in {str(home.directory.path)!r}: leave --resume out to start one.")
    if resume and not model_path:
        home = Home(home.directory.with_noted_model())
    config = state_in(home.member(1)).config if resume else resolve(flags)
    recipe.agree({} if resume else flags, config)
    if not resume and not overwrite:
        home.refuse_if_used(config)
    if config.training.distill and home.directory.model_path.resolve() == home.teacher.resolve():
        raise UserError(f"{str(home.teacher)!r} is the ensemble's own file beside its student: choose another --model_path.")
    total = flags.get("minutes") or (recipe.total_minutes(config) if resume else config.training.minutes)
    progress.note(recipe.overview(config, total))
    how: dict[str, Any] = {"resume": resume, "progress": Begun(progress, home.directory) if model_path else progress}
    minutes_asked = "minutes" in flags or not resume
    turns = [member(number, home, config, total, minutes_asked) for number in range(1, config.training.members + 1)]
    after = recipe.student(config).share if config.training.distill else 0.0
    replaced = home.replaced(config) if overwrite else None
    runs = in_turn(flags, turns, started=started, after=after, replaced=replaced, **how)
    first = as_trained(state_in(home.member(1)), runs[0])
    try:
        with Interruption(progress.note) as interruption:
            pool = pooled(home.ensemble(first), runs, first.runtime, progress.note, interruption.check)
    except Interrupted as interrupted:
        raise Interrupted(interrupted.signal_number, "stopped; all members are finished and saved") from interrupted
    learned = None
    if first.training.distill:
        speed = runs[0].chars_seen / max(runs[0].train_seconds, 1e-9)
        (learned,) = in_turn(flags, [student(home, first, total, minutes_asked, speed)], first=first, **how)
        save_model(home.directory.model_path, load_model(learned.model_path))
    found = ensemble_result(home.directory, home.ensemble(first), runs, pool, learned)
    write_page(home.directory.report, found)
    return found


def member(number: int, home: Home, config: Config, total: float, minutes_asked: bool) -> Turn:
    """A member's run. Of `total` minutes it has its share; a run that goes on has its own, unless minutes are asked for."""
    place = home.member(number)

    def values(first: Config | None) -> dict[str, Any]:
        base = first or config
        role = recipe.role(number, base)
        found = {**role.values, "rng_seed": (base.training.rng_seed + number - 1) % (LARGEST_SEED + 1)}
        if total and (minutes_asked or not has_state(place)):
            found["minutes"] = recipe.minutes(base, total)[number - 1]
        return found

    role = recipe.role(number, config)
    return Turn(f"member {number}, {role.what}", place, values, role.share, role.planned)


def student(home: Home, config: Config, total: float, minutes_asked: bool, speed: float) -> Turn:
    """The run of a model that learns what the ensemble predicts of what it writes. Its counts are of all text, as it needs no
    weights. `speed` is the first member's, in characters a second.
    """
    role = recipe.student(config)

    def values(first: Config | None) -> dict[str, Any]:
        found: dict[str, Any] = {"members": 0, "distill": False, "tuning_fraction": None, **role.values}
        found["rng_seed"] = (config.training.rng_seed + config.training.members) % (LARGEST_SEED + 1)
        found["teacher"] = taught_by(home.teacher, home.student)
        if not has_state(home.student):
            found["written_chars"] = recipe.written_chars(config, speed)
        if total and (minutes_asked or not has_state(home.student)):
            found["minutes"] = recipe.minutes(config, total)[-1]
        return found

    return Turn(role.what, home.student, values, role.share, role.planned - set(state_in(home.member(1)).asked))


def taught_by(teacher: Path, place: Path) -> str:
    """The model that the run at a place learns from. What was begun there with what it was before begins anew."""
    with teacher.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    if has_state(place) and state_in(place).teacher != digest:
        directory_in(place).clear()
    return str(teacher)
