"""What a teacher predicts of a text is kept: as it would say itself, of each place; in half precision; only where it fits."""

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_run import FLAGS

from letterwise.checkpoint import ModelFile, load_model, save_model
from letterwise.checkpoint.text_model import text_model
from letterwise.checkpoint.training_state import load_state
from letterwise.config import RuntimeConfig
from letterwise.runtime.device import Runtime, find_runtime
from letterwise.training.distill import predictions as kept
from letterwise.training.distill.predictions import fits, predictions
from letterwise.training.distill.teacher import Teacher
from letterwise.training.finetune.base import open_base
from letterwise.training.interruption import Interrupted
from letterwise.training.prepare import train


def runtime() -> Runtime:
    """In float32, so that two ways to compute the same agree."""
    return find_runtime(RuntimeConfig(device="cpu", dtype="float32"))


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
    found = predictions(teacher, runtime(), print)
    assert found.dtype == np.float16
    assert found.shape == (len(ids), len(tiny.vocabulary))
    for place in range(len(ids) - 1):
        expected = alone(teacher, max(0, place // half - 1) * half, place)
        assert np.allclose(found[place], expected, rtol=2e-3, atol=1e-6), place
    assert not found[-1].any()


def test_lines_are_predicted_by_themselves(tiny_lines, tmp_path: Path) -> None:
    ids = tiny_lines.vocabulary.encode("\nbake\nlo\nstastastastasta\nmi\n")
    teacher = teacher_of(tiny_lines.file, tmp_path, ids)
    found = predictions(teacher, runtime(), print)
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
        patched.setattr(kept, "MOST_BYTES", 0)
        assert not fits(teacher_of(load_model(teacher), tmp_path, np.zeros(9, np.uint8)))
        asked_anew = student(teacher, text_file, tmp_path / "asked")
    without = student(teacher, text_file, tmp_path / "text", written_chars=0)

    def apart(other: dict[str, np.ndarray]) -> float:
        return max(float(np.abs(other[name] - with_kept[name]).max()) for name in with_kept)

    assert 0 < apart(asked_anew) < 0.1 * apart(without)


def test_a_signal_ends_it(tiny, text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written stays, and the run goes on with it."""
    model_path, asked = str(tiny.run_dir / "model.safetensors"), Teacher.probabilities

    def stopped(teacher: Teacher, *inputs: Any) -> torch.Tensor:
        os.kill(os.getpid(), signal.SIGTERM)
        return asked(teacher, *inputs)

    with monkeypatch.context() as patched:
        patched.setattr(Teacher, "probabilities", stopped)
        with pytest.raises(Interrupted, match="stopped while the teacher predicted; what it wrote is kept"):
            student(model_path, text_file, tmp_path / "o")
    written = (tmp_path / "o/written.npy").read_bytes()
    assert not (tmp_path / "o/state.safetensors").exists()
    student(model_path, text_file, tmp_path / "o")
    assert (tmp_path / "o/written.npy").read_bytes() == written
