"""Study: the trials of a sweep, on disk, for any number of processes.

Space, folder ──▶ Optuna's journal ──next──▶ Claim(number, values, its run directory) ──tell──▶ the journal

A trial is a run directory, and the process that trains there holds a lock beside it. A trial without a figure and without a
lock was left by a process that was killed: whoever looks next goes on with it, from what it had saved. So each counts once.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from letterwise.errors import UserError
from letterwise.sweep.space import Choice, Range, Space

NAME, IDENTITY, REASON = "letterwise sweep", "space", "reason"
WAIT_S = 1.0  # between looks at trials that others have


@dataclass
class Claim:
    """A trial that this process has, until it is told or let go of."""

    trial: optuna.Trial
    place: Path
    lock: FileLock

    @property
    def number(self) -> int:
        """Its number, for a person: from 1."""
        return self.trial.number + 1

    @property
    def values(self) -> dict[str, Any]:
        """What it tries."""
        return self.trial.params


class Study:
    """A sweep's trials. Raises `UserError` where the folder holds something else, or another sweep."""

    def __init__(self, folder: Path, space: Space) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.folder, self.space = folder, space
        journal = folder / "journal.log"
        if folder.exists() and not journal.exists() and any(path.name != ".lock" for path in folder.iterdir()):
            raise UserError(f"{str(folder)!r} holds something else than a sweep: choose another --out.")
        (folder / "trials").mkdir(parents=True, exist_ok=True)
        self.choosing = FileLock(folder / ".lock")
        self.distributions = {name: distribution(varied) for name, varied in space.vary.items()}
        with self.choosing:
            storage = JournalStorage(JournalFileBackend(str(journal)))
            pruner = optuna.pruners.MedianPruner()
            self.study = optuna.create_study(storage=storage, pruner=pruner, study_name=NAME, load_if_exists=True)
            if self.study.user_attrs.setdefault(IDENTITY, space.identity) != space.identity:
                raise UserError(
                    f"the sweep in {str(folder)!r} tries something else than this file: only `trials` may change; "
                    "choose another --out."
                )
            self.study.set_user_attr(IDENTITY, space.identity)

    @property
    def trials(self) -> list[FrozenTrial]:
        """All of them so far, in order."""
        return self.study.get_trials(deepcopy=False)

    @property
    def best(self) -> FrozenTrial | None:
        """The one that came to the lowest figure."""
        done = [trial for trial in self.trials if trial.state == TrialState.COMPLETE]
        return min(done, key=lambda trial: (trial.value, trial.number), default=None)

    def next(self, waiting: Callable[[list[int]], None]) -> Claim | None:
        """A trial to make: one that a killed process has left, or a new one; None when all are made.

        While others have the last ones, it waits for them, as one of those may be killed, too; `waiting` is called with their
        numbers.
        """
        while True:
            with self.choosing:
                trials = self.trials
                running = [trial for trial in trials if trial.state == TrialState.RUNNING]
                for trial in running:
                    if claim := self._claim(optuna.Trial(self.study, trial._trial_id)):
                        return claim
                if len(trials) < self.space.trials:
                    seed = (self.space.seed + len(trials)) % 2**32  # so that no two processes draw the same
                    self.study.sampler = optuna.samplers.TPESampler(seed=seed)
                    return self._claim(self.study.ask(self.distributions))
            if not running:
                return None
            waiting([trial.number + 1 for trial in running])
            time.sleep(WAIT_S)

    def place(self, number: int) -> Path:
        """The run directory of a trial; Optuna numbers them from 0."""
        return self.folder / "trials" / f"{number + 1:03}"

    def _claim(self, trial: optuna.Trial) -> Claim | None:
        place = self.place(trial.number)
        lock = FileLock(f"{place}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return None
        return Claim(trial, place, lock)

    def report(self, claim: Claim, at: int, nats: float) -> bool:
        """Write down a validation; whether the trial is to be given up, because it is worse than most were by then."""
        if at not in self.trials[claim.trial.number].intermediate_values:  # else it is taken again
            claim.trial.report(nats, at)
        return claim.trial.should_prune()

    def tell(self, claim: Claim, nats: float | None = None, *, reason: str = "") -> None:
        """What a trial came to: a figure; or it was given up, or for that `reason` came to nothing."""
        if reason:
            claim.trial.set_user_attr(REASON, reason)
        state = TrialState.COMPLETE if nats is not None else TrialState.FAIL if reason else TrialState.PRUNED
        self.study.tell(claim.trial, nats, state)


def distribution(varied: Range | Choice) -> BaseDistribution:
    """As Optuna draws from it."""
    if isinstance(varied, Choice):
        return CategoricalDistribution(varied.values)
    if isinstance(varied.low, float):
        return FloatDistribution(varied.low, varied.high, log=varied.log, step=varied.step)
    return IntDistribution(varied.low, int(varied.high), log=varied.log, step=int(varied.step or 1))
