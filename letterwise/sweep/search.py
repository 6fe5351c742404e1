"""Search: the trials of a sweep, made one after another, until there are enough.

sweep.toml ──▶ Study ──next──▶ a run, given up where its validations are worse than others' ──tell──▶ best.toml · report.html
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from letterwise.atomic import write_bytes
from letterwise.config.presets import resolve
from letterwise.errors import UserError, clause, sentence
from letterwise.progress import Progress
from letterwise.sweep.page import page
from letterwise.sweep.space import as_toml, read_space, words
from letterwise.sweep.study import REASON, Claim, Study
from letterwise.training.prepare import train
from letterwise.training.run import TrainingDiverged
from letterwise.training.run_directory import RunDirectory
from letterwise.units import bits

STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}
OWN_FAULTS = (TrainingDiverged, MemoryError, RuntimeError)  # of a trial's values; all else would be the same for the next one


class Pruned(Exception):
    """A trial is worse than most others were by then."""


@dataclass(frozen=True)
class SweepResult:
    """What a sweep has come to: the best trial's number, values and figure; how many trials there are, by how they ended."""

    folder: str
    best_config: str
    report: str
    objective: str
    best_trial: int
    best_values: dict[str, Any]
    best_nats_per_char: float
    best_bits_per_char: float
    trials: dict[str, int]


class TrialProgress(Progress):
    """Shows a trial as any run is shown, and gives it up where `Study.report` says so."""

    def __init__(self, shown: Progress, study: Study, claim: Claim, *, timed: bool) -> None:
        self.shown, self.study, self.claim, self.timed = shown, study, claim, timed
        self.note, self.start, self.step, self.stop = shown.note, shown.start, shown.step, shown.stop

    def held_out(self, row: dict[str, Any]) -> None:
        """A validation was made. Raises `Pruned`."""
        self.shown.held_out(row)
        nats, steps = row["val_nats_per_char"], row["step"]
        if nats is None or not steps:
            return
        at = len(self.study.trials[self.claim.trial.number].intermediate_values) if self.timed else steps
        if self.study.report(self.claim, at, nats):
            raise Pruned


def sweep(space_file: str, out: str | None = None, *, progress: Progress | None = None) -> SweepResult:
    """Make the trials that a space file asks for, in `out`, or take part in making them.

    Raises `UserError` where the space cannot be tried or no trial came to an end, `Interrupted` as `train` does.
    """
    progress, space = progress or Progress(), read_space(space_file)
    study = Study(Path(out) if out else Path("out") / f"sweep-{Path(space_file).stem}", space)
    told: list[list[int]] = []

    def waiting(numbers: list[int]) -> None:
        if told[-1:] != [numbers]:
            told.append(numbers)
            progress.note(f"waiting for trial {', '.join(map(str, numbers))}, which other processes make …")

    while claim := study.next(waiting):
        try:
            make(study, claim, progress)
        finally:
            claim.lock.release()
        show(study)
    show(study)  # who made the last one may have been killed before it did
    return result(study)


def make(study: Study, claim: Claim, progress: Progress) -> None:
    """Train a trial, or go on where it stands, and write down what came of it."""
    best = study.best
    so_far = f" · best so far {best.value:.4f} nats (trial {best.number + 1})" if best else ""
    progress.note(f"trial {claim.number} of {study.space.trials}: {words(claim.values)}{so_far}")
    asked = {**study.space.fixed, **claim.values}
    try:
        timed = bool(resolve(asked).training.minutes)
    except UserError as error:  # values that do not go together
        return failed(study, claim, error, progress)
    resumed = RunDirectory(claim.place, claim.place / "model.safetensors").has_state
    shown = TrialProgress(progress, study, claim, timed=timed)
    how: dict[str, Any] = {"resume": True} if resumed else {"overwrite": True}
    try:
        run = train({} if resumed else asked, out=str(claim.place), progress=shown, **how)
    except Pruned:
        progress.note(f"trial {claim.number} is given up: it is worse than most were by then.")
        return study.tell(claim)
    except UserError as error:
        if not isinstance(error.__context__, OWN_FAULTS):
            raise
        return failed(study, claim, error, progress)
    nats = getattr(run, study.space.objective)
    if nats is None:
        raise UserError("a sweep compares validations, and this text has no validation part: raise val_fraction.")
    return study.tell(claim, nats)


def failed(study: Study, claim: Claim, error: UserError, progress: Progress) -> None:
    """A trial came to nothing."""
    progress.note(f"trial {claim.number} fails: {error}")
    study.tell(claim, reason=clause(str(error)))


def show(study: Study) -> None:
    """Bring best.toml and report.html up to date."""
    with study.choosing:
        if best := study.best:
            values = {**study.space.fixed, **best.params}
            write_bytes(study.folder / "best.toml", as_toml(values, comment(study, best)).encode())
        write_bytes(study.folder / "report.html", page(study).encode())


def comment(study: Study, best: FrozenTrial) -> str:
    """What a best.toml says of itself."""
    assert best.value is not None
    return (
        f"Trial {best.number + 1}, the best of {len(study.trials)}: {study.space.objective} {best.value!r} "
        f"= {bits(best.value):.4f} bits.\n\n  letterwise train --config best.toml\n"
    )


def result(study: Study) -> SweepResult:
    """Of all trials. Raises `UserError` where none came to its end."""
    best, trials = study.best, study.trials
    if not best or best.value is None:
        why = next((f": {trial.user_attrs[REASON]}" for trial in reversed(trials) if REASON in trial.user_attrs), "")
        raise UserError(sentence(f"none of {len(trials)} trials came to its end{why}"))
    return SweepResult(
        folder=str(study.folder),
        best_config=str(study.folder / "best.toml"),
        report=str(study.folder / "report.html"),
        objective=study.space.objective,
        best_trial=best.number + 1,
        best_values=best.params,
        best_nats_per_char=best.value,
        best_bits_per_char=bits(best.value),
        trials=dict(Counter(STATES[trial.state] for trial in trials)),
    )
