"""Distillation: what the teacher says of a passage is what it would say of a new one, and a student learns it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from faults.test_faults import StopAt
from in_process import ask
from tiny_run import FLAGS

import letterwise
from letterwise.checkpoint import load_model
from letterwise.checkpoint.training_state import load_state
from letterwise.data.batches import Batches
from letterwise.distributed.world import ALONE
from letterwise.errors import UserError
from letterwise.loss import cross_entropy, soft_cross_entropy
from letterwise.ngrams.cross_fit import cross_fit
from letterwise.training import prepare
from letterwise.training.distill.teacher import Teacher, is_in, teacher_for
from letterwise.training.finetune.base import open_base
from letterwise.training.interruption import Interrupted
from letterwise.training.prepare import train

STUDENT = {**FLAGS, "preset": "llama"}
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def counts(text_file: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A teacher that counts, and nothing else."""
    out = tmp_path_factory.mktemp("teacher") / "counts"
    return train({"preset": "counts", "input_file": (str(text_file),)}, out=str(out)).model_path


def test_soft_targets_that_are_certain_are_the_usual_loss() -> None:
    logits, targets = torch.randn(2, 3, 5), torch.tensor([[1, 4, -1], [0, -1, 2]])
    certain = torch.nn.functional.one_hot(targets.clamp(min=0), 5).float()
    assert torch.allclose(soft_cross_entropy(logits, certain, targets), cross_entropy(logits, targets))


def test_a_teacher_of_its_own_text_has_not_counted_what_it_predicts(counts: str, text_file: Path) -> None:
    from letterwise.checkpoint.texts import own_text

    base = open_base(counts)
    stream = own_text(base.file, lambda note: None)
    teacher, training = teacher_for(base, stream, CPU, ALONE, print), base.file.config.training
    starts, inputs, _ = Batches(stream.part("train"), 16, 4, seed=1).at(0)
    assert teacher.look_up
    found = teacher.probabilities(torch.from_numpy(inputs), teacher.look_up(starts, 16, lambda: None))
    order = base.file.config.model.counts_order
    fitted = cross_fit(
        stream.part("train"), len(stream.vocabulary), order, folds=training.counts_folds, max_chars=training.counts_chars
    )
    expected = np.exp(fitted.log_probs_at(starts, 16)[:, :, 0, :-1])
    assert np.allclose(found.numpy(), expected, atol=1e-5)
    seen = np.exp(base.file.counts.log_probs_at(stream.part("train"), starts, 16)[:, :, 0, :-1])
    assert not np.allclose(found.numpy(), seen, rtol=1e-3, atol=0)


@pytest.fixture
def teachers(monkeypatch: pytest.MonkeyPatch) -> list[Teacher]:
    """Of the runs to come."""
    found: list[Teacher] = []

    def kept(*asked: Any, **more: Any) -> Teacher:
        found.append(teacher_for(*asked, **more))
        return found[-1]

    monkeypatch.setattr(prepare, "teacher_for", kept)
    return found


@pytest.mark.parametrize("changed", ["", "val_fraction", "val_file", "with another"])
def test_a_run_knows_the_text_that_its_teacher_has_counted(
    counts: str, text_file: Path, tmp_path: Path, teachers: list[Teacher], changed: str
) -> None:
    """However it is cut, and put together with another, which is no such text."""
    other = tmp_path / "other.txt"
    other.write_text(text_file.read_text()[:600][::-1])
    more: dict[str, Any] = {"val_fraction": {"val_fraction": 0.2}, "val_file": {"val_file": (str(other),)}}.get(changed, {})
    for name, text in (("same", text_file), ("other", other)):
        texts = (str(other), str(text)) if changed == "with another" and text is text_file else (str(text),)
        train({**STUDENT, "input_file": texts, "teacher": counts, "max_iters": 1, **more}, out=str(tmp_path / name))
    same, unknown = teachers
    assert same.crossfitted
    assert not unknown.crossfitted


def test_a_teacher_that_knows_what_is_validated_on_is_told_of(counts: str, text_file: Path, tmp_path: Path) -> None:
    """It has learned nine tenths of the text, of which this run validates on eight."""
    asked = ("--input_file", text_file, "--teacher", counts, "--max_iters", 1, "--preset", "llama", "--block_size", 16)
    known = ask("train", *asked, "--val_fraction", 0.8, "--out", tmp_path / "known")
    assert "the teacher has learned text that this run is validated on" in known.stderr, known
    fresh = tmp_path / "fresh.txt"
    fresh.write_text(text_file.read_text()[: 2 * 10**3][::-1])
    unknown = ask("train", *asked, "--val_file", fresh, "--out", tmp_path / "unknown")
    assert unknown.code == 0, unknown
    assert "the teacher has learned" not in unknown.stderr


def test_passages_are_found_wherever_they_stand() -> None:
    text = np.random.default_rng(0).integers(0, 50, 10_000).astype(np.uint8)
    mixed = np.concatenate((text[7_000:], text[:7_000]))
    assert is_in(text, mixed, None)
    assert is_in(text[2_000:3_000], mixed, None)
    assert not is_in(text, text[:4_000], None)
    assert is_in(text, text[:6_000], None)
    assert not is_in(text, text[:0], None)
    assert not is_in(text[:0], text, None)
    lines = np.concatenate([[0, *line] for line in np.random.default_rng(1).integers(1, 50, (200, 12))] + [[0]]).astype(
        np.uint8
    )
    others = np.concatenate([*(lines[13 * n : 13 * n + 13] for n in reversed(range(200))), [0]]).astype(np.uint8)
    assert is_in(lines, others, 0)
    assert not is_in(lines, others, None)


def test_a_student_is_as_its_teacher_where_the_text_says_little(counts: str, text_file: Path, tmp_path: Path) -> None:
    """After the same steps, a student's predictions are nearer to the teacher's than those of one that had none."""
    teacher, text = letterwise.load(counts), text_file.read_text()[-300:]
    flags = {**STUDENT, "input_file": (str(text_file),), "max_iters": 40, "block_size": 32}
    models = {}
    for name, more in (("taught", {"teacher": counts}), ("alone", {})):
        models[name] = letterwise.load(train({**flags, **more}, out=str(tmp_path / name)).model_path)
    ids = teacher.vocabulary.encode(text)[:32]
    wanted = teacher(ids).softmax(-1)
    away = {name: float((wanted * (wanted / model(ids).softmax(-1)).log()).sum(-1).mean()) for name, model in models.items()}
    assert away["taught"] < away["alone"]
    record = load_model(tmp_path / "taught/model.safetensors").data["teacher"]
    assert record["model"] == open_base(counts).digest
    assert "teacher" not in load_model(tmp_path / "alone/model.safetensors").data
    assert models["taught"].evaluate().chars > 0  # its own text is found again


def test_the_teacher_is_not_replaced_by_its_own_student(counts: str, text_file: Path) -> None:
    content = Path(counts).read_bytes()
    with pytest.raises(UserError, match=r"--teacher '.*' would be replaced by this run's own files"):
        train({**STUDENT, "input_file": (str(text_file),), "teacher": counts}, out=str(Path(counts).parent), overwrite=True)
    assert Path(counts).read_bytes() == content


def test_resume_is_never_stopped(counts: str, text_file: Path, tmp_path: Path) -> None:
    flags = {**STUDENT, "input_file": (str(text_file),), "teacher": counts, "max_iters": 14, "eval_interval": 7}
    whole = train(flags, out=str(tmp_path / "one"))
    with pytest.raises(Interrupted):
        train(flags, out=str(tmp_path / "two"), progress=StopAt(10))
    train({}, out=str(tmp_path / "two"), resume=True)
    one, two = (load_state(tmp_path / name / "state.safetensors") for name in ("one", "two"))
    assert all(np.array_equal(one.weights[name], two.weights[name]) for name in one.weights)
    assert whole.iters == 14


def test_resuming_wants_the_same_teacher(counts: str, text_file: Path, tmp_path: Path) -> None:
    teacher = tmp_path / "t.safetensors"
    teacher.write_bytes(Path(counts).read_bytes())
    flags = {**STUDENT, "input_file": (str(text_file),), "teacher": str(teacher), "max_iters": 2}
    train(flags, out=str(tmp_path / "o"))
    letterwise.load(
        train({**STUDENT, "input_file": (str(text_file),), "max_iters": 1}, out=str(tmp_path / "x")).model_path
    ).save(teacher)
    with pytest.raises(UserError, match="is not the model that this run is taught by"):
        train({"max_iters": 4}, out=str(tmp_path / "o"), resume=True)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ({"init_from": "x.safetensors"}, "a run has one model to go by"),
        ({"block_size": 4096}, "the teacher reads 128 characters at once"),
        ({"vocab": "byte"}, "leave out --vocab"),
        ({"lines": True}, "leave out --lines"),
    ],
)
def test_what_contradicts_the_teacher_is_refused(flags: dict[str, Any], sentence: str, counts: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=sentence):
        train({"teacher": counts, "max_iters": 2, **flags}, out=str(tmp_path / "o"))
    assert not (tmp_path / "o").exists()


def test_characters_that_the_teacher_does_not_know_are_named(counts: str, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("The ρat sat on the mat. " * 20)
    with pytest.raises(UserError, match="does not know 'ρ'"):
        train({**STUDENT, "input_file": (str(tmp_path / "t.txt"),), "teacher": counts}, out=str(tmp_path / "o"))


def test_an_export_that_distills_says_what_it_costs(text_file: Path, tmp_path: Path) -> None:
    model = letterwise.train(text_file, out=tmp_path / "run", progress=False, **FLAGS)
    exported = model.export("hf", tmp_path / "hf", distill=0.05, student="gpt2")
    card = (tmp_path / "hf/README.md").read_text()
    assert "config.json" in exported.files
    assert json.loads((tmp_path / "hf/config.json").read_text())["model_type"] == "gpt2"
    assert "| the teacher |" in card
    assert "| the same minutes without the teacher |" in card
    assert "(distillation)" in card


def test_distilling_wants_the_text(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "t.txt").write_text("The cat sat on the mat. " * 40)
    model = letterwise.train(tmp_path / "t.txt", out=tmp_path / "run", progress=False, preset="counts")
    (tmp_path / "t.txt").unlink()
    for entry in cache.rglob("*"):
        if entry.is_file():
            entry.unlink()
    with pytest.raises(UserError, match="--distill reads it again"):
        model.export("hf", tmp_path / "hf", distill=0.05)
    assert not (tmp_path / "hf").exists()
