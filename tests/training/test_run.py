"""Run: validating changes nothing; the best model is what is kept; minutes are kept, and what diverges is set back."""

import json
import math
import random
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from clocks import Ticking
from training.steps import Listener, flags, same_state

import letterwise
from letterwise.checkpoint import load_model
from letterwise.checkpoint.training_state import load_state
from letterwise.compiling.clock import clock
from letterwise.config import Config
from letterwise.errors import UserError
from letterwise.ngrams import count_ngrams
from letterwise.progress import PlainProgress
from letterwise.training import trainer
from letterwise.training.optimizers import objective
from letterwise.training.prepare import train
from letterwise.training.report.result import estimate_words


def test_validating_more_often_changes_nothing_else(text_file: Path, tmp_path: Path) -> None:
    train(flags(text_file, dropout=0.2, max_iters=30, eval_interval=30), out=str(tmp_path / "seldom"))
    train(flags(text_file, dropout=0.2, max_iters=30, eval_interval=7), out=str(tmp_path / "often"))
    same_state(tmp_path / "seldom", tmp_path / "often")


def test_the_same_seed_gives_the_same_model_and_another_does_not(text_file: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(flags(text_file, rng_seed=seed, max_iters=30), out=str(tmp_path / name))
    same_state(tmp_path / "a", tmp_path / "b")
    models = {name: load_model(tmp_path / name / "model.safetensors").weights["tokens.weight"] for name in "ac"}
    assert not np.array_equal(models["a"], models["c"])


def test_gradients_of_accumulated_batches_are_those_of_one(text_file: Path, tmp_path: Path) -> None:
    train(flags(text_file, batch_size=8, max_iters=10, warmup_iters=2, dtype="float32"), out=str(tmp_path / "one"))
    pieces = flags(text_file, batch_size=2, gradient_accumulation_steps=4, max_iters=10, warmup_iters=2, dtype="float32")
    train(pieces, out=str(tmp_path / "four"))
    one, four = (load_state(tmp_path / name / "state.safetensors").rows[-1] for name in ("one", "four"))
    assert one["train_nats_per_char"] == pytest.approx(four["train_nats_per_char"], abs=1e-3)
    assert one["chars"] == four["chars"]


def test_the_best_model_is_kept(text_file: Path, tmp_path: Path) -> None:
    """Validated on the same letters in disorder: the better it knows the text, the worse it does there."""
    letters = list(text_file.read_text())
    random.Random(0).shuffle(letters)
    (tmp_path / "disorder.txt").write_text("".join(letters))
    listener = Listener()
    wanted = flags(text_file, val_file=(str(tmp_path / "disorder.txt"),), eval_interval=5, warmup_iters=2)
    result = train(wanted, out=str(tmp_path / "o"), progress=listener)
    vals = [row["val_nats_per_char"] for row in listener.rows]
    assert vals[-1] > min(vals)
    assert load_model(tmp_path / "o/model.safetensors").history[-1]["val_nats_per_char"] == min(vals)
    assert result.best_val_nats_per_char == min(vals)
    assert result.val_nats_per_char == vals[-1]


def test_a_loss_that_is_nan_stops_the_run_and_loses_nothing(text_file: Path, tmp_path: Path, monkeypatch) -> None:
    exploding = flags(text_file, preset="gpt2", max_iters=40, warmup_iters=5, eval_interval=10, dtype="float32")
    monkeypatch.setattr(trainer, "PROGRESS_S", math.inf)  # looked at every ten steps, however slow they are

    def explode(self: Listener, row: dict) -> None:
        self.rows.append(row)
        if len(self.rows) == 2:
            monkeypatch.setattr(
                "letterwise.training.optimizers.objective.cross_entropy", lambda logits, targets: logits.mean() * float("nan")
            )

    monkeypatch.setattr(Listener, "held_out", explode)
    with pytest.raises(
        UserError, match=r"loss became nan by step 30 .*after going back 2 times.*model.safetensors: lower --lea"
    ):
        train(exploding, out=str(tmp_path / "o"), progress=Listener())
    assert load_model(tmp_path / "o/model.safetensors").history[-1]["step"] == 20
    assert load_state(tmp_path / "o/state.safetensors").step == 20


def test_a_loss_that_is_nan_once_sets_the_run_back_with_a_lower_rate(text_file: Path, tmp_path: Path, monkeypatch) -> None:
    wanted = flags(
        text_file, preset="gpt2", max_iters=40, warmup_iters=5, eval_interval=10, dtype="float32", schedule="constant"
    )
    monkeypatch.setattr(trainer, "PROGRESS_S", math.inf)  # looked at every ten steps, however slow they are
    calls, real = [], objective.cross_entropy

    def explode_once(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return real(logits, targets) * (math.nan if len(calls) == 25 else 1)

    monkeypatch.setattr(objective, "cross_entropy", explode_once)
    listener = Listener()
    result = train(wanted, out=str(tmp_path / "o"), progress=listener)
    assert "the loss became nan by step 30 with learning_rate=0.001: back to step 20, with 0.5 of that rate." in listener.notes
    assert result.iters == 40
    rows = load_state(tmp_path / "o/state.safetensors").rows
    assert [(row["step"], row["learning_rate"]) for row in rows] == [(10, 1e-3), (20, 1e-3), (30, 5e-4), (40, 5e-4)]
    assert all(math.isfinite(row["val_nats_per_char"]) for row in rows)


def test_patience_stops_early(text_file: Path, tmp_path: Path) -> None:
    listener = Listener()
    wanted = flags(text_file, learning_rate=0.0, matrix_learning_rate=0.0, min_lr=0, max_iters=400, eval_interval=4, patience=3)
    result = train(wanted, out=str(tmp_path / "o"), progress=listener)
    assert result.iters == 12  # the validation before any step is the best; three more bring nothing
    assert [row["best"] for row in listener.rows] == [True, False, False, False]


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> Ticking:
    """A clock of the test's own."""
    clock = Ticking()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


def test_minutes_end_the_run_on_time_with_the_rate_at_its_floor(text_file: Path, tmp_path: Path, ticking: Ticking) -> None:
    listener, began = Listener(), ticking()
    result = train(flags(text_file, minutes=0.1), out=str(tmp_path / "o"), progress=listener)
    assert 4.5 < ticking() - began < 9  # a second of the six is for the process itself
    assert result.iters > 20
    rates = [row["learning_rate"] for row in listener.rows]
    assert rates[-1] < 0.01 * Config().training.learning_rate
    assert 2 <= len(rates) <= 9


@pytest.mark.usefixtures("ticking")
def test_a_slow_start_is_no_reason_to_validate_after_one_step(text_file: Path, tmp_path: Path) -> None:
    """A quarter of the minutes pass before the first step: the first validation comes an eighth after it."""
    listener = Listener()
    asked = flags(text_file, minutes=0.1, counts_order=0)
    train(asked, out=str(tmp_path / "o"), progress=listener, started=clock() - 1.5)
    assert listener.rows[0]["step"] > 1
    assert listener.rows[0]["seconds"] > 1.5 + 6 / 8


def counting_alone(model: letterwise.LanguageModel, text: str) -> float:
    """Nats per character of the validation part, by counts of the training part, read from the text itself."""
    ids, (train_end, val_end, _) = model.vocabulary.encode(text), model.data["bounds"]
    return count_ngrams(ids[:train_end], len(model.vocabulary), 7).nats_per_char(ids[train_end:val_end])


@pytest.mark.parametrize("rate", [0.0, 0.01, 2.0], ids=["standing", "learning", "ruinous"])
def test_beside_counts_no_model_is_kept_that_is_worse_than_counting(text_file: Path, tmp_path: Path, rate: float) -> None:
    listener = Listener()
    rates = dict(learning_rate=rate, matrix_learning_rate=rate, min_lr=0, warmup_iters=1)
    result = train(flags(text_file, **rates, max_iters=20, eval_interval=10), out=str(tmp_path / "o"), progress=listener)
    model = letterwise.load(result.model_path)
    alone = counting_alone(model, text_file.read_text())
    assert [row["step"] for row in listener.rows] == [0, 10, 20]
    first = listener.rows[0]
    assert (first["train_nats_per_char"], first["chars"], first["best"]) == (None, 0, True)
    assert first["val_nats_per_char"] == pytest.approx(alone, abs=1e-5)
    assert result.baselines["counting alone"] == pytest.approx(alone / math.log(2))
    assert model.evaluate().nats_per_char == pytest.approx(result.best_val_nats_per_char, abs=1e-5)
    assert result.best_val_nats_per_char <= first["val_nats_per_char"]
    assert (model.history[-1]["step"] > 0) == (rate == 0.01)


def test_without_counts_no_row_comes_before_the_first_step(text_file: Path, tmp_path: Path) -> None:
    listener = Listener()
    train(flags(text_file, counts_order=0, max_iters=50), out=str(tmp_path / "o"), progress=listener)
    assert [row["step"] for row in listener.rows] == [25, 50]


@pytest.mark.parametrize("name", ["m.safetensors", "m.pth"])
def test_counting_alone_is_a_model(text_file: Path, tmp_path: Path, name: str) -> None:
    """Preset `counts` takes no step, is as good as its counts, and writes."""
    model = letterwise.train(text_file, preset="counts", out=tmp_path / "o", model_path=tmp_path / name)
    (row,) = model.history
    alone = counting_alone(model, text_file.read_text())
    assert (row["step"], row["train_nats_per_char"], row["best"]) == (0, None, True)
    assert row["val_nats_per_char"] == pytest.approx(alone, abs=1e-5)
    score = model.evaluate()
    assert score.nats_per_char == pytest.approx(alone, abs=1e-5)
    assert score.counting_nats_per_char == pytest.approx(alone, abs=1e-5)
    assert model.generate("The cat sat", num_tokens=8, greedy=True) == " on the "
    assert len(model.generate(num_tokens=300)) == 300
    assert model.generate(num_tokens=50, rng_seed=1) == model.generate(num_tokens=50, rng_seed=1)
    again = train({}, out=str(tmp_path / "o"), resume=True)
    assert (again.iters, again.best_val_nats_per_char) == (0, row["val_nats_per_char"])


def test_without_a_validation_part_the_last_model_is_kept(text_file: Path, tmp_path: Path) -> None:
    result = train(flags(text_file, val_fraction=0), out=str(tmp_path / "o"))
    assert result.best_val_nats_per_char is None
    assert result.val_nats_per_char is None
    assert load_model(tmp_path / "o/model.safetensors").history[-1]["step"] == 60
    assert "None" not in (tmp_path / "o/metrics.jsonl").read_text()


def test_eval_chars_takes_fewer_windows(text_file: Path, tmp_path: Path) -> None:
    rows = []
    for name, chars in (("all", 0), ("some", 64)):
        listener = Listener()
        train(flags(text_file, max_iters=25, eval_chars=chars), out=str(tmp_path / name), progress=listener)
        rows.append(listener.rows[-1])
    assert rows[0]["train_nats_per_char"] == rows[1]["train_nats_per_char"]
    assert rows[0]["val_nats_per_char"] != rows[1]["val_nats_per_char"]


def test_a_very_long_text_is_validated_in_part(text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a run of steps, too; all of it where that is asked for."""
    from letterwise.training import validation

    monkeypatch.setattr(validation, "MANY_CHARS", 100)
    rows = {}
    for eval_chars in (0, 10**6):
        listener = Listener()
        asked = flags(text_file, max_iters=1, eval_chars=eval_chars)
        result = train(asked, out=str(tmp_path / f"{eval_chars}"), progress=listener)
        rows[eval_chars] = listener.rows[-1]
        assert any("change with --eval_chars" in note for note in listener.notes) == (not eval_chars)
        assert bool(estimate_words(result)) == (not eval_chars)
    assert 32 <= rows[0]["val_chars"] < rows[10**6]["val_chars"] / 2


def test_a_large_validation_part_does_not_eat_the_minutes(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As scoring all of it would: that takes minutes. The clock stands still while other processes have the processor."""
    monkeypatch.setattr(time, "monotonic", time.process_time)
    large = tmp_path / "large.txt"
    large.write_text(text_file.read_text() * 400)  # over a million characters
    listener, began = Listener(), time.monotonic()
    train(flags(text_file, minutes=0.04, val_file=(str(large),)), out=str(tmp_path / "o"), progress=listener)
    assert time.monotonic() - began < 20
    assert any("--eval_chars" in note for note in listener.notes)


def test_metrics_and_history_agree(tiny) -> None:
    every = [json.loads(line) for line in (tiny.run_dir / "metrics.jsonl").read_text().splitlines()]
    rows = [row for row in every if "kind" not in row]
    best = max(i for i, row in enumerate(rows) if row["best"])
    assert tiny.history == rows[: best + 1]


def test_plain_lines_say_where_the_run_is(capsys: pytest.CaptureFixture, text_file: Path, tmp_path: Path) -> None:
    train(flags(text_file, max_iters=25), out=str(tmp_path / "o"), progress=PlainProgress())
    told = capsys.readouterr()
    assert told.out == ""
    assert "step 25/25" in told.err
    assert "bits per character" in told.err
