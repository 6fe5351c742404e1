"""What a teacher predicts of a text is kept: as it would say itself, of each place; in half precision; only where it fits."""

import os
import signal
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from tiny_run import FLAGS

from letterwise.checkpoint import ModelFile, save_model
from letterwise.checkpoint.text_model import text_model
from letterwise.checkpoint.training_state import load_state
from letterwise.training.distill import predictions as kept
from letterwise.training.distill import written
from letterwise.training.distill.predictions import kept_bytes, predictions
from letterwise.training.distill.teacher import Teacher
from letterwise.training.finetune.base import open_base
from letterwise.training.interruption import Interrupted
from letterwise.training.prepare import train


def teacher_of(file: ModelFile, folder: Path, ids: np.ndarray) -> Teacher:
    """Of a text that its counts have not counted."""
    save_model(folder / "teacher.safetensors", file)
    base = open_base(str(folder / "teacher.safetensors"))
    return Teacher(base, text_model(base.file), ids, None)


def alone(teacher: Teacher, first: int, place: int) -> np.ndarray:
    """What it predicts behind a place, where it has read from the `first` on, and nothing else."""
    model, length = teacher.model, place + 1 - first
    prior = model.log_prior(teacher.ids, np.array([first]), length)
    with torch.no_grad():
        ids = torch.from_numpy(teacher.ids[None, first : place + 1].astype(np.int64))
        return model.transformer(ids, log_prior=prior)[0, -1].softmax(-1).numpy()


def test_each_place_is_predicted_with_half_a_context_before_it(tiny, tmp_path: Path) -> None:
    half = FLAGS["block_size"] // 2
    ids = np.random.default_rng(0).integers(len(tiny.vocabulary), size=5 * half + 7).astype(np.uint8)
    teacher = teacher_of(tiny.file, tmp_path, ids)
    found = predictions(teacher, print)
    assert found.dtype == np.float16
    assert found.shape == (len(ids), len(tiny.vocabulary))
    for place in range(len(ids) - 1):
        expected = alone(teacher, max(0, place // half - 1) * half, place)
        assert np.allclose(found[place], expected, rtol=2e-3, atol=1e-6), place
    assert not found[-1].any()


def test_lines_are_predicted_by_themselves(tiny_lines, tmp_path: Path) -> None:
    ids = tiny_lines.vocabulary.encode("\nbake\nlo\nstastastastasta\nmi\n")
    teacher = teacher_of(tiny_lines.file, tmp_path, ids)
    found = predictions(teacher, print)
    for place in range(len(ids) - 1):
        line = int(np.flatnonzero(ids[: place + 1] == teacher.model.line_break)[-1])
        if place - line < teacher.model.block_size:  # of a longer line, the rest is cut like a text
            assert np.allclose(found[place], alone(teacher, line, place), rtol=2e-3, atol=1e-6), place


def student(teacher: str, text_file: Path, out: Path, **more: Any) -> dict[str, np.ndarray]:
    """Its weights after a few steps."""
    flags = {**FLAGS, "input_file": (str(text_file),), "dtype": "float32", "dropout": 0.0, "optimizer": "sgd", "max_iters": 6}
    train({**flags, "teacher": teacher, "written_chars": 3_000, **more}, out=str(out))
    return load_state(out / "state.safetensors").weights


def test_a_student_learns_the_same_of_what_is_kept(text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a teacher that only counts, as no window bounds what it sees; and where nothing fits, it is asked at each reading."""
    teacher = train({"preset": "counts", "input_file": (str(text_file),)}, out=str(tmp_path / "teacher")).model_path
    with_kept = student(teacher, text_file, tmp_path / "kept")
    with monkeypatch.context() as patched:
        patched.setattr(kept, "LARGEST_KEPT", 0)
        assert not kept_bytes(9, 5)
        asked_anew = student(teacher, text_file, tmp_path / "asked")
    without = student(teacher, text_file, tmp_path / "text", written_chars=0)

    def apart(other: dict[str, np.ndarray]) -> float:
        return max(float(np.abs(other[name] - with_kept[name]).max()) for name in with_kept)

    assert 0 < apart(asked_anew) < 0.1 * apart(without)


def test_a_signal_ends_it(tiny, text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written stays, and the run goes on with it: nothing is written again."""
    model_path = str(tiny.run_dir / "model.safetensors")

    def stopped(*asked: Any, **more: Any) -> NoReturn:
        os.kill(os.getpid(), signal.SIGTERM)
        more["between"]()
        raise AssertionError

    def never(*asked: Any) -> NoReturn:
        raise AssertionError("it was written")

    with monkeypatch.context() as patched:
        patched.setattr(kept, "passes", stopped)
        with pytest.raises(Interrupted, match="stopped while the teacher predicted; what it wrote is kept"):
            student(model_path, text_file, tmp_path / "o")
    undisturbed = student(model_path, text_file, tmp_path / "p")
    monkeypatch.setattr(written, "write", never)
    train({}, out=str(tmp_path / "o"), resume=True)
    weights = load_state(tmp_path / "o/state.safetensors").weights
    assert all(np.array_equal(weights[name], undisturbed[name]) for name in weights)
