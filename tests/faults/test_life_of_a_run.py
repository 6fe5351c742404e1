"""The life of a run: whatever happens to it, in whatever order, what it comes to depends only on how far it was asked to go.

start · kill at a step · kill inside a save · damage the newest state · resume · extend        (hypothesis makes up the stories)
"""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from runs import MINUTES, SHAPE, TEXT, essence

from letterwise.atomic import file as atomic_file
from letterwise.checkpoint.training_state import load_state
from letterwise.progress import Progress
from letterwise.training.prepare import train

# A constant rate and no lookahead: a longer run then begins as a shorter one does.
FLAGS = {
    **SHAPE,
    "preset": "classic",
    "n_embd": 8,
    "schedule": "constant",
    "dropout": 0.1,
    "eval_interval": 6,
    "save_interval": "4",
}
STEPS = 12


class Killed(BaseException):
    """Nothing catches it: as near to SIGKILL as one process can come to itself. Real ones are in `test_kills.py`."""


class Killer(Progress):
    """Kills at its Nth validation."""

    def __init__(self, at_row: int) -> None:
        self.left = at_row

    def held_out(self, row: dict) -> None:
        self.left -= 1
        if not self.left:
            raise Killed


class DyingOs:
    """The `os` module, until the Nth call that changes a file."""

    def __init__(self, calls: int) -> None:
        self.left = calls

    def __getattr__(self, name: str):
        real = getattr(os, name)
        if name not in ("fsync", "replace"):
            return real

        def counted(*arguments, **options):
            self.left -= 1
            if not self.left:
                raise Killed
            return real(*arguments, **options)

        return counted


@pytest.fixture(scope="module", autouse=True)
def story(tmp_path_factory: pytest.TempPathFactory):
    """A text, and what undisturbed runs of each length come to."""
    folder = tmp_path_factory.mktemp("story")
    (folder / "text.txt").write_text(TEXT)
    Life.text = folder / "text.txt"
    for extended in range(3):
        steps = STEPS * (1 + extended)
        train({**FLAGS, "input_file": (str(Life.text),), "max_iters": steps}, out=str(folder / str(steps)))
        Life.wanted[steps] = essence(folder / str(steps))


class Life(RuleBasedStateMachine):
    """One run directory, and what happens to it."""

    text: ClassVar[Path]
    wanted: ClassVar[dict[int, dict[str, str]]] = {}

    @initialize()
    def begin(self) -> None:
        self.out = Path(tempfile.mkdtemp(prefix="life-")) / "o"
        self.goal = STEPS

    def go(self, progress: Progress | None = None) -> None:
        there = any(self.out.glob("state*.safetensors"))
        fresh = {} if there else {**FLAGS, "input_file": (str(self.text),)}
        train({**fresh, "max_iters": self.goal}, out=str(self.out), resume=there, progress=progress)

    @rule()
    def run_to_the_end(self) -> None:
        self.go()
        assert essence(self.out) == self.wanted[self.goal]

    @rule(row=st.integers(1, 3))
    def kill_at_a_validation(self, row: int) -> None:
        with contextlib.suppress(Killed):
            self.go(Killer(row))

    @rule(calls=st.integers(1, 25))
    def kill_inside_a_save(self, calls: int) -> None:
        real, atomic_file.os = atomic_file.os, DyingOs(calls)
        try:
            with contextlib.suppress(Killed):
                self.go()
        finally:
            atomic_file.os = real

    @precondition(lambda self: (self.out / "state.safetensors").exists() and (self.out / "state.previous.safetensors").exists())
    @rule(place=st.floats(0, 1), bit=st.integers(0, 7), cut=st.booleans())
    def damage_the_newest_state(self, place: float, bit: int, cut: bool) -> None:
        path = self.out / "state.safetensors"
        content = bytearray(path.read_bytes())
        if not content:  # cut to nothing before
            return
        at = min(int(place * len(content)), len(content) - 1)
        content[at] ^= 1 << bit
        path.write_bytes(content[:at] if cut else content)

    @precondition(lambda self: self.goal < 3 * STEPS)
    @rule()
    def extend(self) -> None:
        self.goal += STEPS

    @invariant()
    def what_is_kept_can_be_read(self) -> None:
        if any(self.out.glob("state*.safetensors")):
            copy = self.out.parent / "copy"
            shutil.copytree(self.out, copy)
            assert load_state(copy / "state.safetensors").step <= self.goal
            shutil.rmtree(copy)

    def teardown(self) -> None:
        if hasattr(self, "out"):
            self.go()
            assert essence(self.out) == self.wanted[self.goal]
            shutil.rmtree(self.out.parent)


TestLife = Life.TestCase
TestLife.settings = settings(
    max_examples=int(25 * MINUTES) or 8,
    stateful_step_count=8,
    deadline=None,
    phases=[Phase.generate],  # a story that goes wrong is told as it was: making it shorter would take minutes
    suppress_health_check=list(HealthCheck),
)
