"""Saver: what a run leaves on disk as it goes on, and what happens where the disk refuses.

Run ──▶ state (all that a restart needs) ──▶ then what follows from it: model file · metrics.jsonl · report.html

The state comes first. A run that is killed between the two puts the rest right when it resumes.
"""

import contextlib
import time
from dataclasses import replace

import numpy as np

from letterwise.checkpoint import save_model
from letterwise.checkpoint.shards import digests, new_folder, remove_unnamed
from letterwise.checkpoint.training_state import previous, save_state
from letterwise.config import TrainingConfig
from letterwise.distributed.sharded import save_shares
from letterwise.errors import UserError
from letterwise.progress import Note
from letterwise.training.metrics.rows import END
from letterwise.training.metrics.tracking import Tracking
from letterwise.training.report.result import write_page
from letterwise.training.run import Run

SECONDS = {"s": 1, "min": 60}
SAVING_SHARE = 0.01  # of a run's time, at most: where saving takes long, it is done less often than `save_interval` says


class Saver:
    """Saves a run; of several processes, the first does. `trouble` says why the last try failed; "" when all is well."""

    def __init__(self, training: TrainingConfig, note: Note, tracking: Tracking) -> None:
        self.training, self.note, self.tracking = training, note, tracking
        self.step: int | None = None  # whose state is saved
        self.took_s, self.saved_at = 0.0, time.monotonic()
        self.trouble = ""
        self.forget()

    def forget(self) -> None:
        """Nothing is known of the model, metrics and report that lie there."""
        self.shown_rows = self.shown_best = self.recorded_rows = -1

    def due(self, step: int) -> bool:
        """Whether it is time to save the run after `step` steps."""
        number, unit = self.training.save_every
        if not unit:
            return step % number == 0 and step != self.step
        return time.monotonic() - self.saved_at >= max(number * SECONDS[unit], self.took_s / SAVING_SHARE)

    def save(self, run: Run) -> None:
        """Save the run as it stands. Raises `UserError` where the system refuses.

        What takes all processes comes first: one that is refused would let the others wait.
        """
        began, state, directory = time.monotonic(), run.state(), run.directory
        best = next((i for i in reversed(range(len(run.rows))) if run.rows[i]["best"]), -1)
        if run.in_shares:
            state = replace(state, shards=save_shards(run))
        weights = run.best_whole() if run.world.told(best != self.shown_best) else {}
        if run.world.first:
            save_state(directory.state, state)
            remove_unnamed(directory.path, (directory.state, previous(directory.state)))
        self.step, self.took_s = run.step, time.monotonic() - began
        if run.world.first:
            self.show(run, best, weights)

    def try_save(self, run: Run) -> None:
        """Save the run as it stands; where that fails, a note says so, and it is tried again the next time."""
        try:
            self.save(run)
            self.trouble = ""
        except UserError as error:
            if str(error) != self.trouble:
                self.note(f"{error} The run goes on; what is saved is its state after step {self.step}.")
            self.trouble = str(error)
        self.step, self.trouble = run.world.told((self.step, self.trouble))
        self.saved_at = time.monotonic()

    def show(self, run: Run, best: int, weights: dict[str, np.ndarray]) -> None:
        """Bring model file, metrics and report up to date; the best row is number `best`, and has `weights` where it is new.

        Raises `UserError` where the system refuses.
        """
        if self.shown_rows == len(run.rows):
            return
        if weights:
            save_model(run.directory.model_path, run.model_file(weights, run.rows[: best + 1]))
        self.shown_best = best
        run.directory.write_metrics(run.metrics)
        self.tracking.send(run.metrics)
        self.recorded_rows = len(run.record.rows)
        if run.rows:
            write_page(run)
        self.shown_rows = len(run.rows)

    def show_record(self, run: Run) -> None:
        """Add new rows between validations to the metrics. Where that fails, the next validation brings all that is missing."""
        if 0 <= self.recorded_rows < len(run.record.rows) and run.world.first:
            try:
                run.directory.append_metrics(run.record.rows[self.recorded_rows :])
                self.recorded_rows = len(run.record.rows)
            except OSError:
                self.recorded_rows = -1
            self.tracking.send(run.metrics)

    def finish(self, run: Run) -> None:
        """Try once more what could not be written, then write down that the run has ended.

        Raises `UserError` when it still cannot be written, and says where the run stands.
        """
        if self.trouble:
            self.try_save(run)
        if self.trouble:
            saved = f"its state after step {self.step} is in {str(run.directory.path)!r}"
            raise UserError(f"the run came to its end, but {self.trouble} Then go on with --resume: {saved}.")
        if run.world.first:
            with contextlib.suppress(OSError):  # all else is saved; this row only tells who looks on
                run.directory.append_metrics([{"kind": END, "step": run.step}])


def save_shards(run: Run) -> dict[str, str]:
    """Each process writes its shares of the run's arrays into a new folder; gives their files' names and digests.

    Raises `UserError`, on all processes, where the system refuses one of them.
    """
    shares = {f"{part}.{name}": tensor for part, held in run.tensors().items() for name, tensor in held.items()}
    folder = run.world.told(new_folder(run.directory.path))
    own = save_shares(folder, shares, run.world)
    return {name: digest for each in run.world.listed(digests(folder, own)) for name, digest in each.items()}
