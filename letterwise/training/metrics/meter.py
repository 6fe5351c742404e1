"""Meter: mean loss and speed since the last validation, and what a step takes."""

import time
from collections import deque

import torch
from torch import Tensor

RECENT = 100  # steps: the mean of their times is expected of the next ones


class Meter:
    """Adds up the losses of steps. The sum stays on its device until it is asked for."""

    def __init__(self, chars_per_step: int) -> None:
        self.chars_per_step = chars_per_step
        self.took_s: deque[float] = deque(maxlen=RECENT)  # of each step, without the very first, which also prepares much
        self.first = True
        self.restart()

    def restart(self, nats: float = 0.0, steps: int = 0) -> None:
        """Forget what was measured, or go on from sums that were kept. The clock starts anew."""
        self.total, self.steps = torch.tensor(nats), steps
        self.began = self.last = time.monotonic()
        self.timed_steps = 0

    def add(self, nats: Tensor) -> None:
        """The loss of one more step."""
        self.total, self.steps = self.total.to(nats.device) + nats, self.steps + 1
        self.timed_steps += 1
        now = time.monotonic()
        if not self.first:
            self.took_s.append(now - self.last)
        self.first, self.last = False, now

    def skip(self, seconds: float) -> None:
        """The last `seconds` went into something else than steps."""
        self.began, self.last = self.began + seconds, self.last + seconds

    def mean_nats(self) -> float | None:
        """Nats per character; None before the first step."""
        return self.total.item() / self.steps if self.steps else None

    def chars_per_second(self) -> float:
        """Characters learned from, by the wall clock."""
        return self.timed_steps * self.chars_per_step / max(1e-9, time.monotonic() - self.began)

    def step_s(self) -> float:
        """Seconds that one step takes, by the last ones, validations and start-up left out; 0 before two were taken."""
        return sum(self.took_s) / len(self.took_s) if self.took_s else 0.0
