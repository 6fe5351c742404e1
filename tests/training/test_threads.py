"""Threads: fewer while other programs use the processors, all again when they are gone. By a clock of the test's own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from letterwise.runtime.waiting import share_processors
from letterwise.training.planning.threads import REST_S, ThreadChoice

ROOT = Path(__file__).parents[2]


class Machine:
    """A step takes, by threads: alone a share of a second; where others are, longer, as threads wait for each other."""

    def __init__(self, threads: int) -> None:
        self.threads, self.notes, self.others = threads, [], False
        self.choice = ThreadChoice(threads, self.notes.append, self.apply)

    def apply(self, threads: int) -> None:
        self.threads = threads

    def run(self, seconds: float) -> float:
        """The share of the steps that the best number of threads would have taken in that time."""
        steps, left = 0.0, seconds
        while left > 0:
            step_s = self.step_s(self.threads)
            self.choice.took(step_s)
            steps, left = steps + 1, left - step_s
        return steps * min(self.step_s(n) for n in (1, 2, 4, 8)) / seconds

    def step_s(self, threads: int) -> float:
        busy = max(0, threads - 2) if self.choice.max_threads > 2 else threads - 1  # threads whose processor somebody else has
        return 0.08 / min(threads, self.choice.max_threads) * (1 + 6 * busy if self.others else 1)


def test_alone_nearly_all_steps_are_taken_with_all_threads() -> None:
    machine = Machine(2)
    assert machine.run(180) > 0.99
    assert machine.threads == 2
    assert machine.notes == []


def test_beside_others_one_thread_goes_on_and_both_when_they_are_gone() -> None:
    machine = Machine(2)
    machine.run(20)
    machine.others = True
    assert machine.run(180) > 0.75  # of what one thread takes
    (note,) = machine.notes
    assert note.startswith("other programs use the processors: a step takes 0.08 s with 1 of 2 threads, and 0.28 s with all")
    machine.others = False
    machine.run(70)
    assert machine.run(100) > 0.99
    assert machine.threads == 2
    assert len(machine.notes) == 1


def test_others_that_were_there_from_the_start_are_seen() -> None:
    machine = Machine(2)
    machine.others = True
    machine.run(2 * REST_S)
    assert machine.threads == 1
    assert machine.run(100) > 0.9


def test_of_many_threads_only_as_many_rest_as_is_worth_it() -> None:
    machine = Machine(8)
    machine.others = True
    machine.run(100)
    assert machine.threads == 2
    machine.others = False
    machine.run(400)
    assert machine.threads == 8


def test_behind_the_run_all_threads_are_there_again() -> None:
    machine = Machine(2)
    machine.others = True
    machine.run(60)
    machine.choice.stop()
    assert machine.threads == 2


def test_a_lone_thread_changes_nothing() -> None:
    machine = Machine(1)
    machine.apply = lambda threads: pytest.fail("there is nothing to choose")
    machine.run(100)
    assert machine.threads == 1


@pytest.mark.parametrize(
    ("own", "spins"),
    [({}, "20000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, None), ({"KMP_BLOCKTIME": "9"}, "20000")],
)
def test_threads_sleep_unless_the_user_said_otherwise(monkeypatch: pytest.MonkeyPatch, own: dict, spins: str | None) -> None:
    monkeypatch.delitem(sys.modules, "torch")
    environment = dict(own)
    share_processors(environment)
    assert environment.get("GOMP_SPINCOUNT") == spins
    assert own.items() <= environment.items()
    before = dict(environment)
    share_processors(environment)
    assert environment == before


def test_where_torch_is_loaded_nothing_changes() -> None:
    environment: dict[str, str] = {}
    share_processors(environment)
    assert environment == {}


def test_a_quota_lowers_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr("letterwise.runtime.waiting.processors", lambda: 2)
    monkeypatch.setattr("letterwise.runtime.waiting.allowed", lambda: 16)
    environment: dict[str, str] = {}
    share_processors(environment)
    assert environment["OMP_NUM_THREADS"] == "2"


def test_importing_changes_nothing_and_the_first_model_does() -> None:
    script = """
import os, letterwise
assert "GOMP_SPINCOUNT" not in os.environ
letterwise.load("tests/golden/format3-model.safetensors", device="cpu")
assert os.environ["GOMP_SPINCOUNT"] == "20000"
"""
    environment = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
