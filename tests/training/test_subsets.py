"""Validating on a subset: a curve for little, always of the same characters, and nothing is decided or learned by it."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from clocks import Ticking
from tiny_run import FLAGS

from letterwise.checkpoint import load_model
from letterwise.checkpoint.training_state import load_state
from letterwise.comparison.runs_folder import read_rows
from letterwise.config import TrainingConfig
from letterwise.training import trainer, validation
from letterwise.training.budget import Budget
from letterwise.training.metrics.rows import SUBSET, of_kind
from letterwise.training.prepare import train
from letterwise.training.run import Run


def asked(text_file: Path, **more: Any) -> dict[str, Any]:
    return {**FLAGS, "input_file": (str(text_file),), "warmup_iters": 2, **more}


def test_a_run_of_minutes_has_a_curve(text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock of the test's own, on which a hundredth of a second passes with each look."""
    monkeypatch.setattr(time, "monotonic", Ticking())
    monkeypatch.setattr(validation, "MIN_SUBSET_CHARS", 64)
    monkeypatch.setattr(Budget, "subset_s", 0.001)  # there is never time for more
    train(asked(text_file, minutes=0.3, counts_order=0, dropout=0.0), out=str(tmp_path / "run"))
    rows = read_rows(tmp_path, "run").rows
    subsets, validations = of_kind(rows, SUBSET), of_kind(rows, None)
    assert len(subsets) >= 15
    assert len({row["val_chars"] for row in subsets}) == 1
    assert subsets[0]["val_chars"] < validations[0]["val_chars"]
    assert len(validations) <= 8
    model = load_model(tmp_path / "run/model.safetensors")
    assert model.history == validations[: len(model.history)]
    best = min(validations, key=lambda row: row["val_nats_per_char"])
    assert model.history[-1] == best
    steps = [row["step"] for row in subsets]
    assert steps == sorted(set(steps))
    assert load_state(tmp_path / "run/state.safetensors").subset_every > 1


def test_it_changes_nothing_of_what_is_learned(text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(asked(text_file, max_iters=20, dropout=0.1), out=str(tmp_path / "without"))
    assert of_kind(read_rows(tmp_path, "without").rows, SUBSET) == []  # a run of steps is validated as it is asked to be
    monkeypatch.setattr(Run, "subset_due", lambda run: run.step % 5 == 3 and run.subset_took_s != run.step)
    real = trainer.validate_subset

    def once(run: Run, *rest: Any) -> None:
        real(run, *rest)
        run.subset_took_s = run.step  # not again at this step

    monkeypatch.setattr(trainer, "validate_subset", once)
    train(asked(text_file, max_iters=20, dropout=0.1), out=str(tmp_path / "with"))
    assert [row["step"] for row in of_kind(read_rows(tmp_path, "with").rows, SUBSET)] == [3, 8, 13, 18]
    one, two = (load_state(tmp_path / name / "state.safetensors") for name in ("without", "with"))
    assert all(np.array_equal(one.weights[name], two.weights[name]) for name in one.weights)
    assert all(np.array_equal(one.optimizers[name], two.optimizers[name]) for name in one.optimizers)
    assert [row["val_nats_per_char"] for row in one.rows] == [row["val_nats_per_char"] for row in two.rows]
    assert [row["train_nats_per_char"] for row in one.rows] == [row["train_nats_per_char"] for row in two.rows]


@pytest.mark.parametrize(
    ("scoring_s", "every", "stride"),
    [
        (15.0, 1, 54),  # a hundredth of all would fit into 0.15 s, but 2,048 characters are the least
        (1.5, 1, 10),
        (0.1, 1, 1),
        (15.0, 5, 50),  # ten times fewer than validations score
    ],
)
def test_as_many_characters_as_there_is_time_for(scoring_s: float, every: int, stride: int) -> None:
    run = SimpleNamespace(every=every, scoring_s=scoring_s, budget=Budget(TrainingConfig(minutes=3.0)))
    chars = 2048 * 53 + 1 if every == 1 else 2048 * every * 10
    assert validation.subset_stride(run, np.zeros(chars), lambda text: None, lambda: None) == stride  # ty: ignore[invalid-argument-type]
