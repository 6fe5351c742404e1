"""Record: what is written down of a run between its validations: a row every so many steps.

each step's loss ──added up on its device──▶ a row, when one is due ──read from there, many at once──▶ rows

A run of steps has a row every n-th step, a run of minutes one every so many seconds: some hundred rows, however long it is.
Waiting for a GPU at each row would slow it down. So rows wait there, and are read when somebody has to have them.
"""

import math
import time
from typing import Any, NamedTuple

import torch
from torch import Tensor

from letterwise.config import TrainingConfig
from letterwise.training.metrics.rows import TRAINING, Row, of_kind

ROWS = 500  # of a run, about
READ_S = 1.0  # seconds between looks at what waits on the device
SMOOTHING = 0.1  # the share of a row in the smoothed loss
DIGITS = 6  # of a figure


class Waiting(NamedTuple):
    """A row whose loss (a sum over steps) and gradient norm are still on their device."""

    row: Row
    nats: Tensor
    steps: int
    norm: Tensor


class Record:
    """Rows of a run, in the order in which they came, and the losses since the last one."""

    def __init__(self, training: TrainingConfig, chars_per_step: int) -> None:
        self.chars_per_step = chars_per_step
        self.every = 0 if training.minutes else max(1, math.ceil(training.max_iters / ROWS))
        self.every_s = training.minutes * 60 / ROWS
        self.max_iters = training.max_iters
        self.restore([], 0.0, 0)

    def restore(self, rows: list[Row], nats: float, steps: int) -> None:
        """Go on after `rows`, from a sum of losses over some steps since."""
        self.rows, self.waiting = list(rows), list[Waiting]()
        self.nats, self.steps = torch.tensor(nats), steps
        self.row_s = max((row["seconds"] for row in of_kind(rows, TRAINING)), default=-math.inf)
        self.took_s, self.timed_steps = 0.0, 0
        self.read_at = time.monotonic()
        self.start_clock()

    def start_clock(self) -> None:
        """What was done until now is not a step's."""
        self.at = time.monotonic()

    def due(self, step: int, seconds: float) -> bool:
        """Whether the step that ends as number `step`, and began after `seconds` of the run, is to have a row."""
        if not self.every:
            due = seconds - self.row_s >= self.every_s
            self.row_s = seconds if due else self.row_s
            return due
        return step == 1 or step % self.every == 0 or step == self.max_iters

    def add(self, nats: Tensor) -> None:
        """The loss of one more step."""
        self.nats, self.steps = self.nats.to(nats.device) + nats, self.steps + 1
        self.timed_steps += 1
        now = time.monotonic()
        self.took_s, self.at = self.took_s + now - self.at, now

    def end_row(self, step: int, seconds: float, learning_rate: float, norm: Tensor) -> None:
        """A row ends with this step. Its `norm` is the length of the gradient, before it was clipped."""
        row = {
            "kind": TRAINING,
            "step": step,
            "chars": step * self.chars_per_step,
            "seconds": round(seconds, 3),
            "learning_rate": figure(learning_rate),
            "chars_per_second": round(self.timed_steps * self.chars_per_step / max(1e-9, self.took_s)),
        }
        self.waiting.append(Waiting(row, self.nats, self.steps, norm))
        self.nats, self.steps, self.took_s, self.timed_steps = torch.zeros_like(self.nats), 0, 0.0, 0

    def read(self) -> None:
        """Read the rows that wait on the device."""
        self.read_at = time.monotonic()
        if not self.waiting:
            return
        waiting, self.waiting = self.waiting, []
        found = torch.stack([torch.stack((each.nats, each.norm.to(each.nats))) for each in waiting]).tolist()
        smoothed = next((row["smoothed_loss"] for row in reversed(self.rows) if row.get("smoothed_loss") is not None), None)
        for each, (nats, norm) in zip(waiting, found, strict=True):
            loss = figure(nats / each.steps)
            if loss is not None:
                smoothed = loss if smoothed is None else figure(smoothed + SMOOTHING * (loss - smoothed))
            each.row.update(loss=loss, smoothed_loss=None if loss is None else smoothed, gradient_norm=figure(norm))
            self.rows.append(each.row)

    def read_now_and_then(self) -> bool:
        """Read what waits, if that was not done for a while; whether there are new rows."""
        if not self.waiting or time.monotonic() - self.read_at < READ_S:
            return False
        self.read()
        return True


def figure(value: float) -> Any:
    """A number in as many digits as are worth keeping; None for what is not finite."""
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
