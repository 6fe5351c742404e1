"""Kills: a process that is killed with SIGKILL at random moments, and resumed each time, makes the model of one that is not."""

import random
import signal
import time
from pathlib import Path

import pytest
from clocks import Ticking
from forked import paused, pausing
from runs import MINUTES, command, essence, finished, start, text_file, under_way

from letterwise.checkpoint.training_state import load_state

KILLS = int(5 * MINUTES) or 3
LIFE_S = 0.3  # at most, from where it learns; saves come every few steps, so that many kills hit one


def killed_and_resumed(out: Path, text: Path, seed: int, **flags: object) -> int:
    """Train in `out`, killed `KILLS` times; how often it was still alive then."""
    moments, kills = random.Random(seed), 0
    for life in range(KILLS + 1):
        there = any(out.glob("state*.safetensors"))
        process = start(command(out, resume=True) if there else command(out, text=text, **flags))
        if life == KILLS:
            told = process.communicate(timeout=300)[1]
            assert process.returncode == 0, told
            break
        under_way(process)
        time.sleep(moments.uniform(0, LIFE_S))
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
    return kills


@pytest.mark.parametrize("preset", ["fast", "classic"])
def test_killed_at_random_moments_it_is_the_same_run(preset: str, tmp_path: Path) -> None:
    text = text_file(tmp_path)
    flags = dict(preset=preset, max_iters=70 * KILLS, eval_interval=50, save_interval=3, dropout=0.1)
    finished(command(tmp_path / "whole", text=text, **flags))
    kills = killed_and_resumed(tmp_path / "parts", text, seed=len(preset), **flags)
    assert kills >= KILLS / 2
    whole, parts = essence(tmp_path / "whole"), essence(tmp_path / "parts")
    print(f"{preset}: {kills} kills", parts)
    assert parts == whole


def slow_start(seconds: float) -> None:
    """A clock of the process's own: it took so long to start."""
    time.monotonic = Ticking(begun=time.monotonic() + seconds)


def test_killed_in_minutes_it_comes_to_the_same_end(tmp_path: Path) -> None:
    """The clock decides which steps are taken, so bits differ; the place on the schedule does not. Starting again is free."""
    text, out, minutes = text_file(tmp_path), tmp_path / "parts", 0.1
    flags = dict(preset="fast", minutes=minutes, save_interval=3)
    for life, step in enumerate((4, 8, 13)):
        words = command(out, resume=True) if life else command(out, text=text, **flags)
        process = start(words, before=lambda life=life, step=step: (slow_start(100 * life), pausing(step)()))
        paused(process)
        process.kill()
        process.communicate()
    finished(command(out, resume=True), before=lambda: slow_start(100))
    state = load_state(out / "state.safetensors")
    assert 60 * minutes - 1.5 < state.seconds < 60 * minutes + 0.5
    steps = [row["step"] for row in state.rows]
    assert steps == sorted(set(steps))
    assert state.rows[-1]["step"] == state.step > 13
    assert state.rows[-1]["learning_rate"] < 1e-3  # of 1e-2: it has landed
