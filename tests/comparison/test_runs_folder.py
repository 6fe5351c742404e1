"""A folder of runs: what each is now, the rows that come, and nothing from outside the folder."""

import json
import os
import shutil
from pathlib import Path

import pytest

from letterwise.checkpoint.training_state import load_state
from letterwise.comparison import runs_folder
from letterwise.comparison.runs_folder import list_runs, read_rows
from letterwise.errors import UserError
from letterwise.training.run_directory import RunDirectory
from letterwise.units import bits, nats


@pytest.fixture
def runs(tiny, tmp_path: Path) -> Path:
    """A folder with two copies of a run, one of them a repeat."""
    for name in ("poems-fast", "poems-classic/seed-7"):
        shutil.copytree(tiny.run_dir, tmp_path / "out" / name)
    (tmp_path / "out/empty").mkdir()
    (tmp_path / "out/notes.txt").write_text("no run")
    return tmp_path / "out"


def test_a_run_is_described_by_its_own_files(runs: Path, tiny) -> None:
    os.utime(runs / "poems-fast/metrics.jsonl", (2e9, 2e9))
    first, second = list_runs(runs)
    assert (first.name, second.name) == ("poems-fast", "poems-classic/seed-7")
    state = load_state(runs / "poems-fast/state.safetensors")
    assert (first.preset, first.size, first.text) == ("fast", "nano", "animals.txt")
    assert first.params == sum(weight.size for weight in state.weights.values())
    assert (first.step, first.max_iters, first.minutes) == (80, 80, 0.0)
    assert first.best_nats == min(row["val_nats_per_char"] for row in state.rows)
    assert first.model_path == runs / "poems-fast/model.safetensors"
    told = first.to_json()
    assert told["best_bits"] == bits(first.best_nats)
    assert first.counting_nats == pytest.approx(nats(tiny.data["baselines"]["counting alone"]))
    assert first.counts is (tiny.config.model.counts_order > 0)
    assert str(runs) not in json.dumps(told)
    os.remove(runs / "poems-fast/state.safetensors")
    os.remove(runs / "poems-fast/state.previous.safetensors")
    (again,) = [run for run in list_runs(runs) if run.name == "poems-fast"]
    assert (again.params, again.preset, again.step) == (first.params, "fast", 80)


def test_an_ensembles_runs_are_listed_under_its_name(tiny, tmp_path: Path) -> None:
    for name in ("member-1", "member-2", "student"):
        shutil.copytree(tiny.run_dir, tmp_path / "poems" / name)
    shutil.copy(tiny.run_dir / "model.safetensors", tmp_path / "poems")
    assert {run.name for run in list_runs(tmp_path)} == {"poems/member-1", "poems/member-2", "poems/student"}


def test_training_is_said_only_while_a_process_holds_the_lock(runs: Path) -> None:
    directory = RunDirectory(runs / "poems-fast", runs / "poems-fast/model.safetensors")
    with directory.locked():
        assert [run.state for run in list_runs(runs) if run.name == "poems-fast"] == ["training"]
    assert [run.state for run in list_runs(runs) if run.name == "poems-fast"] != ["training"]
    os.remove(directory.lock)
    list_runs(runs)
    assert not directory.lock.exists()
    with directory.locked(), pytest.raises(UserError, match="another process trains"), directory.locked():
        pass


def test_rows_come_as_they_are_written(runs: Path) -> None:
    metrics = runs / "poems-fast/metrics.jsonl"
    known = read_rows(runs, "poems-fast")
    assert known.first == 0
    assert known.rows == [json.loads(line) for line in metrics.read_text().splitlines()]
    new = {"kind": "training", "step": 81, "loss": 1.5}
    with metrics.open("a") as file:
        file.write(json.dumps(new)[:10])
    assert read_rows(runs, "poems-fast", len(known.rows)).rows == []
    with metrics.open("a") as file:
        file.write(json.dumps(new)[10:] + "\n")
    came = read_rows(runs, "poems-fast", len(known.rows))
    assert (came.first, came.rows) == (len(known.rows), [new])
    metrics.write_text(json.dumps(new) + "\n")  # it went back
    assert read_rows(runs, "poems-fast", len(known.rows)) == read_rows(runs, "poems-fast")


def test_what_is_remembered_of_a_growing_file_does_not_grow_with_it(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs_folder, "_kept", {})
    reads = []
    real = runs_folder.parsed
    monkeypatch.setattr(runs_folder, "parsed", lambda content: reads.append(len(content)) or real(content))
    for step in range(81, 91):
        with (runs / "poems-fast/metrics.jsonl").open("a") as file:
            file.write(json.dumps({"kind": "training", "step": step}) + "\n")
        assert read_rows(runs, "poems-fast").rows[-1]["step"] == step
        read_rows(runs, "poems-fast")
    assert len(reads) == 10
    assert len(runs_folder._kept) == 1


@pytest.mark.parametrize(
    "line",
    ["", "no JSON", "[1]", '{"step": "NaN"}', '{"step": 1, "sample": ["a"]}', "[" * 100_000, '{"step": ' + "9" * 5000 + "}"],
)
def test_what_is_no_row_is_left_out(runs: Path, line: str) -> None:
    rows = read_rows(runs, "poems-fast").rows
    with (runs / "poems-fast/metrics.jsonl").open("a") as file:
        file.write(line + '\n\xff\n{"kind": "training", "step": 90, "loss": NaN, "seconds": 1e999}\n')
    came = read_rows(runs, "poems-fast").rows
    assert came == [*rows, {"kind": "training", "step": 90, "loss": None, "seconds": None}]
    json.dumps([run.to_json() for run in list_runs(runs)], allow_nan=False)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../secret", "/etc", "poems-fast/../poems-fast", "none", "a\0b", "linked", "x" * 5000]
)
def test_no_name_and_no_link_leads_out_of_the_folder(runs: Path, name: str, tiny) -> None:
    shutil.copytree(tiny.run_dir, runs.parent / "secret")
    (runs / "linked").symlink_to(runs.parent / "secret")
    with pytest.raises(UserError, match="no run"):
        read_rows(runs, name)
    for file in ("metrics.jsonl", "model.safetensors"):
        os.remove(runs / "poems-fast" / file)
        (runs / "poems-fast" / file).symlink_to(runs.parent / "secret" / file)
    assert read_rows(runs, "poems-fast").rows == []
    (run,) = [run for run in list_runs(runs) if run.name == "poems-fast"]
    assert (run.model_path, run.rows) == (None, 0)
    assert not [run for run in list_runs(runs) if run.name not in ("poems-fast", "poems-classic/seed-7")]


def test_what_is_damaged_or_gone_is_no_traceback(runs: Path) -> None:
    (runs / "poems-fast/state.safetensors").write_bytes(b"\xff" * 100)
    (runs / "poems-fast/model.safetensors").write_bytes(b"")
    os.remove(runs / "poems-fast/metrics.jsonl")
    os.mkfifo(runs / "poems-fast/metrics.jsonl")
    (run,) = [run for run in list_runs(runs) if run.name == "poems-fast"]
    assert (run.params, run.preset, run.rows, run.best_nats) == (None, None, 0, None)
    assert list_runs(runs / "nowhere") == []
