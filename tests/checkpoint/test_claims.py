"""What a model file says of itself is checked when it is loaded, whatever its checksum says; nothing is read from it later."""

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors
import torch
from test_model_file import FORMS, edited, model_file

from letterwise.checkpoint import load_model, save_model
from letterwise.checkpoint.container import pack, unpack
from letterwise.checkpoint.training_state import read_state
from letterwise.errors import UserError

NO_ENCODINGS = (
    "zlib_codec",
    "hex",
    "base64_codec",
    "rot13",
    "bz2",
    "idna",
    "punycode",
    "utf-8\x00",
    "\x00",
    "",
    "klingon",
    "a" * 5000,
)
COUNTED = {  # an array of counts ▸ what it must not say
    "chars": [[-1], [0]],
    "0.lengths": [[2**62], [-1], [2**63 - 1], []],
    "1.lengths": [[2**62] * 4, [2**63 - 1, 1], [-1, 5], [2**40]],
    "0.characters": [[250], [-1], [2**40], [1, 1]],
    "2.characters": [[2**32], [-(2**31)]],
    "1.counts": [[2**31], [2**32 + 1], [2**63 - 1], [-1]],
    "6.counts": [[2**31]],
}


def altered(array: np.ndarray, begin: list[int]) -> np.ndarray:
    """The array, its first numbers others."""
    changed = array.astype(np.int64)
    changed[: len(begin)] = begin[: len(changed)]
    return changed if begin else changed[1:]


@pytest.mark.parametrize("name", FORMS)
def test_only_text_encodings_are_loaded(name: str, tmp_path: Path) -> None:
    file = model_file()
    for encoding in NO_ENCODINGS:
        config = file.config.to_json()
        config["data"]["encoding"] = encoding
        edited(file, tmp_path / name, config=config)
        with pytest.raises(UserError, match=r"is damaged: encoding .*(is not known|empty name)"):
            load_model(tmp_path / name)
    config["data"]["encoding"] = "latin-1"
    edited(file, tmp_path / name, config=config)
    assert load_model(tmp_path / name).config.data.encoding == "latin-1"


def test_a_state_names_a_text_encoding(tmp_path: Path) -> None:
    header, arrays = unpack(Path(__file__).parents[1] / "golden" / "format3-state.safetensors")
    header["config"]["data"]["encoding"] = "zlib_codec"
    (tmp_path / "state.safetensors").write_bytes(pack(header, arrays, ".safetensors"))
    with pytest.raises(UserError, match="encoding 'zlib_codec' is not known"):
        read_state(tmp_path / "state.safetensors")


ROW_CLAIMS = {
    "chars": "a row without chars",
    "seconds": "a row without seconds",
    "learning_rate": "a row without learning_rate",
    "chars_per_second": "a row without chars_per_second",
    "val_nats_per_char": "a row without val_nats_per_char",
}


@pytest.mark.parametrize("name", ROW_CLAIMS)
def test_a_history_lacks_no_figure(name: str, tmp_path: Path) -> None:
    header = state_header()
    del header["rows"][0][name]
    refused_state(tmp_path, header, ROW_CLAIMS[name])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seconds", "layer"),
        ("seconds", math.inf),
        ("chars", True),
        ("chars", 10**400),
        ("chars", "/dev/zero"),
        ("best", 1),
        ("val_nats_per_char", math.nan),
        ("val_nats_high", "x"),
        ("step", 1.5),
    ],
)
def test_a_history_holds_figures(name: str, value: object, tmp_path: Path) -> None:
    header = state_header()
    header["rows"][0][name] = value
    refused_state(tmp_path, header, f"its history has {name} = ")


def test_a_history_is_measured_throughout_or_not_at_all(tmp_path: Path) -> None:
    header = state_header()
    header["rows"][0]["val_nats_per_char"] = None
    assert len(header["rows"]) > 1
    refused_state(tmp_path, header, "with and without a figure")


@pytest.mark.parametrize("part", ["data", "model", "training", "runtime"])
def test_a_part_of_a_configuration_holds_knobs(part: str, tmp_path: Path) -> None:
    header = state_header()
    header["config"][part] = "byte"
    refused_state(tmp_path, header, f"its configuration has {part} = 'byte'")


def state_header() -> dict:
    header, _ = unpack(Path(__file__).parents[1] / "golden" / "format3-state.safetensors")
    return header


def refused_state(tmp_path: Path, header: dict, words: str) -> None:
    """A state with this header is sealed again, and refused all the same."""
    _, arrays = unpack(Path(__file__).parents[1] / "golden" / "format3-state.safetensors")
    (tmp_path / "state.safetensors").write_bytes(pack(header, arrays, ".safetensors"))
    with pytest.raises(UserError, match=re.escape(words)):
        read_state(tmp_path / "state.safetensors")


@pytest.mark.parametrize("which", COUNTED)
def test_counts_are_held_against_each_other(which: str, tmp_path: Path) -> None:
    """Numbers that do not fit, also where sums of them would wrap round to what fits."""
    file = model_file()
    path = tmp_path / "m.safetensors"
    save_model(path, file)
    array = unpack(path)[1][f"counts.{which}"]
    for begin in COUNTED[which]:
        edited(file, path, arrays={f"counts.{which}": altered(array, begin)})
        with pytest.raises(UserError, match="damaged: the counts"):
            load_model(path)


def test_lengths_whose_sum_wraps_round_are_refused(tmp_path: Path) -> None:
    file = model_file()
    path = tmp_path / "m.safetensors"
    save_model(path, file)
    lengths = unpack(path)[1]["counts.1.lengths"].astype(np.int64)
    assert len(lengths) >= 4
    total = lengths.sum()
    lengths[:4] = 2**62
    lengths[3] += total - lengths[4:].sum()
    assert lengths.sum() == total
    assert (lengths >= 0).all()
    edited(file, path, arrays={"counts.1.lengths": lengths})
    with pytest.raises(UserError, match="damaged: the counts of level 1"):
        load_model(path)


def test_a_file_that_is_cut_short_after_loading_changes_nothing(tmp_path: Path) -> None:
    """A mapped file would end the process (SIGBUS)."""
    for name in FORMS:
        save_model(tmp_path / name, model_file("gpt2"))
    code = (
        "import os, sys; from letterwise.checkpoint import load_model\n"
        "for path in sys.argv[1:]:\n"
        "    file = load_model(path); before = sum(float(w.sum()) for w in file.weights.values())\n"
        "    os.truncate(path, 0); assert before == sum(float(w.sum()) for w in file.weights.values())"
    )
    done = subprocess.run([sys.executable, "-c", code, *(tmp_path / name for name in FORMS)], capture_output=True, text=True)
    assert done.returncode == 0, (done.returncode, done.stderr)


def test_a_file_that_is_cut_short_while_it_is_loaded_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is mapped is a copy, or nothing is."""
    load = torch.load

    def cut_short_first(copy: Path, **how: object) -> object:
        os.truncate(tmp_path / "m.pth", 0)
        return load(copy, **how)

    monkeypatch.setattr(torch, "load", cut_short_first)
    monkeypatch.delattr(safetensors, "safe_open")
    for name in ("m.pth", "m.safetensors"):
        save_model(tmp_path / name, model_file("gpt2"))
        held = load_model(tmp_path / name).weights
        assert held.keys() == model_file("gpt2").weights.keys()
        assert all((held[key] == weight).all() for key, weight in model_file("gpt2").weights.items())


@pytest.mark.parametrize(
    "place",
    [
        {"data_offsets": [4, 8]},
        {"data_offsets": [0, 4]},
        {"data_offsets": [-8, 8]},
        {"data_offsets": [0]},
        {"shape": [-1]},
        {"shape": [3]},
        {"shape": 2},
        {"dtype": "F128"},
        {"dtype": []},
        {"more": 1},
    ],
)
def test_places_in_a_file_are_held_against_each_other(place: dict, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    for held, fits in (({}, True), (place, False)):
        named = {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **held}}
        text = json.dumps(named).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(8))
        if fits:
            assert unpack(path)[1]["w"].tolist() == [0, 0]
        else:
            with pytest.raises(UserError, match="damaged"):
                unpack(path)


def test_a_header_does_not_unfold_to_more_than_its_file(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    for text in (b'{"w":[' + b"0," * 10**6 + b"0]}", b'{"w":' + b"[" * 10**5 + b"]" * 10**5 + b"}", b'{"w', b'{"w":1}', b"{}x"):
        path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(8))
        with pytest.raises(UserError, match="damaged"):
            unpack(path)
