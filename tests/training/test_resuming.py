"""Resuming: interrupted and resumed is never stopped; what is damaged has a substitute, and what is not is left alone."""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from training.steps import Listener, flags, same_state, without_clocks

from letterwise.checkpoint import load_model
from letterwise.checkpoint.container import CHECKSUM, pack, unpack
from letterwise.checkpoint.training_state import load_state
from letterwise.errors import UserError
from letterwise.training import prepare
from letterwise.training.prepare import train


@pytest.fixture(scope="module")
def whole(text_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run that nothing happened to."""
    out = tmp_path_factory.mktemp("whole") / "o"
    train(flags(text_file, save_interval="20"), out=str(out))
    return out


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    """The same directory, to hurt."""
    return Path(shutil.copytree(whole, tmp_path / "run"))


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
    prepare_run, short = prepare.prepare_run, flags(text_file, max_iters=4, eval_interval=2)

    def slowly(*arguments):
        prepared = prepare_run(*arguments)
        monkeypatch.setattr(prepare, "prepare_run", prepare_run)
        train(short, out=str(tmp_path / "o"))
        return prepared

    monkeypatch.setattr(prepare, "prepare_run", slowly)
    with pytest.raises(UserError, match="is there from an earlier run"):
        train(short, out=str(tmp_path / "o"))
    assert load_model(tmp_path / "o/model.safetensors")


def test_resuming_a_finished_run_changes_nothing_and_extending_goes_on(whole: Path, run: Path) -> None:
    again = train({}, out=str(run), resume=True)
    best = min(row["val_nats_per_char"] for row in load_state(whole / "state.safetensors").rows)
    assert (again.iters, again.best_val_nats_per_char) == (60, best)
    same_state(whole, run)
    assert train({"max_iters": 65}, out=str(run), resume=True).iters == 65


@pytest.mark.parametrize(("change", "words"), [({"n_layer": 3}, "n_layer=2, not 3"), ({"preset": "gpt2"}, "preset='fast'")])
def test_resuming_with_another_model_is_refused(whole: Path, change: dict, words: str) -> None:
    with pytest.raises(UserError, match=words):
        train(change, out=str(whole), resume=True)


def test_resuming_on_a_changed_text_is_refused_with_both_fingerprints(tmp_path: Path, text_file: Path) -> None:
    text = tmp_path / "t.txt"
    text.write_text(text_file.read_text())
    train(flags(text, max_iters=4), out=str(tmp_path / "o"))
    text.write_text(text_file.read_text() + "More.")
    with pytest.raises(UserError, match=r"fingerprint [0-9a-f]{12}, now [0-9a-f]{12}"):
        train({}, out=str(tmp_path / "o"), resume=True)


def test_a_run_directory_can_be_moved(text_file: Path, tmp_path: Path) -> None:
    train(flags(text_file, max_iters=4), model_path=str(tmp_path / "here/m.pth"))
    (tmp_path / "here").rename(tmp_path / "there")
    result = train({"max_iters": 6}, out=str(tmp_path / "there/m"), resume=True)
    assert Path(result.model_path) == tmp_path / "there/m.pth"
    assert load_model(tmp_path / "there/m.pth").history[-1]["step"] <= 6


@pytest.mark.parametrize("damage", ["cut", "one bit", "gone"])
def test_where_the_newest_state_is_damaged_the_one_before_takes_its_place(whole: Path, run: Path, damage: str) -> None:
    state = run / "state.safetensors"
    content = bytearray(state.read_bytes())
    content[-1] ^= 1
    if damage == "gone":
        state.unlink()
    else:
        state.write_bytes(content if damage == "one bit" else content[:1000])
    listener = Listener()
    train({}, out=str(run), resume=True, progress=listener)
    assert re.search(
        r"(damaged|not complete).* The one before it takes its place, of step (50|60)\.", "\n".join(listener.notes)
    )
    same_state(whole, run)
    for path in run.glob("state*"):
        path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"neither it nor the one before it, .* is whole"):
        train({}, out=str(run), resume=True)


@pytest.mark.parametrize(
    "trouble", ["a newer version", "a newer checksum", "a knob of tomorrow", "unreadable", "a pipe", "a link to nowhere"]
)
def test_a_state_that_is_not_damaged_is_never_replaced(
    run: Path, tmp_path: Path, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = run / "state.safetensors"
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
        states = sorted(run.glob("state*"), key=str)
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
        train({}, out=str(run), resume=True)
    assert kept() == before


def test_a_model_file_that_is_gone_is_written_again_from_the_state(run: Path) -> None:
    held = {path: path.read_bytes() for path in run.glob("m*")}
    assert len(held) == 2  # model.safetensors, metrics.jsonl
    for path in held:
        path.write_bytes(b"")
    train({}, out=str(run), resume=True)
    assert {path: path.read_bytes() for path in held} == held
