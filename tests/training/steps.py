"""Runs of a few steps, what is told of them, and when two are the same."""

import os
import signal
from pathlib import Path

import numpy as np
from tiny_run import FLAGS

from letterwise.checkpoint.training_state import load_state
from letterwise.progress import Progress

TIMED = ("seconds", "chars_per_second")


class Listener(Progress):
    """Remembers what it was told; asks the run to stop once `stop_at` steps were seen."""

    def __init__(self, stop_at: int = 0) -> None:
        self.notes: list[str] = []
        self.rows: list[dict] = []
        self.steps: list[int] = []
        self.stop_at = stop_at

    def note(self, text: str) -> None:
        self.notes.append(text)

    def step(self, step: int, done: float, nats: float, chars_per_second: float, left_s: float) -> None:
        assert 0 <= done <= 1
        assert left_s >= 0
        self.steps.append(step)
        if step == self.stop_at:
            os.kill(os.getpid(), signal.SIGINT)

    def held_out(self, row: dict) -> None:
        self.rows.append(row)


def flags(text_file: Path, **more) -> dict:
    return {**FLAGS, "input_file": (str(text_file),), "max_iters": 60, "eval_interval": 25, **more}


def without_clocks(rows: list[dict]) -> list[dict]:
    return [{key: value for key, value in row.items() if key not in TIMED} for row in rows]


def same_state(a: Path, b: Path) -> None:
    """Two runs stand at the same place, to the bit."""
    one, two = load_state(a / "state.safetensors"), load_state(b / "state.safetensors")
    assert one.step == two.step
    assert all(np.array_equal(one.weights[name], two.weights[name]) for name in one.weights)
    assert one.lookahead.keys() == two.lookahead.keys()
    assert all(np.array_equal(one.lookahead[name], two.lookahead[name]) for name in one.lookahead)
    assert one.optimizers.keys() == two.optimizers.keys()
    assert all(np.array_equal(one.optimizers[name], two.optimizers[name]) for name in one.optimizers)
