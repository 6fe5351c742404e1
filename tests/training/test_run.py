"""Run: interrupted and resumed is never stopped; validating changes nothing; the best model is what is kept."""

import itertools
import json
import math
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_run import FLAGS

import letterwise
from letterwise.checkpoint import load_model
from letterwise.checkpoint.container import CHECKSUM, pack, unpack
from letterwise.checkpoint.training_state import load_state
from letterwise.compiling.jit import clock
from letterwise.config import Config
from letterwise.errors import UserError
from letterwise.ngrams import count_ngrams
from letterwise.progress import PlainProgress, Progress
from letterwise.training import prepare, trainer
from letterwise.training.optimizers import objective
from letterwise.training.prepare import train
from letterwise.training.report.result import estimate_words

ROOT = Path(__file__).parents[2]
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


@pytest.mark.parametrize("preset", ["fast", "classic"])
def test_interrupted_and_resumed_is_never_stopped(text_file: Path, tmp_path: Path, preset: str) -> None:
    from letterwise.training.interruption import Interrupted

    wanted = flags(text_file, preset=preset, dropout=0.1, warmup_iters=5)
    whole = train(wanted, out=str(tmp_path / "whole"))
    with pytest.raises(Interrupted, match="after step 30") as stopped:
        train(wanted, out=str(tmp_path / "parts"), progress=Listener(stop_at=30))
    assert stopped.value.signal_number == signal.SIGINT
    resumed = train({}, out=str(tmp_path / "parts"), resume=True)
    same_state(tmp_path / "whole", tmp_path / "parts")
    assert resumed.best_val_nats_per_char == whole.best_val_nats_per_char
    told = [load_model(tmp_path / run / "model.safetensors").history for run in ("whole", "parts")]
    assert [row["val_nats_per_char"] for row in told[0]] == [row["val_nats_per_char"] for row in told[1]]


def test_a_stop_at_the_moment_of_a_validation_loses_no_row(text_file: Path, tmp_path: Path) -> None:
    from letterwise.training.interruption import Interrupted

    wanted = flags(text_file, max_iters=40, eval_interval=20)
    train(wanted, out=str(tmp_path / "whole"))
    with pytest.raises(Interrupted, match="after step 20"):
        train(wanted, out=str(tmp_path / "parts"), progress=Listener(stop_at=20))
    train({}, out=str(tmp_path / "parts"), resume=True)
    rows = [load_state(tmp_path / run / "state.safetensors").rows for run in ("whole", "parts")]
    assert without_clocks(rows[0]) == without_clocks(rows[1])


def test_a_run_that_another_finished_meanwhile_is_not_replaced(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both found no directory; while one prepared, the other came to its end."""
    prepare_run = prepare.prepare_run

    def slowly(*arguments):
        prepared = prepare_run(*arguments)
        monkeypatch.setattr(prepare, "prepare_run", prepare_run)
        train(flags(text_file), out=str(tmp_path / "o"))
        return prepared

    monkeypatch.setattr(prepare, "prepare_run", slowly)
    with pytest.raises(UserError, match="is there from an earlier run"):
        train(flags(text_file), out=str(tmp_path / "o"))
    assert load_model(tmp_path / "o/model.safetensors")


def test_validating_more_often_changes_nothing_else(text_file: Path, tmp_path: Path) -> None:
    train(flags(text_file, dropout=0.2, eval_interval=60), out=str(tmp_path / "seldom"))
    train(flags(text_file, dropout=0.2, eval_interval=7), out=str(tmp_path / "often"))
    same_state(tmp_path / "seldom", tmp_path / "often")


def test_the_same_seed_gives_the_same_model_and_another_does_not(text_file: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(flags(text_file, rng_seed=seed), out=str(tmp_path / name))
    same_state(tmp_path / "a", tmp_path / "b")
    models = {name: load_model(tmp_path / name / "model.safetensors").weights["tokens.weight"] for name in "ac"}
    assert not np.array_equal(models["a"], models["c"])


def test_gradients_of_accumulated_batches_are_those_of_one(text_file: Path, tmp_path: Path) -> None:
    train(flags(text_file, batch_size=8, max_iters=30, dtype="float32"), out=str(tmp_path / "one"))
    pieces = flags(text_file, batch_size=2, gradient_accumulation_steps=4, max_iters=30, dtype="float32")
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
def ticking(monkeypatch: pytest.MonkeyPatch) -> Callable[[], float]:
    """A clock of the test's own: at each look, a hundredth of a second has passed. How busy the machine is does not matter.

    Looks of other threads, which may be left over from other tests, do not count.
    """
    looks, now = itertools.count(), [0.0]

    def tick() -> float:
        if threading.current_thread() is threading.main_thread():
            now[0] = next(looks) / 100
        return now[0]

    monkeypatch.setattr(time, "monotonic", tick)
    return tick


def test_minutes_end_the_run_on_time_with_the_rate_at_its_floor(
    text_file: Path, tmp_path: Path, ticking: Callable[[], float]
) -> None:
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
    train(flags(text_file, minutes=0.1, val_file=(str(large),)), out=str(tmp_path / "o"), progress=listener)
    assert time.monotonic() - began < 40
    assert any("--eval_chars" in note for note in listener.notes)


def test_resuming_a_finished_run_changes_nothing_and_extending_goes_on(text_file: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "o")
    first = train(flags(text_file), out=out)
    again = train({}, out=out, resume=True)
    assert (again.iters, again.best_val_nats_per_char) == (first.iters, first.best_val_nats_per_char)
    assert train({"max_iters": 80}, out=out, resume=True).iters == 80


@pytest.mark.parametrize(("change", "words"), [({"n_layer": 3}, "n_layer=2, not 3"), ({"preset": "gpt2"}, "preset='fast'")])
def test_resuming_with_another_model_is_refused(text_file: Path, tmp_path: Path, change: dict, words: str) -> None:
    train(flags(text_file, max_iters=25), out=str(tmp_path / "o"))
    with pytest.raises(UserError, match=words):
        train(change, out=str(tmp_path / "o"), resume=True)


def test_resuming_on_a_changed_text_is_refused_with_both_fingerprints(tmp_path: Path, text_file: Path) -> None:
    text = tmp_path / "t.txt"
    text.write_text(text_file.read_text())
    train(flags(text, max_iters=25), out=str(tmp_path / "o"))
    text.write_text(text_file.read_text() + "More.")
    with pytest.raises(UserError, match=r"fingerprint [0-9a-f]{12}, now [0-9a-f]{12}"):
        train({}, out=str(tmp_path / "o"), resume=True)


def test_a_run_directory_can_be_moved(text_file: Path, tmp_path: Path) -> None:
    train(flags(text_file, max_iters=25), model_path=str(tmp_path / "here/m.pth"))
    (tmp_path / "here").rename(tmp_path / "there")
    result = train({"max_iters": 30}, out=str(tmp_path / "there/m"), resume=True)
    assert Path(result.model_path) == tmp_path / "there/m.pth"
    assert load_model(tmp_path / "there/m.pth").history[-1]["step"] <= 30


@pytest.mark.parametrize("damage", ["cut", "one bit", "gone"])
def test_where_the_newest_state_is_damaged_the_one_before_takes_its_place(text_file: Path, tmp_path: Path, damage: str) -> None:
    train(flags(text_file, save_interval="20"), out=str(tmp_path / "whole"))
    train(flags(text_file, save_interval="20"), out=str(tmp_path / "parts"))
    state = tmp_path / "parts/state.safetensors"
    content = bytearray(state.read_bytes())
    content[-1] ^= 1
    if damage == "gone":
        state.unlink()
    else:
        state.write_bytes(content if damage == "one bit" else content[:1000])
    listener = Listener()
    train({}, out=str(tmp_path / "parts"), resume=True, progress=listener)
    assert re.search(
        r"(damaged|not complete).* The one before it takes its place, of step (50|60)\.", "\n".join(listener.notes)
    )
    same_state(tmp_path / "whole", tmp_path / "parts")
    for path in tmp_path.glob("parts/state*"):
        path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"neither it nor the one before it, .* is whole"):
        train({}, out=str(tmp_path / "parts"), resume=True)


@pytest.mark.parametrize(
    "trouble", ["a newer version", "a newer checksum", "a knob of tomorrow", "unreadable", "a pipe", "a link to nowhere"]
)
def test_a_state_that_is_not_damaged_is_never_replaced(
    text_file: Path, tmp_path: Path, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(flags(text_file, save_interval="20"), out=str(tmp_path / "run"))
    state = tmp_path / "run/state.safetensors"
    if trouble == "unreadable":  # whoever runs the tests may be root, who can read all
        opened = Path.open

        def refuse(path: Path, *args: str, **options: str):
            if path == state:
                raise PermissionError(13, "Permission denied")
            return opened(path, *args, **options)

        monkeypatch.setattr(Path, "open", refuse)
    elif trouble == "a pipe":
        state.unlink()
        os.mkfifo(state)
    elif trouble == "a link to nowhere":  # a disk that is not there today
        state.unlink()
        state.symlink_to(tmp_path / "elsewhere/state.safetensors")
    else:
        header, arrays = unpack(state)
        del header[CHECKSUM]
        if trouble.startswith("a newer"):
            header["version"] += 1
        else:
            header["config"]["model"]["telepathy"] = True
        content = pack(header, arrays, ".safetensors")
        if trouble == "a newer checksum":
            digest = re.search(rb"[0-9a-f]{64}(?=[^0-9a-f]{1,3}\})", content)
            assert digest
            content = content.replace(digest[0], b"0" * 64)
        state.write_bytes(content)

    def kept() -> list[tuple[str, str]]:
        states = sorted(tmp_path.glob("run/state*"), key=str)
        return [(path.name, content_of(path)) for path in states]

    def content_of(path: Path) -> str:
        if path.is_symlink():
            return os.readlink(path)
        if path.is_fifo():
            return "a pipe"
        done = subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True)
        return done.stdout

    before = kept()
    assert len(before) == 2
    words = {
        "unreadable": "Permission denied",
        "a newer version": "of version",
        "a newer checksum": "of version",
        "a knob of tomorrow": "telepathy",
        "a pipe": "is not a file",
        "a link to nowhere": "No such file",
    }
    with pytest.raises(UserError, match=words[trouble]):
        train({}, out=str(tmp_path / "run"), resume=True)
    assert kept() == before


def test_a_model_file_that_is_gone_is_written_again_from_the_state(text_file: Path, tmp_path: Path) -> None:
    train(flags(text_file), out=str(tmp_path / "o"))
    held = {path: path.read_bytes() for path in (tmp_path / "o").glob("m*")}
    assert len(held) == 2  # model.safetensors, metrics.jsonl
    for path in held:
        path.write_bytes(b"")
    train({}, out=str(tmp_path / "o"), resume=True)
    assert {path: path.read_bytes() for path in held} == held


@pytest.mark.parametrize("way", ["forward", "backward"])
def test_a_step_is_cut_between_layers(text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """A signal in the second of four layers: no other layer is computed, and the state is that after the last whole step."""
    from letterwise.model.block import PreNormBlock
    from letterwise.training.interruption import Interrupted

    computed, at, forward = [], 4 * 3 * 6 + 4 + 1, PreNormBlock.forward  # of the seventh step, in its second piece

    def seen(*mark: object) -> None:
        computed.append(mark)
        if len([m for m in computed if m[0] == way]) == at + 1:
            os.kill(os.getpid(), signal.SIGTERM)

    def watched(block: PreNormBlock, *arguments: Any) -> Any:
        output = forward(block, *arguments)
        if block.training and output.requires_grad:
            seen("forward")
            output.register_hook(lambda gradient: seen("backward"))
        return output

    monkeypatch.setattr(PreNormBlock, "forward", watched)
    shape = dict(n_layer=4, batch_size=2, gradient_accumulation_steps=3, max_iters=12, eval_interval=5, dropout=0.1)
    with pytest.raises(Interrupted, match="stopped after step 6; the state after step 6 is saved"):
        train(flags(text_file, **shape), out=str(tmp_path / "cut"))
    assert len([m for m in computed if m[0] == way]) == at + 1
    monkeypatch.setattr(PreNormBlock, "forward", forward)
    train({}, out=str(tmp_path / "cut"), resume=True)
    train(flags(text_file, **shape), out=str(tmp_path / "whole"))
    same_state(tmp_path / "cut", tmp_path / "whole")


@pytest.mark.parametrize("place", ["probe", "validation", "baselines", "sample", "counts of a step"])
def test_what_takes_long_with_a_large_vocabulary_is_cut(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """A signal comes the second time (in the probe, the first) that something is done, and it is not done again."""
    from letterwise.data import batches
    from letterwise.evaluation import baseline, evaluate, passes
    from letterwise.inference.engine import Engine
    from letterwise.ngrams.cross_fit import CrossFitted
    from letterwise.training.interruption import Interrupted

    done, at = [0], 1 if place == "probe" else 2
    monkeypatch.setattr(passes, "NUMBERS_IN_FLIGHT", {"cpu": 1})  # a window at a time
    monkeypatch.setattr(baseline, "WINDOWS", 1)
    monkeypatch.setattr(trainer, "PRIOR_NUMBERS", 1)

    def signalling(function: Callable) -> Callable:
        def signals(*arguments: Any, **options: Any) -> Any:
            done[0] += 1
            if done[0] == at:
                os.kill(os.getpid(), signal.SIGTERM)
            return function(*arguments, **options)

        return signals

    def sweep(*arguments: Any, **options: Any) -> Any:
        yield from map(signalling(lambda windows: windows), batches.sweep(*arguments, **options))

    if place in ("probe", "validation"):
        monkeypatch.setattr(evaluate, "total_nats", signalling(evaluate.total_nats))
    elif place == "baselines":
        monkeypatch.setattr(baseline, "sweep", sweep)
    elif place == "sample":
        monkeypatch.setattr(Engine, "step", signalling(Engine.step))
    else:
        monkeypatch.setattr(CrossFitted, "log_probs_at", signalling(CrossFitted.log_probs_at))
    asked = flags(text_file, **({"eval_chars": 2000} if place == "validation" else {}))  # then there is no probe
    with pytest.raises(Interrupted, match="stopped after step 0; the state after step 0 is saved"):
        train(asked, out=str(tmp_path / "o"))
    assert done == [at]


def test_what_a_signal_waits_for_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from letterwise.training import interruption

    monkeypatch.setattr(interruption, "PATIENCE_S", 0.0)
    said = threading.Event()
    with interruption.Interruption(lambda text: said.set()) as asked:
        os.kill(os.getpid(), signal.SIGTERM)
        assert said.wait(60)
        assert asked.asked == signal.SIGTERM
    quiet: list[str] = []
    monkeypatch.setattr(interruption, "PATIENCE_S", 3600.0)
    with interruption.Interruption(quiet.append):
        os.kill(os.getpid(), signal.SIGTERM)
    assert quiet == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_says_how_to_go_on(text_file: Path, tmp_path: Path, number: int, code: int) -> None:
    small = [f"--{name}={value}" for name, value in {**FLAGS, "max_iters": 100_000}.items()]
    command = [sys.executable, "-m", "letterwise", "train", "--input_file", text_file, "--out", tmp_path / "o", *small]
    run = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert run.stderr
    for line in run.stderr:
        if "val" in line and "nats" in line:  # it is under way
            break
    run.send_signal(number)
    told = run.communicate(timeout=300)[1]
    assert run.returncode == code
    assert "--resume" in told
    assert "Traceback" not in told
    assert f"the state after step {load_state(tmp_path / 'o/state.safetensors').step} is saved" in told


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
