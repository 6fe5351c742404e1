"""Distributed: several processes against one: how fast, how near, and what is left of a run that is killed again and again.

    python -m benchmarks.distributed [--rounds 3] [--text FILE] [--only speed|curves|resumed|kills]

speed:   the same steps by one process with two threads and by two with one each, by turns: characters per second, and the share
         of the one process's speed (efficiency); preset fast, size nano
curves:  how far losses, validations and final weights are from one process's after 200 steps; gpt2's recipe and fast's, a small
         model, 2 and 4 processes, ddp and fsdp
resumed: the same of a run by 2 processes, then 1, then 4, from step 60 and 120 on, with a constant rate
kills:   a process is killed with SIGKILL ten times in a run of 400 steps: is the end that of a run that nobody disturbed?
"""

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.record import ROOT, flags, record
from letterwise.checkpoint.training_state import load_state, read_state
from letterwise.errors import UserError

WARM = 20  # steps before those that count
SAME = {"eval_chars": 20_000, "dropout": 0.0, "device": "cpu", "dtype": "float32"}
LONG, SHORT = {"max_iters": 200, "eval_interval": 100}, {"max_iters": 100, "eval_interval": 100}
SMALL = {"n_layer": 2, "n_head": 2, "n_embd": 64, "block_size": 64, "batch_size": 8, "threads": 1}
SPEED: dict[str, dict[str, Any]] = {
    "1 process x 2 threads": {"threads": 2},
    "2 processes x 1 thread": {"threads": 1, "processes": 2},
    "2 processes x 1 thread, fsdp": {"threads": 1, "processes": 2, "parallel": "fsdp"},
}
CURVES: dict[str, dict[str, Any]] = {
    "1 process": {},
    "2 processes": {"processes": 2},
    "4 processes": {"processes": 4},
    "2 processes, fsdp": {"processes": 2, "parallel": "fsdp"},
    "4 processes, fsdp": {"processes": 4, "parallel": "fsdp"},
}
STAGES = ((60, 2), (120, 1), (200, 4))  # steps, processes
KILLS, KILLED_STEPS, BETWEEN = 10, 400, 20  # steps that a run takes at least before it is killed again


class Outcome(NamedTuple):
    """Of one run: the rows of steps and of validations, and what its state holds by name."""

    steps: list[dict[str, Any]]
    validations: list[dict[str, Any]]
    arrays: dict[str, np.ndarray]

    def apart(self, other: "Outcome") -> dict[str, float]:
        """How far it is from another."""
        losses = [{row["step"]: row["loss"] for row in run.steps} for run in (self, other)]
        values = [{row["step"]: row["val_nats_per_char"] for row in run.validations} for run in (self, other)]
        weights = [run.arrays[name] for name in self.arrays if name.startswith("weights.") for run in (self, other)]
        return {
            "max_loss_difference": max(abs(losses[0][step] - losses[1][step]) for step in losses[1]),
            "max_val_difference": max(abs(values[0][step] - values[1][step]) for step in values[1] if step in values[0]),
            "max_weight_difference": max(float(abs(a - b).max()) for a, b in zip(weights[::2], weights[1::2], strict=True)),
        }


def words(wanted: dict[str, Any]) -> list[str]:
    """The command line of `letterwise train` with these flags."""
    spelled = [word for name, value in wanted.items() for word in (f"--{name}", *([] if value is True else [str(value)]))]
    return [sys.executable, "-m", "letterwise", "train", *spelled]


def environment() -> dict[str, str]:
    """Of a run, which sees to its threads."""
    return {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}


@contextmanager
def run_directory(text: Path | None) -> Generator[dict[str, Any]]:
    """Flags that name the text, and a new run directory, which is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        yield {**SAME, "out": Path(folder) / "run", **({"input_file": text} if text else {})}


def outcome(out: Path) -> Outcome:
    """What lies in a run directory."""
    state = load_state(out / "state.safetensors")
    steps = [row for row in state.record if row.get("kind") == "training"]
    arrays = {f"{part}.{name}": array for part in ("weights", "optimizers") for name, array in getattr(state, part).items()}
    return Outcome(steps, state.rows, arrays)


def run_of(wanted: dict[str, Any], text: Path | None) -> Outcome:
    """One run."""
    with run_directory(text) as where:
        subprocess.run(words({**where, **wanted}), cwd=ROOT, env=environment(), check=True)
        return outcome(where["out"])


def speed(text: Path | None, rounds: int, append: Path | None) -> None:
    """Take turns."""
    speeds: dict[str, list[float]] = {name: [] for name in SPEED}
    for _ in range(rounds):
        for name, contender in SPEED.items():
            steps = run_of({**SHORT, **contender}, text).steps
            speeds[name].append(statistics.median(row["chars_per_second"] for row in steps[WARM:]))
    for name, own in speeds.items():
        ratios = [here / there for here, there in zip(own, next(iter(speeds.values())), strict=True)]
        figures = {"chars_per_second": round(statistics.median(own)), "efficiency": round(statistics.median(ratios), 3)}
        record(append, benchmark="distributed", contender=name, rounds=rounds, **figures)


def curves(text: Path | None, append: Path | None) -> None:
    """One run each."""
    for preset in ("gpt2", "fast"):
        runs: list[Outcome] = []
        for name, contender in CURVES.items():
            runs.append(run_of({"preset": preset, **LONG, **SMALL, **contender}, text))
            figures = {"steps": len(runs[-1].steps), "val_nats": runs[-1].validations[-1]["val_nats_per_char"]}
            contender = f"{preset}, {name}"
            record(append, benchmark="distributed curves", contender=contender, **figures, **runs[-1].apart(runs[0]))


def resumed(text: Path | None, append: Path | None) -> None:
    """A run that goes on with other numbers of processes, against one that does not."""
    for preset in ("gpt2", "fast"):
        wanted = {"preset": preset, **LONG, **SMALL, "schedule": "constant", "lookahead": 0.0, "warmup_iters": 20}
        alone = run_of(wanted, text)
        for parallel in ("ddp", "fsdp"):
            with run_directory(text) as where:
                for stage, (steps, processes) in enumerate(STAGES):
                    own = {"out": where["out"], "resume": True} if stage else {**where, **wanted, "parallel": parallel}
                    own |= {"max_iters": steps} | ({"processes": processes} if processes > 1 else {})
                    subprocess.run(words(own), cwd=ROOT, env=environment(), check=True)
                figures = outcome(where["out"]).apart(alone)
            record(append, benchmark="distributed resumed", contender=f"{preset}, {parallel}, 2 to 1 to 4 processes", **figures)


def kills(text: Path | None, append: Path | None) -> None:
    """A run of two processes that is killed ten times, against one that is not: the same bits?"""
    for parallel in ("ddp", "fsdp"):
        wanted = {"preset": "fast", **SMALL, "processes": 2, "parallel": parallel, "save_interval": 1}
        wanted |= {"max_iters": KILLED_STEPS, "eval_interval": KILLED_STEPS // 4}
        with run_directory(text) as where:
            began = time.monotonic()
            killed_at = disturbed({**where, **wanted})
            seconds, run = time.monotonic() - began, outcome(where["out"])
        calm = run_of(wanted, text)
        same = sum(np.array_equal(array, calm.arrays[name]) for name, array in run.arrays.items())
        figures = {"arrays": len(calm.arrays), "equal_arrays": same, **run.apart(calm)}
        name = f"fast, 2 processes, {parallel}"
        record(append, benchmark="distributed kills", contender=name, killed_at=killed_at, seconds=round(seconds), **figures)


def disturbed(wanted: dict[str, Any]) -> list[int]:
    """Run to the end, and kill one process or the other ten times on the way; gives the steps that were saved by then."""
    with subprocess.Popen(words(wanted), cwd=ROOT, env=environment()) as process:
        killed_at: list[int] = []
        for i in range(KILLS):
            aim = max([BETWEEN, *(step + BETWEEN for step in killed_at)])
            while (step := saved(wanted["out"])) < aim and process.poll() is None:
                time.sleep(0.05)
            workers = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
            os.kill(workers[i % len(workers)], signal.SIGKILL)
            killed_at.append(step)
        if process.wait():
            raise SystemExit(f"the run ended with {process.returncode}")
    return killed_at


def saved(out: Path) -> int:
    """After how many steps a run was saved."""
    with suppress(UserError, OSError):
        return read_state(out / "state.safetensors").step
    return -1


def main() -> None:
    """What was asked for."""
    parser = flags(__doc__ or "")
    parser.add_argument("--only", choices=("speed", "curves", "resumed", "kills"))
    asked = parser.parse_args()
    if asked.only in (None, "speed"):
        speed(asked.text, asked.rounds, asked.append)
    for name, measure in (("curves", curves), ("resumed", resumed), ("kills", kills)):
        if asked.only in (None, name):
            measure(asked.text, asked.append)


if __name__ == "__main__":
    main()
