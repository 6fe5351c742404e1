"""Meter: mean loss and speed since the last validation."""

import time

import torch
from torch import Tensor


class Meter:
    """Adds up the losses of steps. The sum stays on its device until it is asked for."""

    def __init__(self, chars_per_step: int) -> None:
        self.chars_per_step = chars_per_step
        self.restart()

    def restart(self, nats: float = 0.0, steps: int = 0) -> None:
        """Forget what was measured, or go on from sums that were kept. The clock starts anew."""
        self.total, self.steps = torch.tensor(nats), steps
        self.began, self.timed_steps = time.monotonic(), 0

    def add(self, nats: Tensor) -> None:
        """The loss of one more step."""
        self.total, self.steps = self.total.to(nats.device) + nats, self.steps + 1
        self.timed_steps += 1

    def mean_nats(self) -> float | None:
        """Nats per character; None before the first step."""
        return self.total.item() / self.steps if self.steps else None

    def chars_per_second(self) -> float:
        """Characters learned from, by the wall clock."""
        return self.timed_steps * self.chars_per_step / max(1e-9, time.monotonic() - self.began)
