"""Trackers hold the rows of metrics.jsonl, each once, by their own libraries' reading; and a run goes on without them."""

import json
import struct
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from in_process import refused
from steps import Listener, flags, same_state

from letterwise.distributed.world import World
from letterwise.errors import UserError
from letterwise.training import prepare
from letterwise.training.interruption import Interrupted
from letterwise.training.metrics import tracking
from letterwise.training.metrics.rows import END, Row, parsed
from letterwise.training.metrics.tracking import TrackedRun, Tracker, figures
from letterwise.training.prepare import train

SMALL = dict(
    n_layer=1, n_embd=16, n_head=2, block_size=16, batch_size=2, max_iters=12, eval_interval=4, warmup_iters=1, counts_order=0,
    save_interval="1",
)  # fmt: skip


class Remembering(Tracker):
    """What it was told, by run."""

    runs: ClassVar[dict[str, list[Row]]] = defaultdict(list)
    closed: ClassVar[list[bool]] = []

    def __init__(self, run: TrackedRun) -> None:
        self.rows, self.config = self.runs[run.run_id], run.config
        assert run.known == bool(self.rows)
        assert json.dumps(run.config)

    def write(self, rows: list[Row]) -> None:
        self.rows += rows

    def close(self, *, finished: bool) -> None:
        self.closed.append(finished)


class Failing(Remembering):
    """Takes no second helping."""

    def write(self, rows: list[Row]) -> None:
        if self.rows:
            raise OSError(28, "No space left on device")
        super().write(rows)


@pytest.fixture
def remembering(monkeypatch: pytest.MonkeyPatch) -> type[Remembering]:
    known = {"good": Remembering, "bad": Failing}
    for where in (tracking, prepare):
        monkeypatch.setattr(where, "tracker_class", known.__getitem__)
    monkeypatch.setattr(Remembering, "runs", defaultdict(list))
    monkeypatch.setattr(Remembering, "closed", [])
    return Remembering


def small(text_file: Path, *trackers: str, **more: Any) -> dict[str, Any]:
    return flags(text_file, **{**SMALL, "tracker": trackers, **more})


def rows_of(run: Path) -> list[Row]:
    """Those of its metrics.jsonl, but for the one that says that it has ended."""
    return [row for row in parsed((run / "metrics.jsonl").read_bytes()) if row.get("kind") != END]


def stopped_and_resumed(wanted: dict[str, Any], run: Path) -> None:
    """A run that is interrupted, and goes on."""
    with pytest.raises(Interrupted):
        train(wanted, out=str(run), progress=Listener(stop_at=5), started=None)
    train({}, out=str(run), resume=True)


@pytest.fixture
def watched_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("letterwise.training.trainer.PROGRESS_STEPS", 1)
    monkeypatch.setattr("letterwise.training.metrics.record.READ_S", 0.0)


def test_a_tracker_has_every_row_once(text_file: Path, tmp_path: Path, remembering: type, watched_steps: None) -> None:
    stopped_and_resumed(small(text_file, "good"), tmp_path / "o")
    (rows,) = remembering.runs.values()
    assert rows == rows_of(tmp_path / "o")
    assert [row["step"] for row in rows if row.get("kind") == "training"] == list(range(1, 13))
    assert remembering.closed == [False, True]


def test_rows_of_steps_that_are_taken_again_are_not_sent_again(text_file: Path, tmp_path: Path, remembering: type) -> None:
    """As after SIGKILL, the state is older than what the tracker has."""
    out = tmp_path / "o"
    train(small(text_file, "good", max_iters=8), out=str(out))
    older = (out / "state.safetensors").read_bytes()
    train({"max_iters": 12}, out=str(out), resume=True)
    (out / "state.safetensors").write_bytes(older)
    train({"max_iters": 12}, out=str(out), resume=True)
    (rows,) = remembering.runs.values()
    steps = [(row["step"], row.get("kind")) for row in rows]
    assert sorted(set(steps), key=steps.index) == steps
    assert steps == [(row["step"], row.get("kind")) for row in rows_of(out)]


def test_a_run_goes_on_without_a_tracker_that_fails(
    text_file: Path, tmp_path: Path, remembering: type, watched_steps: None
) -> None:
    heard = Listener()
    train(small(text_file), out=str(tmp_path / "alone"))
    train(small(text_file, "bad", "good"), out=str(tmp_path / "o"), progress=heard)
    same_state(tmp_path / "alone", tmp_path / "o")
    assert len([note for note in heard.notes if "No space left on device" in note]) == 1
    (rows,) = remembering.runs.values()  # of both: a run has one name for all trackers
    assert [row for row in rows_of(tmp_path / "o") if row not in rows] == []


def test_what_a_tracker_missed_comes_when_the_run_goes_on(
    text_file: Path, tmp_path: Path, remembering: type, monkeypatch: pytest.MonkeyPatch, watched_steps: None
) -> None:
    train(small(text_file, "bad", max_iters=8), out=str(tmp_path / "o"))
    (rows,) = remembering.runs.values()
    assert len(rows) < len(rows_of(tmp_path / "o"))
    monkeypatch.setattr(Failing, "write", Remembering.write)
    train({"max_iters": 12}, out=str(tmp_path / "o"), resume=True)
    assert rows == rows_of(tmp_path / "o")


def test_a_new_run_in_the_same_place_is_another_to_a_tracker(text_file: Path, tmp_path: Path, remembering: type) -> None:
    for _ in range(2):
        train(small(text_file, "good"), out=str(tmp_path / "o"), overwrite=True)
    one, other = remembering.runs.values()
    assert [row["step"] for row in one] == [row["step"] for row in other]


def test_only_the_first_process_tracks(text_file: Path, tmp_path: Path, remembering: type, monkeypatch) -> None:
    kept = {}
    monkeypatch.setattr(prepare, "prepare_run", lambda *a, f=prepare.prepare_run, **k: kept.setdefault("run", f(*a, **k)))
    train(small(text_file, "good", max_iters=2), out=str(tmp_path / "o"))
    run, before = kept["run"], len(remembering.runs)
    for rank, trackers in ((0, 1), (1, 0)):
        run.world = World(rank, 2)
        with prepare.trackers_of(run, lambda text: None, resumed=False) as told:
            assert len(told.feeds) == trackers
    assert len(remembering.runs) == before + 1


def test_what_cannot_be_tracked_is_refused_before_anything_is_written(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["train", "--input_file", text_file, "--out", tmp_path / "o", "--tracker"]
    assert refused(*words, "tensorbord") == "there is no tracker 'tensorbord': did you mean 'tensorboard'?"
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.delitem(sys.modules, "letterwise.training.metrics.trackers.wandb", raising=False)
    assert "pip install 'letterwise[wandb]'" in refused(*words, "wandb")
    assert not (tmp_path / "o").exists()


def test_a_tracker_that_cannot_begin_stops_a_new_run_and_no_resumed_one(
    text_file: Path, tmp_path: Path, remembering: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Tracker, run: TrackedRun) -> None:
        raise ConnectionError("no such host")

    train(small(text_file, max_iters=4), out=str(tmp_path / "o"))
    before, heard = (tmp_path / "o/metrics.jsonl").read_bytes(), Listener()
    monkeypatch.setattr(Failing, "__init__", refuse)
    with pytest.raises(UserError, match=r"bad fails: no such host\. Set it up"):
        train(small(text_file, "bad"), out=str(tmp_path / "o"), overwrite=True)
    assert (tmp_path / "o/metrics.jsonl").read_bytes() == before
    train({"max_iters": 8, "tracker": ("bad",)}, out=str(tmp_path / "o"), resume=True, progress=heard)
    assert any("bad fails: no such host. The run goes on" in note for note in heard.notes)
    assert rows_of(tmp_path / "o")[-1]["step"] == 8


def all_figures(run: Path) -> dict[str, list[tuple[int, float]]]:
    """Of every row, by name: (step, value), as metrics.jsonl has them."""
    found = defaultdict(list)
    for row in rows_of(run):
        for name, value in figures(row).items():
            found[name].append((row["step"], value))
    return dict(found)


def samples(run: Path) -> list[tuple[int, str]]:
    return [(row["step"], row["sample"]) for row in rows_of(run) if row.get("sample")]


def test_tensorboard_reads_every_row(text_file: Path, tmp_path: Path, watched_steps: None) -> None:
    loading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="tensorboard is an extra")
    run = tmp_path / "o"
    stopped_and_resumed(small(text_file, "tensorboard"), run)
    events = loading.EventAccumulator(str(run / "tensorboard"), size_guidance={loading.TENSORS: 0})
    events.Reload()
    texts = {tag for tag in events.Tags()["tensors"] if tag.endswith("text_summary")}
    read = {
        tag: [(event.step, float(event.tensor_proto.float_val[0])) for event in events.Tensors(tag)]
        for tag in events.Tags()["tensors"]
        if tag not in texts
    }
    assert read == {name: [(step, pytest.approx(value)) for step, value in each] for name, each in all_figures(run).items()}
    said = {tag: [(e.step, e.tensor_proto.string_val[0].decode()) for e in events.Tensors(tag)] for tag in texts}
    unindented = [(step, "\n".join(line[4:] for line in text.split("\n"))) for step, text in said["sample/text_summary"]]
    assert unindented == samples(run)
    ((_, config),) = said["config/text_summary"]
    assert json.loads(config)["n_embd"] == 16


def wandb_records(file: bytes) -> Iterator[bytes]:
    """Of an offline run: LevelDB's log format, after a header of 7 bytes that counts as part of the first block."""
    at, block, piece = 7, 2**15, b""
    while at < len(file):
        if block - at % block < 7:  # the rest of a block has no room for a header
            at += block - at % block
            continue
        if at + 7 > len(file):  # half written
            return
        _, length, part = struct.unpack_from("<IHB", file, at)
        if at + 7 + length > len(file):
            return
        piece += file[at + 7 : at + 7 + length]
        at += 7 + length
        if part in (1, 4):  # whole, or the last part
            yield piece
            piece = b""


def test_wandb_holds_every_row(text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watched_steps: None) -> None:
    pytest.importorskip("wandb", reason="wandb is an extra that dev goes without")
    from wandb.proto.wandb_internal_pb2 import Record

    monkeypatch.setenv("WANDB_MODE", "offline")
    run = tmp_path / "o"
    stopped_and_resumed(small(text_file, "wandb"), run)
    found, ids, configs = defaultdict(list), set(), []
    for path in sorted(run.glob("wandb/offline-run-*/*.wandb")):
        records = list(wandb_records(path.read_bytes()))
        while not (records and Record.FromString(records[-1]).HasField("exit")):  # wandb's own process is still writing
            time.sleep(0.1)
            records = list(wandb_records(path.read_bytes()))
        for content in records:
            record = Record.FromString(content)
            if record.HasField("run"):
                ids.add(record.run.run_id)
                configs += [item.key for item in record.run.config.update]
            if record.HasField("history"):
                row = {(item.key or "/".join(item.nested_key)): json.loads(item.value_json) for item in record.history.item}
                for name in row.keys() - {"step"}:
                    found[name].append((row["step"], row[name]))
    assert len(ids) == 1
    assert "n_embd" in configs
    assert found.pop("sample") == samples(run)
    assert {name: each for name, each in found.items() if not name.startswith("_")} == all_figures(run)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of its own
def test_mlflow_holds_every_row(text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watched_steps: None) -> None:
    mlflow = pytest.importorskip("mlflow", reason="mlflow is an extra that dev goes without")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "o"
    stopped_and_resumed(small(text_file, "mlflow"), run)
    client = mlflow.MlflowClient()
    (told,) = client.search_runs([client.get_experiment_by_name("letterwise").experiment_id])
    assert told.info.status == "FINISHED"
    assert told.data.params["n_embd"] == "16"
    read = {
        name: [(metric.step, metric.value) for metric in client.get_metric_history(told.info.run_id, name)]
        for name in told.data.metrics
    }
    assert read == all_figures(run)
    files = {file.path for file in client.list_artifacts(told.info.run_id, "samples")}
    assert files == {f"samples/step-{step}.txt" for step, _ in samples(run)}
