"""Distributed: the same steps by one process with two threads, and by two processes with one each, by turns; and their curves.

    python -m benchmarks.distributed [--rounds 3] [--text FILE] [--only speed|curves]

speed:  characters per second, and the share of the one process's speed (efficiency); preset fast, size nano
curves: how far losses and validation are from one process's after 200 steps; gpt2's recipe, a small model, 1, 2 and 4 processes
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.record import ROOT, flags, record

WARM = 20  # steps before those that count
SAME = {"eval_chars": 20_000, "dropout": 0.0, "device": "cpu", "dtype": "float32"}
LONG, SHORT = {"max_iters": 200, "eval_interval": 100}, {"max_iters": 100, "eval_interval": 100}
SMALL = {"preset": "gpt2", "n_layer": 2, "n_head": 2, "n_embd": 64, "block_size": 64, "batch_size": 8, "threads": 1}
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
}


def rows_of(wanted: dict[str, Any], text: Path | None) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Of one run, a row for each step and one for each validation."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        wanted = {**SAME, **wanted, "out": out, **({"input_file": text} if text else {})}
        words = [word for name, value in wanted.items() for word in (f"--{name}", str(value))]
        environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        subprocess.run([sys.executable, "-m", "letterwise", "train", *words], cwd=ROOT, env=environment, check=True)
        rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [row for row in rows if row.get("kind") == "training"], [row for row in rows if "kind" not in row]


def speed(text: Path | None, rounds: int, append: Path | None) -> None:
    """Take turns."""
    speeds: dict[str, list[float]] = {name: [] for name in SPEED}
    for _ in range(rounds):
        for name, contender in SPEED.items():
            steps, _ = rows_of({**SHORT, **contender}, text)
            speeds[name].append(statistics.median(row["chars_per_second"] for row in steps[WARM:]))
    for name, own in speeds.items():
        ratios = [here / there for here, there in zip(own, next(iter(speeds.values())), strict=True)]
        figures = {"chars_per_second": round(statistics.median(own)), "efficiency": round(statistics.median(ratios), 3)}
        record(append, benchmark="distributed", contender=name, rounds=rounds, **figures)


def curves(text: Path | None, append: Path | None) -> None:
    """One run each."""
    losses: list[list[float]] = []
    values: list[list[float]] = []
    for name, contender in CURVES.items():
        steps, validations = rows_of({**LONG, **SMALL, **contender}, text)
        losses.append([row["loss"] for row in steps])
        values.append([row["val_nats_per_char"] for row in validations])
        apart = {
            "max_loss_difference": max(abs(a - b) for a, b in zip(losses[-1], losses[0], strict=True)),
            "max_val_difference": max(abs(a - b) for a, b in zip(values[-1], values[0], strict=True)),
        }
        record(append, benchmark="distributed curves", contender=name, steps=len(steps), val_nats=values[-1][-1], **apart)


def main() -> None:
    """What was asked for."""
    parser = flags(__doc__ or "")
    parser.add_argument("--only", choices=("speed", "curves"))
    asked = parser.parse_args()
    if asked.only != "curves":
        speed(asked.text, asked.rounds, asked.append)
    if asked.only != "speed":
        curves(asked.text, asked.append)


if __name__ == "__main__":
    main()
