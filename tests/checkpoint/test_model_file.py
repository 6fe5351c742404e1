"""Model file: what goes in comes out, byte for byte; what is no model is refused in a sentence."""

import dataclasses
import io
import json
import math
import os
import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch

from letterwise.checkpoint import ModelFile, load_model, restore, save_model
from letterwise.checkpoint.model_file import weights_of
from letterwise.data.vocabulary import Vocabulary
from letterwise.errors import UserError
from letterwise.model import build, initialize
from letterwise.presets import PRESETS, resolve

FORMS = ("model.safetensors", "model.pth")
CHARACTERS = "\x00\n\r abc\u0301\u2028😀"


def model_file(preset: str = "fast", seed: int = 0) -> ModelFile:
    config = resolve({"preset": preset, "n_layer": 2, "n_embd": 16, "n_head": 4, "block_size": 8})
    vocabulary = Vocabulary("char", "".join(sorted(CHARACTERS)))
    model = initialize(build(config.model, len(vocabulary)), seed)
    history = [{"step": 1, "val_nats_per_char": 1.5, "sample": "a\u2028b\x00</script>😀", "best": True}]
    return ModelFile(
        config, vocabulary, weights_of(model), {"fingerprint": "f" * 64, "sources": ["x"], "bounds": [1, 2, 2]}, history
    )


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("preset", PRESETS)
def test_round_trip(tmp_path: Path, name: str, preset: str) -> None:
    file = model_file(preset)
    save_model(tmp_path / name, file)
    back = load_model(tmp_path / name)
    assert back.header() == file.header()
    assert back.weights.keys() == file.weights.keys()
    assert all(torch.equal(back.weights[key], file.weights[key]) for key in file.weights)
    tokens = torch.arange(8)[None]
    with torch.no_grad():
        expected = initialize(build(file.config.model, len(file.vocabulary)), 0)(tokens)
        assert torch.equal(restore(back)(tokens), expected)


@pytest.mark.parametrize("name", FORMS)
def test_saving_twice_under_one_name_gives_the_same_bytes(tmp_path: Path, name: str) -> None:
    contents = []
    for folder in ("a", "b", "c"):
        save_model(tmp_path / folder / name, model_file())
        contents.append((tmp_path / folder / name).read_bytes())
    assert contents[0] == contents[1] == contents[2]


def test_a_tied_matrix_is_stored_once_and_tied_again(tmp_path: Path) -> None:
    file = model_file("gpt2")
    assert "head.weight" not in file.weights
    save_model(tmp_path / "m.safetensors", file)
    model = restore(load_model(tmp_path / "m.safetensors"))
    assert model.head.weight is model.tokens.weight


def test_the_metadata_is_one_json_key(tmp_path: Path) -> None:
    save_model(tmp_path / "m.safetensors", model_file())
    with safetensors.safe_open(tmp_path / "m.safetensors", framework="pt") as opened:
        metadata = opened.metadata()
    assert list(metadata) == ["letterwise"]
    assert json.loads(metadata["letterwise"])["format"] == "letterwise-model"


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.safetensors"
    save_model(path, model_file(seed=1))
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left"):
        save_model(path, model_file(seed=2))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def edited(file: ModelFile, path: Path, **header: object) -> None:
    """A file whose header says something else."""
    told = json.dumps({**file.header(), **header})
    path.write_bytes(safetensors.torch.save(file.weights, metadata={"letterwise": told}))


class Evil:
    """Unpickling this would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_pickled_code_is_refused_and_not_run(tmp_path: Path) -> None:
    evil, trap = tmp_path / "evil.pth", tmp_path / "was-here"
    torch.save({"letterwise": {}, "weights": Evil(trap)}, evil)
    with pytest.raises(UserError, match="pickled code"):
        load_model(evil)
    bare = tmp_path / "bare.pth"
    bare.write_bytes(pickle.dumps(Evil(trap)))
    with pytest.raises(UserError):
        load_model(bare)
    assert not trap.exists()


def wrong_weights(change: str) -> dict[str, torch.Tensor]:
    weights = dict(model_file().weights)
    match change:
        case "missing":
            del weights["head.weight"]
        case "extra":
            weights["more"] = torch.zeros(1)
        case "shape":
            weights["head.weight"] = weights["head.weight"][:, :-1].contiguous()
        case "kind":
            weights["head.weight"] = weights["head.weight"].double()
        case "nan":
            weights["head.weight"] = torch.full_like(weights["head.weight"], math.nan)
    return weights


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("change", ["missing", "extra", "shape", "kind", "nan"])
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, name: str, change: str) -> None:
    save_model(tmp_path / name, dataclasses.replace(model_file(), weights=wrong_weights(change)))
    with pytest.raises(UserError, match="damaged"):
        load_model(tmp_path / name)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({"format": "other"}, "not a Letterwise model"),
        ({"version": 99}, "format 99, newer than format 1"),
        ({"version": "1"}, "newer"),
        ({"config": {}}, "damaged"),
        ({"config": None}, "damaged"),
        ({"vocabulary": {"kind": "char", "characters": "aa"}}, "damaged"),
        ({"vocabulary": {"kind": "char", "characters": "ab"}}, "damaged"),
        ({"history": None}, "damaged"),
    ],
)
def test_headers_that_do_not_fit_are_refused(tmp_path: Path, header: dict, words: str) -> None:
    edited(model_file(), tmp_path / "m.safetensors", **header)
    with pytest.raises(UserError, match=words):
        load_model(tmp_path / "m.safetensors")


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    save_model(tmp_path / "good.safetensors", model_file())
    good = (tmp_path / "good.safetensors").read_bytes()
    archive = io.BytesIO()
    torch.save([1, 2], archive)
    for name, content in {
        "empty.pth": b"",
        "text.pth": b"hello",
        "short.safetensors": good[:100],
        "half.safetensors": good[: len(good) // 2],
        "list.pth": archive.getvalue(),
        "half.pth": archive.getvalue()[:50],
        "other.safetensors": safetensors.torch.save({"a": torch.zeros(2)}),
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=name):
            load_model(tmp_path / name)
    with pytest.raises(UserError, match="there is no model file"):
        load_model(tmp_path / "missing.pth")
    with pytest.raises(UserError, match="is a folder"):
        load_model(tmp_path)


def test_the_extension_names_the_form(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model\.bin.*\.safetensors or \.pth"):
        save_model(tmp_path / "model.bin", model_file())
