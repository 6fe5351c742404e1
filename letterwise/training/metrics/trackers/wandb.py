"""Weights & Biases: files in the run directory, for `wandb sync`; with WANDB_MODE=online, sent as the run goes on."""

import os

import wandb

from letterwise.training.metrics import tracking
from letterwise.training.metrics.rows import Row


class Tracker(tracking.Tracker):
    """A history over `step`, samples in it as texts."""

    def __init__(self, run: tracking.TrackedRun) -> None:
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "letterwise"),
            name=run.name,
            id=run.run_id,
            resume="allow",
            reinit="create_new",
            config=run.config,
            dir=run.directory,
            mode=None if "WANDB_MODE" in os.environ else "offline",
            settings=wandb.Settings(silent=True, console="off", disable_git=True, disable_code=True),
        )
        self.run.define_metric("*", step_metric="step")

    def write(self, rows: list[Row]) -> None:
        for row in rows:
            sample = tracking.sample_of(row)
            self.run.log({"step": row["step"], **tracking.figures(row), **({"sample": sample} if sample else {})})

    def close(self, *, finished: bool) -> None:
        self.run.finish(exit_code=0 if finished else 1)
