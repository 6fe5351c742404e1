"""What a teacher writes: drawn from its own predictions, the same after a stop, and all that its student learns from."""

import math
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from faults.test_faults import StopAt
from tiny_run import FLAGS, LINE_FLAGS

from letterwise.checkpoint import save_model
from letterwise.checkpoint.text_model import text_model
from letterwise.checkpoint.training_state import load_state
from letterwise.errors import UserError
from letterwise.inference.engine import Engine
from letterwise.training.distill import written
from letterwise.training.finetune.base import open_base
from letterwise.training.interruption import Interrupted
from letterwise.training.prepare import train

CHARS = 6_000


@pytest.fixture(scope="module")
def counts(text_file: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A teacher that counts, and nothing else."""
    out = tmp_path_factory.mktemp("teacher") / "counts"
    return train({"preset": "counts", "input_file": (str(text_file),)}, out=str(out)).model_path


def flags_for(text_file: Path, counts: str, **more: Any) -> dict[str, Any]:
    """Of a student."""
    return {**FLAGS, "input_file": (str(text_file),), "teacher": counts, "written_chars": CHARS, "max_iters": 6, **more}


def test_it_is_drawn_from_what_the_teacher_predicts(counts: str, text_file: Path, tmp_path: Path) -> None:
    """So its mean surprise is the mean entropy of these predictions. At another temperature it would be less, or more."""
    train(flags_for(text_file, counts, max_iters=1), out=str(tmp_path / "o"))
    base = open_base(counts)
    model = text_model(base.file)
    ids = written.read(tmp_path / "o/written.npy", len(base.file.vocabulary))
    rows = CHARS // (written.CONTEXTS * FLAGS["block_size"])
    each, begun = len(ids) // rows, 16  # characters of a text, of which the first follow nothing, and not the text before
    assert each == math.ceil(CHARS / rows)
    texts = torch.from_numpy(ids.astype(np.int64)).view(rows, each)[:, : model.block_size + 1]
    prior = model.log_prior(ids, np.arange(rows) * each, model.block_size)
    with torch.no_grad():
        log_probs = model.transformer(texts[:, :-1], log_prior=prior).log_softmax(-1)[:, begun:]
    surprise = -log_probs.gather(-1, texts[:, 1 + begun :, None])[..., 0]
    entropy = -(log_probs.exp() * log_probs).sum(-1)
    away = surprise - entropy
    assert abs(float(away.mean())) < 5 * float(away.std()) / math.sqrt(away.numel())
    assert float(surprise.mean()) < math.log(len(base.file.vocabulary)) / 1.5  # no noise


def test_a_stop_changes_nothing(counts: str, text_file: Path, tmp_path: Path) -> None:
    """Nor does the loss of what was written: it is written again."""
    flags = flags_for(text_file, counts, max_iters=14)
    train(flags, out=str(tmp_path / "one"))
    with pytest.raises(Interrupted):
        train(flags, out=str(tmp_path / "two"), progress=StopAt(10))
    (tmp_path / "two/written.npy").unlink()
    train({}, out=str(tmp_path / "two"), resume=True)
    one, two = (load_state(tmp_path / name / "state.safetensors") for name in ("one", "two"))
    assert all(np.array_equal(one.weights[name], two.weights[name]) for name in one.weights)
    assert (tmp_path / "one/written.npy").read_bytes() == (tmp_path / "two/written.npy").read_bytes()


def test_its_student_learns_nothing_else(counts: str, text_file: Path, tmp_path: Path) -> None:
    """With another text of the same characters it has other weights only where it learned from the text."""
    flags = flags_for(text_file, counts, counts_order=0)
    backwards = tmp_path / "backwards.txt"
    backwards.write_text(text_file.read_text()[::-1])
    for name, text in (("one", text_file), ("two", backwards)):
        train({**flags, "input_file": (str(text),)}, out=str(tmp_path / name))
        train({**flags, "input_file": (str(text),), "written_chars": 0}, out=str(tmp_path / f"{name}-text"))
    names = ("one", "two", "one-text", "two-text")
    one, two, one_text, two_text = (load_state(tmp_path / name / "state.safetensors").weights for name in names)
    assert all(np.array_equal(one[name], two[name]) for name in one)
    assert not all(np.array_equal(one_text[name], two_text[name]) for name in one_text)


def test_minutes_end_the_writing(counts: str, text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And there is enough to learn from all the same."""
    monkeypatch.setattr(written, "SHARE", 1e-6)
    flags = flags_for(text_file, counts, minutes=0.02, written_chars=10**8)
    made = train({name: value for name, value in flags.items() if name != "max_iters"}, out=str(tmp_path / "o"))
    assert made.iters
    ids = written.read(tmp_path / "o/written.npy", len(open_base(counts).file.vocabulary))
    assert 2 * 64 * FLAGS["block_size"] <= len(ids) < 10**6


def test_a_signal_ends_the_writing(counts: str, text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = Engine.step

    def asked(engine: Engine) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        step(engine)

    with monkeypatch.context() as patched:
        patched.setattr(Engine, "step", asked)
        with pytest.raises(Interrupted, match="stopped while the teacher wrote"):
            train(flags_for(text_file, counts), out=str(tmp_path / "o"))
    assert not (tmp_path / "o/written.npy").exists()
    assert not load_state(tmp_path / "o/state.safetensors").step
    assert train({}, out=str(tmp_path / "o"), resume=True).iters


def test_what_cannot_be_is_told(counts: str, text_file: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--written_chars is for distillation: name a --teacher, or give"):
        train({**FLAGS, "input_file": (str(text_file),), "written_chars": CHARS}, out=str(tmp_path / "o"))
    with pytest.raises(UserError, match="--written_chars 5 is too short for a window of 32 characters"):
        train(flags_for(text_file, counts, written_chars=5), out=str(tmp_path / "o"))
    assert not (tmp_path / "o").exists()
    train(flags_for(text_file, counts, max_iters=1), out=str(tmp_path / "p"))
    for content in (b"", b"no array", (tmp_path / "p/state.safetensors").read_bytes()):
        (tmp_path / "p/written.npy").write_bytes(content)
        with pytest.raises(UserError, match="is not what this run's teacher wrote: remove it"):
            train({"max_iters": 2}, out=str(tmp_path / "p"), resume=True)
    for ids in (np.zeros((2, 2), np.uint8), np.zeros(0, np.uint8), np.zeros(9), np.full(9, 255, np.uint8)):
        np.save(tmp_path / "p/written.npy", ids)
        with pytest.raises(UserError, match="is not what this run's teacher wrote: remove it"):
            train({"max_iters": 2}, out=str(tmp_path / "p"), resume=True)


def test_texts_are_joined() -> None:
    assert written.joined([[1, 2], [3]], None).tolist() == [1, 2, 3]
    assert written.joined([[1, 0, 2, 0, 3], [4, 0], [5]], 0).tolist() == [0, 1, 0, 2, 0, 4, 0]


def test_lines_are_written_whole(tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("\n".join(["anna", "berta", "carla", "dora", "emilia", "frieda"] * 40) + "\n")
    teacher = train({"preset": "counts", "input_file": (str(names),), "lines": True}, out=str(tmp_path / "t")).model_path
    flags = {**FLAGS, "input_file": (str(names),), "teacher": teacher, "written_chars": 2_000, "max_iters": 2, "block_size": 16}
    train(flags, out=str(tmp_path / "o"))
    file = open_base(teacher).file
    ids = written.read(tmp_path / "o/written.npy", len(file.vocabulary))
    assert ids[0] == ids[-1] == file.line_break
    assert not ((ids[1:] == file.line_break) & (ids[:-1] == file.line_break)).any()  # no line is empty, as none was


def test_lines_that_never_end_are_a_sentence(
    tiny_lines, line_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(written, "joined", lambda texts, line_break: np.array([line_break]))
    save_model(tmp_path / "teacher.safetensors", tiny_lines.file)
    flags = {**LINE_FLAGS, "input_file": (str(line_file),), "lines": True, "teacher": str(tmp_path / "teacher.safetensors")}
    with pytest.raises(UserError, match="the teacher wrote 300 characters, and no line came to its end: raise --written_chars"):
        train({**flags, "written_chars": 300}, out=str(tmp_path / "o"))
