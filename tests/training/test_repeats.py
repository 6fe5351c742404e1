"""Repeats: each seed is the run that it would be alone; what is done is not done again; contradictions are told."""

import json
import math
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from in_process import ask

from letterwise.checkpoint.training_state import load_state
from letterwise.errors import UserError
from letterwise.training import trainer
from letterwise.training.interruption import Interrupted
from letterwise.training.planning import plan
from letterwise.training.prepare import train
from letterwise.training.several.repeats import repeat

SMALL = dict(
    n_layer=1, n_embd=16, n_head=2, block_size=16, batch_size=2, max_iters=4, eval_interval=2, warmup_iters=1, counts_order=0,
    val_fraction=0.4,
)  # fmt: skip


def words(**knobs: object) -> list[object]:
    return [word for name, value in knobs.items() for word in (f"--{name}", value)]


def test_runs_are_those_of_their_seeds(text_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    answer = ask("train", *words(input_file=text_file, out=out, rng_seed=7, seeds=3, **SMALL), "--json")
    assert answer.code == 0, answer
    told = json.loads(answer.stdout)
    alone = [
        train({"input_file": (str(text_file),), **SMALL, "rng_seed": seed}, out=str(tmp_path / f"alone-{seed}"))
        for seed in (7, 8, 9)
    ]
    nats = [run.best_val_nats_per_char for run in alone]
    assert told["seeds"] == [7, 8, 9]
    assert [run["best_val_nats_per_char"] for run in told["runs"]] == nats
    assert len(set(nats)) == 3
    middle = sum(nats) / 3
    spread = math.sqrt(sum((value - middle) ** 2 for value in nats) / 2)
    assert told["mean_val_nats_per_char"] == pytest.approx(middle, rel=1e-12)
    assert told["std_val_nats_per_char"] == pytest.approx(spread, rel=1e-9)
    assert told["mean_val_bits_per_char"] == pytest.approx(middle / math.log(2), rel=1e-12)
    assert told["std_val_bits_per_char"] == pytest.approx(spread / math.log(2), rel=1e-9)
    assert told["same_characters"]
    assert sorted(path.name for path in out.iterdir()) == ["seed-7", "seed-8", "seed-9"]
    again = ask("train", *words(input_file=text_file, out=out, rng_seed=7, seeds=3, **SMALL))
    assert "seed-7" in again.sentence
    assert "--resume" in again.sentence
    shown = ask("train", "--resume", *words(out=out, seeds=3))
    assert f"mean of 3: {middle:.4f} ± {spread:.4f} nats" in shown.stdout
    assert "compare" in shown.stdout.splitlines()[-1]


def test_resuming_goes_on_with_what_is_missing(text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flags = {"input_file": (str(text_file),), **SMALL, "dropout": 0.3}
    whole = repeat(flags, seeds=3, out=str(tmp_path / "whole"))
    step, taken = trainer.Trainer.take_step, []

    def counted(self: trainer.Trainer, check: Callable[[], None]) -> None:
        if len(taken) == 6:  # in the middle of the second run
            taken.append((0, 0))
            raise Interrupted(signal.SIGTERM)
        taken.append((self.run.config.training.rng_seed, self.run.step))
        step(self, check)

    monkeypatch.setattr(trainer.Trainer, "take_step", counted)
    with pytest.raises(Interrupted):
        repeat(flags, seeds=3, out=str(tmp_path / "cut"))
    assert [path.name for path in sorted((tmp_path / "cut").iterdir())] == ["seed-1337", "seed-1338"]
    taken[:] = [(0, 0)] * 7
    resumed = repeat({}, seeds=3, out=str(tmp_path / "cut"), resume=True)
    assert taken[7:] == [(1338, 2), (1338, 3), *((1339, i) for i in range(4))]
    figures = [[run.best_val_nats_per_char for run in runs.runs] for runs in (whole, resumed)]
    assert figures[0] == figures[1]


def test_replacing_leaves_no_other_seed(text_file: Path, tmp_path: Path) -> None:
    """It would be resumed as if it were of the same runs."""
    flags = {"input_file": (str(text_file),), **SMALL}
    repeat(flags, seeds=3, out=str(tmp_path))
    repeat({**flags, "dropout": 0.3}, seeds=2, out=str(tmp_path), overwrite=True)
    assert {path.parent.name for path in tmp_path.rglob("*.safetensors")} == {"seed-1337", "seed-1338"}


def test_what_minutes_choose_holds_for_all(text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the machine is measured otherwise the second time."""
    speeds = iter((1e6, 1e15))
    monkeypatch.setattr(plan, "measured_flops", lambda *_: next(speeds))
    flags = {"input_file": (str(text_file),), "minutes": 0.01, "val_fraction": 0.4, "counts_order": 0}
    made = repeat(flags, seeds=2, out=str(tmp_path / "o"))
    first, second = (load_state(Path(run.run_dir) / "state.safetensors").config for run in made.runs)
    assert first.model == second.model
    assert first.training.batch_size == second.training.batch_size
    assert made.same_characters


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--seeds", 0], "--seeds 0 is no number of runs"),
        (["--seeds", -2], "--seeds -2 is no number"),
        (["--seeds", "1e9"], "--seeds 1000000000 is no number"),
        (["--seeds", "1.5"], "not a whole number"),
        (["--seeds", 2, "--model_path", "x.pth"], "--model_path names a single one"),
        (["--seeds", 2, "--input_file", "-"], "can be read only once"),
        (["--seeds", 2, "--rng_seed", 2**63 - 1], "lower --rng_seed"),
        (["--seeds", 2, "--resume"], "no runs to resume"),
        (["--seeds", 2, "--resume", "--overwrite"], "give one of them"),
    ],
)
def test_a_contradiction_is_a_sentence(
    flags: list[object], said: str, text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = [] if "--input_file" in flags or "--resume" in flags else ["--input_file", text_file]
    assert said in ask("train", *text, *flags).sentence
    assert not list(tmp_path.iterdir())


def test_without_a_validation_part_there_is_no_mean(text_file: Path, tmp_path: Path) -> None:
    made = repeat({"input_file": (str(text_file),), **SMALL, "val_fraction": 0.0}, seeds=2, out=str(tmp_path / "o"))
    assert made.to_json()["mean_val_nats_per_char"] is None
    with pytest.raises(UserError, match="earlier run"):
        repeat({"input_file": (str(text_file),), **SMALL}, seeds=3, out=str(tmp_path / "o"))
