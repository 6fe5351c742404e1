"""What ensembles and repeated runs leave on disk: nothing where they are refused, and of others' files nothing is touched."""

import signal
from pathlib import Path

import pytest
from in_process import ask
from training.test_members import flags_for, weights_of

from letterwise.errors import Terminated, UserError
from letterwise.training import prepare
from letterwise.training.distill import written
from letterwise.training.interruption import Interrupted
from letterwise.training.several.members import train_members
from letterwise.training.several.repeats import repeat

TWO = dict(members=2, distill=False, max_iters=2, eval_interval=2)


def test_replacing_leaves_what_only_looks_like_a_member(text_file: Path, tmp_path: Path) -> None:
    home, flags = tmp_path / "o", flags_for(text_file, **TWO)
    train_members(flags, out=str(home))
    for name in ("member-1-good", "member-02", "member-"):
        (home / name).mkdir()
        (home / name / "model.safetensors").write_bytes(b"mine")
    (home / "member-notes.txt").write_text("mine")
    (home / "member-3").write_text("no folder")
    train_members({**flags, "rng_seed": 5}, out=str(home), overwrite=True)
    assert all(
        (home / name / "model.safetensors").read_bytes() == b"mine" for name in ("member-1-good", "member-02", "member-")
    )
    assert (home / "member-notes.txt").read_text() == "mine"


def test_replacing_leaves_what_only_looks_like_a_seed(text_file: Path, tmp_path: Path) -> None:
    flags = {name: value for name, value in flags_for(text_file, **TWO).items() if name not in ("members", "distill")}
    repeat(flags, seeds=1, out=str(tmp_path))
    (tmp_path / "seed-old").mkdir()
    (tmp_path / "seed-old/model.safetensors").write_bytes(b"mine")
    (tmp_path / "seed-notes.txt").write_text("mine")
    repeat(flags, seeds=1, out=str(tmp_path), overwrite=True)
    assert (tmp_path / "seed-old/model.safetensors").read_bytes() == b"mine"


def test_one_that_is_refused_changes_nothing(text_file: Path, tmp_path: Path) -> None:
    """Neither in the place of its model, nor in an earlier ensemble, which still knows where its own model is."""
    missing = ("--input_file", tmp_path / "none.txt", "--members", 2, "--max_iters", 2)
    assert "none.txt" in ask("train", *missing, "--model_path", tmp_path / "new/m.safetensors").sentence
    assert not list(tmp_path.iterdir())
    place = tmp_path / "m.safetensors"
    made = train_members(flags_for(text_file, **TWO), out=str(tmp_path / "o"), model_path=str(place))
    assert "none.txt" in ask("train", *missing, "--out", tmp_path / "o", "--overwrite").sentence
    place.unlink()
    assert train_members({}, out=str(tmp_path / "o"), resume=True).model_path == made.model_path
    assert place.exists()


def test_a_single_run_in_the_place_of_an_ensemble_goes_on(text_file: Path, tmp_path: Path) -> None:
    """The ensemble's model was elsewhere, and is no part of it."""
    flags, out = flags_for(text_file, **TWO), tmp_path / "o"
    train_members(flags, out=str(out), model_path=str(tmp_path / "elsewhere/m.safetensors"))
    single = [
        word
        for name, value in flags.items()
        if name not in ("members", "distill", "input_file")
        for word in (f"--{name}", value)
    ]
    assert ask("train", "--input_file", text_file, *single, "--out", out, "--overwrite").code == 0
    resumed = ask("train", "--resume", "--out", out, "--max_iters", 4)
    assert resumed.code == 0, resumed


@pytest.mark.parametrize("several", ["--members", "--seeds"])
def test_a_name_that_is_too_long_is_a_sentence(several: str, text_file: Path) -> None:
    answer = ask("train", "--input_file", text_file, "--max_iters", 2, several, 2, "--out", "a" * 300)
    assert "Choose another --out" in answer.sentence


def test_a_signal_while_a_later_member_counts_says_what_is_saved(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, made = [], prepare.prepare_run

    def counting(*asked: object, **more: object) -> prepare.Run:
        runs.append(None)
        if len(runs) == 2:
            raise Terminated(signal.SIGTERM)
        return made(*asked, **more)

    monkeypatch.setattr(prepare, "prepare_run", counting)
    with pytest.raises(Interrupted, match="all that was trained is saved") as stopped:
        train_members(flags_for(text_file, **TWO), out=str(tmp_path / "o"))
    assert stopped.value.signal_number == signal.SIGTERM
    runs[:] = [None]
    with pytest.raises(Terminated):  # nothing was saved, and nothing is to be said
        train_members(flags_for(text_file, **TWO), out=str(tmp_path / "p"))


def test_a_student_that_is_finished_is_only_read_again(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = str(tmp_path / "o")
    made = train_members(flags_for(text_file, **{**TWO, "distill": True}), out=out)
    monkeypatch.setattr(written, "predictions", None)
    again = train_members({}, out=out, resume=True)
    assert weights_of(again.model_path) == weights_of(made.model_path)


def test_how_much_is_kept_back_may_be_asked_for_with_a_student(text_file: Path) -> None:
    asked = ("--input_file", text_file, "--distill", "--tuning_fraction", 0.05, "--minutes", 1)
    assert ask("plan", *asked).code == 0
    assert "is for an ensemble" in ask("train", "--input_file", text_file, "--tuning_fraction", 0.05).sentence


def test_a_wrong_place_from_python_is_a_user_error(text_file: Path, tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("a file")
    with pytest.raises(UserError, match=r"file\.txt"):
        train_members(flags_for(text_file, **TWO), out=str(tmp_path / "file.txt"))
    assert (tmp_path / "file.txt").read_text() == "a file"
