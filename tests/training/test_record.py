"""Record: rows between validations have the figures of their steps, cost no wait, and come through a kill once each."""

import itertools
import json
import math
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_run import FLAGS

from letterwise.checkpoint.training_state import load_state
from letterwise.comparison.runs_folder import list_runs, read_rows
from letterwise.config import ModelConfig, TrainingConfig
from letterwise.errors import UserError
from letterwise.model import build
from letterwise.progress import Progress
from letterwise.training.interruption import Interrupted
from letterwise.training.metrics import record as record_file
from letterwise.training.metrics.record import Record
from letterwise.training.metrics.rows import in_order, of_kind, parsed, spelled
from letterwise.training.optimizers.optimizer import build_optimizers
from letterwise.training.prepare import train

NORM = torch.tensor(0.5)
TIMED = ("seconds", "chars_per_second")


def take(record: Record, step: int, nats: float, *, began_s: float = 0.0, rate: float = 0.1) -> None:
    """A step with this loss; a row where one is due."""
    due = record.due(step, began_s)
    record.add(torch.tensor(nats))
    if due:
        record.end_row(step, began_s, rate, NORM)


@pytest.mark.parametrize(
    ("max_iters", "rows"), [(1, 1), (60, 60), (500, 500), (501, 252), (2000, 501), (10**6, 501), (999_999, 501)]
)
def test_a_run_of_steps_has_some_hundred_rows_however_long_it_is(max_iters: int, rows: int) -> None:
    record = Record(TrainingConfig(max_iters=max_iters, warmup_iters=0), 1)
    due = [step for step in range(1, max_iters + 1) if record.due(step, 0.0)]
    assert len(due) == rows
    assert (due[0], due[-1]) == (1, max_iters)


@pytest.mark.parametrize(("step_s", "rows"), [(0.01, (450, 501)), (0.05, (450, 501)), (3.0, (60, 60)), (0.37, (480, 490))])
def test_a_run_of_minutes_has_one_each_so_many_seconds_or_one_a_step(step_s: float, rows: tuple[int, int]) -> None:
    record = Record(TrainingConfig(minutes=3.0), 1)
    steps = int(180 / step_s)
    assert rows[0] <= sum(record.due(step + 1, step * step_s) for step in range(steps)) <= rows[1]


def test_figures_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    monkeypatch.setattr(record_file, "ROWS", 2)
    record = Record(TrainingConfig(max_iters=4, warmup_iters=0), 2048)
    for step, nats, second in ((1, 4.0, 1.0), (2, 2.0, 2.0), (3, 1.0, 3.0), (4, 3.0, 13.0)):
        if step == 4:
            now = 12.0  # a validation
            record.start_clock()
        now = second
        take(record, step, nats, began_s=second)
    record.read()
    first, second, last = record.rows
    assert first == {
        "kind": "training", "step": 1, "chars": 2048, "seconds": 1.0, "learning_rate": 0.1, "chars_per_second": 2048,
        "loss": 4.0, "smoothed_loss": 4.0, "gradient_norm": 0.5,
    }  # fmt: skip
    assert (second["step"], second["loss"], second["smoothed_loss"]) == (2, 2.0, pytest.approx(3.8))
    assert (last["step"], last["loss"], last["chars_per_second"]) == (4, 2.0, 2048)  # mean of two steps, a second each
    assert last["smoothed_loss"] == pytest.approx(3.8 - 0.18)


def test_no_step_waits_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    record = Record(TrainingConfig(max_iters=400, warmup_iters=0), 1)
    reads: list[int] = []
    real = torch.Tensor.tolist
    monkeypatch.setattr(torch.Tensor, "tolist", lambda tensor: reads.append(len(tensor)) or real(tensor))
    monkeypatch.setattr(torch.Tensor, "item", lambda tensor: pytest.fail("it waited for a single figure"))
    for step in range(1, 401):
        now = step / 100
        take(record, step, 1.0)
        record.read_now_and_then()
    assert 3 <= len(reads) <= 5
    assert sum(reads) == len(record.rows) >= 300


def test_what_is_no_number_is_a_gap_and_the_smoothed_loss_goes_on() -> None:
    record = Record(TrainingConfig(max_iters=3, warmup_iters=0), 1)
    for step, nats in ((1, 2.0), (2, math.nan), (3, 1.0)):
        take(record, step, nats)
    record.read()
    assert [(row["loss"], row["smoothed_loss"]) for row in record.rows] == [(2.0, 2.0), (None, None), (1.0, 1.9)]


def test_rows_read_back_and_stand_in_the_order_in_which_they_came() -> None:
    rows = [
        {"step": 2, "best": True},
        {"step": 2, "kind": "training"},
        {"kind": "end", "step": 2},
        {"step": 1, "kind": "training"},
    ]
    ordered = in_order([*rows, {"step": 2, "kind": "subset"}])
    assert [(row["step"], row.get("kind")) for row in ordered] == [
        (1, "training"), (2, "training"), (2, "subset"), (2, None), (2, "end"),
    ]  # fmt: skip
    assert parsed(spelled(ordered)) == ordered
    assert parsed(spelled(ordered)[:-1]) == ordered[:-1]


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_the_gradient_norm_is_that_of_all_weights_before_clipping(optimizer: str) -> None:
    model = build(ModelConfig(n_layer=1, n_head=1, n_embd=4, block_size=4), 5)
    optimizers = build_optimizers(model, TrainingConfig(optimizer=optimizer, grad_clip=1e-3))
    for weight in model.parameters():
        weight.grad = torch.full_like(weight, 2.0)
    weights = sum(weight.numel() for weight in model.parameters())
    assert optimizers.gradient_norm().item() == pytest.approx(2 * math.sqrt(weights))


class Watcher(Progress):
    """Looks at the run's folder as it learns; asks it to stop once a step was seen."""

    def __init__(self, folder: Path, stop_at: int = 0) -> None:
        self.folder, self.stop_at, self.seen = folder, stop_at, list[tuple[int, str, int]]()

    def step(self, step: int, done: float, nats: float, chars_per_second: float, left_s: float) -> None:
        (run,) = list_runs(self.folder)
        self.seen.append((step, run.state, run.step))
        if step == self.stop_at:
            signal.raise_signal(signal.SIGINT)


def plain(out: Path) -> list[dict[str, Any]]:
    """The rows of a run without their clocks."""
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name not in TIMED} for row in rows]


def test_a_run_that_was_killed_and_resumed_has_every_row_once(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its state is from the middle between two rows, and there are rows of later steps, as after a kill."""
    monkeypatch.setattr(record_file, "ROWS", 8)
    monkeypatch.setattr(record_file, "READ_S", 0.0)
    asked = {**FLAGS, "input_file": (str(text_file),), "max_iters": 60, "eval_interval": 25, "counts_order": 0}
    train(asked, out=str(tmp_path / "whole"))
    watcher = Watcher(tmp_path / "parts", stop_at=20)
    with pytest.raises(Interrupted):
        train(asked, out=str(tmp_path / "parts/run"), progress=watcher)
    assert watcher.seen[-1] == (20, "training", 16)  # rows can be seen before any validation
    (stopped,) = list_runs(tmp_path / "parts")
    assert (stopped.state, stopped.step) == ("stopped", 16)
    assert load_state(tmp_path / "parts/run/state.safetensors").record_steps == 4
    with (tmp_path / "parts/run/metrics.jsonl").open("ab") as file:
        file.write(spelled([{"kind": "training", "step": 24, "loss": 9.0}]) + b'{"kind": "trai')
    train({}, out=str(tmp_path / "parts/run"), resume=True)
    whole, parts = plain(tmp_path / "whole"), plain(tmp_path / "parts/run")
    assert parts == whole
    steps = [row["step"] for row in of_kind(whole, "training")]
    assert steps == [1, *range(8, 57, 8), 60]
    assert whole[-1] == {"kind": "end", "step": 60}
    (finished,) = list_runs(tmp_path / "parts")
    assert (finished.state, finished.step, finished.rows) == ("finished", 60, len(whole))
    training = of_kind(read_rows(tmp_path / "parts", "run").rows, "training")
    assert len({row["learning_rate"] for row in training}) > 3
    assert all(row["gradient_norm"] > 0 and row["chars_per_second"] > 0 for row in training)
    assert training[-1]["smoothed_loss"] < training[0]["loss"]


@pytest.mark.parametrize(
    "rows", [[5], [{"step": "1", "seconds": 0}], [{"step": 1}], [{"step": 1, "seconds": 1.0, "loss": [1]}]]
)
def test_a_state_with_a_damaged_record_is_refused(rows: list[Any]) -> None:
    from letterwise.checkpoint.training_state import check_record

    with pytest.raises(UserError, match="its record has"):
        check_record(rows)
    check_record([{"step": 1, "seconds": 0, "kind": "training", "loss": None}])


def test_writing_rows_goes_on_where_the_disk_refuses_some(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from letterwise.training.run_directory import RunDirectory

    calls = itertools.count()
    real = RunDirectory.append_metrics

    def full(directory: RunDirectory, rows: Any) -> None:
        if next(calls) == 1:
            raise OSError(28, "No space left on device")
        real(directory, rows)

    monkeypatch.setattr(RunDirectory, "append_metrics", full)
    monkeypatch.setattr(record_file, "READ_S", 0.0)
    train({**FLAGS, "input_file": (str(text_file),), "max_iters": 8, "eval_interval": 4}, out=str(tmp_path / "run"))
    rows = of_kind(read_rows(tmp_path, "run").rows, "training")
    assert [row["step"] for row in rows] == list(range(1, 9))
