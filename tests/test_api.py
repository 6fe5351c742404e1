"""Python: the same words as the command line."""

import inspect
import math
import re
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Unpack, get_type_hints

import pytest
from tiny_run import FLAGS

import letterwise
from letterwise import api
from letterwise.config.generation import GENERATION
from letterwise.data.vocabulary import Vocabulary
from letterwise.errors import UserError

ROOT = Path(__file__).parents[1]


def test_importing_is_instant_and_needs_no_torch() -> None:
    probe = "import sys, letterwise; assert 'torch' not in sys.modules; print(letterwise.__version__)"
    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == letterwise.__version__


def test_public_names() -> None:
    assert all(getattr(letterwise, name) is not None for name in letterwise.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        letterwise.nonsense  # noqa: B018


def test_load_gives_what_train_gave(tiny) -> None:
    loaded = letterwise.load(tiny.run_dir / "model.safetensors")
    assert loaded.generate("The cat", num_tokens=50, rng_seed=4) == tiny.generate("The cat", num_tokens=50, rng_seed=4)
    assert loaded.vocabulary == tiny.vocabulary
    assert loaded.config == tiny.config
    assert loaded.history == tiny.history
    assert loaded.params == sum(w.numel() for w in loaded.transformer.parameters())


@pytest.mark.parametrize("name", ["copy.pth", "copy.safetensors"])
def test_save(tiny, tmp_path: Path, name: str) -> None:
    tiny.save(tmp_path / name)
    assert letterwise.load(tmp_path / name).generate("The", greedy=True) == tiny.generate("The", greedy=True)


def test_evaluate(tiny, text_file: Path, tmp_path: Path) -> None:
    best = tiny.history[-1]["val_nats_per_char"]
    assert tiny.evaluate().nats_per_char == pytest.approx(best, abs=1e-6)
    assert tiny.evaluate(text_file, split="val").nats_per_char == pytest.approx(best, abs=1e-6)
    whole = tiny.evaluate(text_file)
    assert whole.chars == len(text_file.read_text()) - 1
    assert tiny.evaluate(protocol="sliding").nats_per_char != pytest.approx(best, abs=1e-6)
    other = tmp_path / "o.txt"
    other.write_text("The cat sat on the öwl.")
    with pytest.raises(UserError, match="ö"):
        tiny.evaluate(other)
    assert tiny.evaluate(other, unknown="skip").chars == 21
    with pytest.raises(UserError, match="the test part of this text has 0 characters"):
        tiny.evaluate(split="test")
    with pytest.raises(UserError, match="'block' is not known"):
        tiny.evaluate(protocol="block")


def test_evaluate_finds_the_text_again_when_the_cache_is_gone(tmp_path: Path, text_file: Path, cache: Path) -> None:
    text = tmp_path / "t.txt"
    text.write_text(text_file.read_text())
    model = letterwise.train(text, out=tmp_path / "o", n_layer=1, n_embd=16, block_size=16, max_iters=2, warmup_iters=1)
    best = model.history[-1]["val_nats_per_char"]
    for entry in (cache / "streams").iterdir():
        (entry / "meta.json").unlink()
    assert model.evaluate().nats_per_char == pytest.approx(best, abs=1e-6)
    for entry in (cache / "streams").iterdir():
        (entry / "meta.json").unlink()
    text.write_text("another text " * 100)
    with pytest.raises(UserError, match=r"changed since training.*--input_file"):
        model.evaluate()


def test_several_files_and_paths(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text(f"{name} " * 100)
    model = letterwise.train(
        [tmp_path / "a", tmp_path / "b"], val_file=tmp_path / "b", model_path=tmp_path / "m.pth",
        n_layer=1, n_embd=16, block_size=16, max_iters=2, warmup_iters=1,
    )  # fmt: skip
    assert model.vocabulary.characters == " ab"
    assert model.data["bounds"] == [400, 600, 600]
    assert (tmp_path / "m.pth").exists()


def test_unknown_knobs_are_refused() -> None:
    with pytest.raises(UserError, match="'n_lyer' is not a known option: did you mean 'n_layer'"):
        letterwise.train("x.txt", n_lyer=3)
    with pytest.raises(UserError, match="device 'tpu'"):
        letterwise.train(max_iters=50, device="tpu")


def test_the_package_is_typed() -> None:
    assert (Path(letterwise.__file__).parent / "py.typed").exists()


def test_training_shows_how_it_goes_unless_told_not_to(text_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    flags = dict(FLAGS, max_iters=2, eval_interval=2)
    letterwise.train(text_file, out=tmp_path / "told", **flags)
    shown = capsys.readouterr()
    assert "parameters" in shown.err
    assert "step 2/2" in shown.err
    assert shown.out == ""
    letterwise.train(text_file, out=tmp_path / "silent", progress=False, **flags)
    assert capsys.readouterr().err == ""


def test_an_editor_knows_every_keyword_of_generate() -> None:
    """What is declared, and nothing else; `num_samples` has a place of its own."""
    declared = {f.name for kind in GENERATION for f in fields(kind)}
    assert get_type_hints(api.GenerateOptions).keys() == declared - {"num_samples"}
    model = api.LanguageModel
    for method in (model.samples, model.generate, model.stream, model.lines):
        assert inspect.signature(method).parameters["options"].annotation == Unpack[api.GenerateOptions]


def test_unknown_options_are_refused(tiny) -> None:
    with pytest.raises(UserError, match="'temprature' is not a known option: did you mean 'temperature'"):
        tiny.generate("The", temprature=1.0)
    with pytest.raises(UserError, match="unknown='score' is not known"):
        tiny.generate("The", unknown="score")


def test_a_model_says_what_it_is() -> None:
    path = ROOT / "tests/golden/format3-model.safetensors"
    model = letterwise.load(path, device="cpu")
    about = "<LanguageModel: fast nano, 1,295 parameters, context 8, 16 characters, "
    assert repr(model) == f"{about}best validation 0.1083 bits per character, on cpu>"
    assert model.history[-1]["val_nats_per_char"] / math.log(2) == pytest.approx(0.1083, abs=5e-5)
    assert repr(api.LanguageModel(replace(model.file, history=[]), "cpu")) == f"{about}no validation, on cpu>"
    lines = replace(model.config, data=replace(model.config.data, lines=True, vocab="byte"))
    odd = api.LanguageModel(replace(model.file, config=lines, vocabulary=Vocabulary("byte"), history=[]), "cpu")
    assert re.fullmatch(r"<LanguageModel of lines: fast nano, [\d,]+ parameters, context 8, bytes, no validation.*>", repr(odd))


def test_every_public_name_is_there() -> None:
    for name in letterwise.__all__:
        assert getattr(letterwise, name) is not None
        assert name in dir(letterwise)


def test_a_test_part_of_ones_own_text(text_file: Path, tmp_path: Path) -> None:
    flags = dict(FLAGS, max_iters=1, progress=False)
    model = letterwise.train(text_file, out=tmp_path / "o", val_fraction=0.2, test_fraction=0.25, **flags)
    length = len(text_file.read_text())
    assert model.data["bounds"] == [int(length * 0.55), int(length * 0.75), length]
    assert model.evaluate(split="test").chars == length - int(length * 0.75) - 1
    assert letterwise.load(tmp_path / "o/model.safetensors").config.data.test_fraction == 0.25
    with pytest.raises(UserError, match="leave nothing to train on"):
        letterwise.train(text_file, out=tmp_path / "p", val_fraction=0.5, test_fraction=0.5)


def test_a_run_without_a_test_part_says_how_to_get_one(text_file: Path, tmp_path: Path) -> None:
    model = letterwise.train(text_file, out=tmp_path / "o", **dict(FLAGS, max_iters=1, progress=False))
    with pytest.raises(UserError, match="Train with --test_fraction to keep one"):
        model.evaluate(split="test")
