"""Model file: what goes in comes out, byte for byte; what is no model is refused in a sentence."""

import dataclasses
import io
import json
import math
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from priors import counted, counts_for, log_prior

from letterwise.checkpoint import ModelFile, load_model, save_model
from letterwise.checkpoint.container import pack, unpack
from letterwise.checkpoint.weights import restore, weights_of
from letterwise.config.presets import PRESETS, resolve
from letterwise.data.vocabulary import Vocabulary
from letterwise.errors import UserError
from letterwise.model import build, initialize
from letterwise.ngrams.storage import to_arrays

FORMS = ("model.safetensors", "model.pth")
CHARACTERS = "\x00\n\r abc\u0301\u2028😀"
V = len(CHARACTERS)


def model_file(preset: str = "fast", seed: int = 0, **flags) -> ModelFile:
    shape = dict(n_layer=2, n_embd=16, n_head=4, block_size=8)
    config = resolve({**shape, "preset": preset, **PRESETS[preset], **flags})
    vocabulary = Vocabulary("char", "".join(sorted(CHARACTERS)))
    model = initialize(build(config.model, len(vocabulary)), seed)
    row = {"step": 1, "chars": 64, "seconds": 0.5, "learning_rate": 0.01, "chars_per_second": 128, "best": True}
    row |= {"train_nats_per_char": None, "val_nats_per_char": 1.5, "sample": "a\u2028b\x00</script>😀"}
    history = [row]
    data = {"fingerprint": "f" * 64, "sources": ["x"], "bounds": [1, 2, 2]}
    return ModelFile(config, vocabulary, weights_of(model), data, history, counts_for(model))


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("preset", PRESETS)
def test_round_trip(tmp_path: Path, name: str, preset: str) -> None:
    file = model_file(preset)
    save_model(tmp_path / name, file)
    back = load_model(tmp_path / name)
    assert back.header() == file.header()
    assert back.weights.keys() == file.weights.keys()
    assert all(np.array_equal(back.weights[key], file.weights[key]) for key in file.weights)
    assert (back.counts is None) == (file.counts is None) == (file.config.model.counts_order == 0)
    if file.counts:
        kept, given = to_arrays(back.counts), to_arrays(file.counts)
        assert kept.keys() == given.keys()
        assert all(np.array_equal(kept[key], given[key]) for key in given)
        ids, start = np.arange(8), np.array([0])
        assert np.array_equal(
            back.counts.log_probs_at(ids, start, 8, orders=7), file.counts.log_probs_at(ids, start, 8, orders=7)
        )
    tokens = torch.arange(8)[None]
    with torch.no_grad():
        model = initialize(build(file.config.model, len(file.vocabulary)), 0)
        told = log_prior(model, tokens)
        assert torch.equal(restore(back)(tokens, log_prior=told), model(tokens, log_prior=told))


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


def edited(file: ModelFile, path: Path, *, arrays: dict[str, object] | None = None, **header: object) -> None:
    """A file whose header says something else, and whose arrays do (None: leave it out)."""
    save_model(path, file)
    kept = unpack(path)[1]
    kept = {name: array for name, array in {**kept, **(arrays or {})}.items() if array is not None}
    path.write_bytes(pack({**file.header(), **header}, kept, path.suffix))


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


def wrong_weights(change: str) -> dict[str, np.ndarray]:
    weights = dict(model_file().weights)
    match change:
        case "missing":
            del weights["head.weight"]
        case "extra":
            weights["more"] = np.zeros(1, np.float32)
        case "shape":
            weights["head.weight"] = weights["head.weight"][:, :-1].copy()
        case "kind":
            weights["head.weight"] = weights["head.weight"].astype(np.float64)
        case "nan":
            weights["head.weight"] = np.full_like(weights["head.weight"], math.nan)
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
        ({"version": 99}, "format 99, and this Letterwise reads 1 to 4"),
        ({"version": "1"}, "upgrade"),
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


BYTES = np.ones(V, np.uint8)
DAMAGED_COUNTS = {
    "a part missing": ({"counts.2.counts": None}, "complete"),
    "a level missing": ({f"counts.6.{part}": None for part in ("lengths", "characters", "counts")}, "counts"),
    "a part too many": ({"counts.7.counts": BYTES}, "complete"),
    "fractions": ({"counts.0.counts": BYTES.astype(np.float32)}, "complete"),
    "a table": ({"counts.0.counts": BYTES[None]}, "complete"),
    "how much was counted is not told": ({"counts.chars": np.zeros(0, np.int16)}, "counts"),
    "too short": ({"counts.0.counts": BYTES[1:]}, "level 0 do not fit"),
    "less than nothing": ({"counts.0.counts": -BYTES.astype(np.int16)}, "level 0 do not fit"),
    "an unknown character": ({"counts.0.characters": np.arange(1, V + 1, dtype=np.uint8)}, "level 0 do not fit"),
    "out of order": ({"counts.0.characters": np.arange(V, dtype=np.uint8)[::-1].copy()}, "level 0 are not in order"),
}


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize(("arrays", "words"), DAMAGED_COUNTS.values(), ids=DAMAGED_COUNTS.keys())
def test_counts_that_do_not_fit_are_refused(tmp_path: Path, name: str, arrays: dict, words: str) -> None:
    edited(model_file(), tmp_path / name, arrays=arrays)
    with pytest.raises(UserError, match=f"damaged.*{words}"):
        load_model(tmp_path / name)


def test_counts_that_are_no_tensors_are_refused(tmp_path: Path) -> None:
    file = model_file()
    content = {"letterwise": json.dumps(file.header()), "weights": {"counts.0.counts": [1, 2, 3]}}
    torch.save(content, tmp_path / "m.pth")
    with pytest.raises(UserError, match=r"damaged: 'counts\.0\.counts' is not a tensor"):
        load_model(tmp_path / "m.pth")


@pytest.mark.parametrize("name", FORMS)
def test_counts_that_a_model_wants_must_be_there(tmp_path: Path, name: str) -> None:
    save_model(tmp_path / name, dataclasses.replace(model_file(), counts=None))
    with pytest.raises(UserError, match="damaged: the counts are not complete"):
        load_model(tmp_path / name)


@pytest.mark.parametrize("order", [3, 8])
def test_counts_must_be_of_the_order_that_the_model_learned_beside(tmp_path: Path, order: int) -> None:
    file = model_file()
    others = counted(np.arange(300) % V, V, order)
    save_model(tmp_path / "m.safetensors", dataclasses.replace(file, counts=others))
    with pytest.raises(UserError, match="damaged"):
        load_model(tmp_path / "m.safetensors")


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("preset", ["fast", "gpt2"])
def test_a_file_from_before_counts_loads_as_a_model_without(tmp_path: Path, name: str, preset: str) -> None:
    """Format 1 knew nothing of counts, nor had its configuration a knob for them."""
    file = model_file(preset, counts_order=0, counts_contexts=False)
    config = file.config.to_json()
    for part in ("model", "training"):
        config[part] = {knob: value for knob, value in config[part].items() if not knob.startswith("counts_")}
    edited(file, tmp_path / name, version=1, config=config)
    back = load_model(tmp_path / name)
    assert (back.config.model.counts_order, back.counts) == (0, None)
    assert back.config == file.config
    tokens = torch.arange(8)[None]
    with torch.no_grad():
        assert torch.equal(restore(back)(tokens), restore(file)(tokens))


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
