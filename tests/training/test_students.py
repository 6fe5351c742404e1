"""Students of ensembles: what they may read, at which rates, and where their files go, also when these are moved."""

import signal
from pathlib import Path

import pytest
from in_process import ask
from test_members import flags_for

from letterwise.checkpoint.training_state import load_state
from letterwise.training import trainer
from letterwise.training.interruption import Interrupted
from letterwise.training.planning import plan
from letterwise.training.several.members import train_members


def test_a_student_that_has_too_little_to_read_is_refused_at_once(text_file: Path, tmp_path: Path) -> None:
    flags = ["--members", 2, "--distill", "--written_chars", 20, "--block_size", 32, "--max_iters", 1, "--out", tmp_path / "o"]
    sentence = ask("train", "--input_file", text_file, *flags).sentence
    assert "--written_chars 20 is too short for a window of 32 characters" in sentence
    assert not (tmp_path / "o").exists()


def test_a_student_has_rates_of_its_own(text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not those of members that read their text thousands of times. What was asked for holds for all."""
    monkeypatch.setattr(plan, "measured_flops", lambda *_: 1e12)
    flags = {"input_file": (str(text_file),), "minutes": 0.05, "members": 2, "distill": True, "written_chars": 10**6}
    for name, more, same in (("own", {}, False), ("asked", {"learning_rate": 0.004}, True)):
        train_members({**flags, **more}, out=str(tmp_path / name))
        first, student = (load_state(tmp_path / name / run / "state.safetensors").config for run in ("member-1", "student"))
        assert (first.training.learning_rate == student.training.learning_rate) is same
        assert first.training.matrix_learning_rate < student.training.matrix_learning_rate


def test_resumed_elsewhere_its_file_goes_where_it_was_to_be(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a student knows its teacher where both have been moved."""

    def stopped(*_: object) -> None:
        raise Interrupted(signal.SIGTERM)

    flags = flags_for(text_file, members=2, distill=True)
    with monkeypatch.context() as patched:
        patched.setattr(trainer.Trainer, "take_step", stopped)
        with pytest.raises(Interrupted):
            train_members(flags, out=str(tmp_path / "a"), model_path=str(tmp_path / "x.pth"))
    (tmp_path / "moved").mkdir()
    for name in ("a", "x.pth"):
        if (tmp_path / name).exists():
            (tmp_path / name).rename(tmp_path / "moved" / name)
    made = train_members({}, out=str(tmp_path / "moved/a"), resume=True)
    assert made.model_path == str(tmp_path / "moved/x.pth")
    assert (tmp_path / "moved/x.pth").exists()
    (tmp_path / "moved").rename(tmp_path / "again")
    again = train_members({}, out=str(tmp_path / "again/a"), resume=True)
    assert again.model_path == str(tmp_path / "again/x.pth")
    assert again.student


def test_a_student_does_not_replace_its_ensemble(text_file: Path, tmp_path: Path) -> None:
    place = tmp_path / "o/ensemble.safetensors"
    flags = ["--members", 2, "--distill", "--max_iters", 1, "--out", tmp_path / "o", "--model_path", place]
    assert "is the ensemble's own file beside its student" in ask("train", "--input_file", text_file, *flags).sentence
    assert not (tmp_path / "o").exists()
