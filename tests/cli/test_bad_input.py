"""Bad input: one sentence that shows the value and the next move, exit code 2, nothing written."""

import gzip
import json
import os
import zipfile
from pathlib import Path

import pytest
import safetensors.numpy
import torch
from in_process import ask, refused

SMALL = (
    "--n_layer",
    1,
    "--n_embd",
    16,
    "--n_head",
    2,
    "--block_size",
    16,
    "--batch_size",
    2,
    "--max_iters",
    2,
    "--warmup_iters",
    1,
)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def refused_training(out: Path, *arguments: object) -> str:
    """The sentence; and nothing was written."""
    sentence = refused("train", *arguments, "--out", out)
    assert not out.exists()
    return sentence


def test_missing_file(tmp_path: Path, out: Path) -> None:
    (tmp_path / "poems.txt").write_text("x")
    sentence = refused_training(out, "--input_file", tmp_path / "poem.txt")
    assert "poem.txt" in sentence
    assert "poems.txt" in sentence  # the nearest name that is there


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file(tmp_path: Path, out: Path) -> None:
    path = tmp_path / "secret.txt"
    path.write_text("x" * 999)
    path.chmod(0)
    assert "secret.txt" in refused_training(out, "--input_file", path)


def test_empty_file(tmp_path: Path, out: Path) -> None:
    (tmp_path / "empty.txt").touch()
    assert "empty" in refused_training(out, "--input_file", tmp_path / "empty.txt")


def test_too_short_file(tmp_path: Path, out: Path) -> None:
    (tmp_path / "short.txt").write_text("abcdefghij" * 10)
    sentence = refused_training(out, "--input_file", tmp_path / "short.txt", "--block_size", 128)
    assert "90" in sentence  # what its training part has
    assert "129" in sentence  # what it needs
    assert "--block_size" in sentence


def test_folder_without_text(tmp_path: Path, out: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "image.png").write_bytes(b"\x89PNG\x00\x00\xff\xfe" * 50)
    assert "folder" in refused_training(out, "--input_file", tmp_path / "folder")


def test_binary_data(tmp_path: Path, out: Path) -> None:
    (tmp_path / "data.bin").write_bytes(b"some text" + bytes(range(256)) * 10)
    sentence = refused_training(out, "--input_file", tmp_path / "data.bin")
    assert "data.bin" in sentence
    assert "binary data" in sentence
    assert "--encoding" in sentence
    assert "--vocab byte" in sentence


def test_damaged_archive(tmp_path: Path, out: Path) -> None:
    (tmp_path / "text.txt.gz").write_bytes(gzip.compress(b"hello " * 1000)[:-20])
    assert "text.txt.gz" in refused_training(out, "--input_file", tmp_path / "text.txt.gz")
    (tmp_path / "text.zip").write_bytes(b"PK\x03\x04 no archive")
    assert "text.zip" in refused_training(out, "--input_file", tmp_path / "text.zip")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--n_embd", "100", "--n_head", "3"], ["n_embd=100", "n_head=3", "--n_embd 102"]),
        (["--n_lyer", "3"], ["--n_lyer", "--n_layer"]),
        (["--preset", "clasic"], ["'clasic'", "'classic'"]),
        (["--size", "huge"], ["'huge'", "large"]),
        (["--optimizer", "adam"], ["'adam'", "adamw"]),
        (["--n_layer", "many"], ["'many'", "whole number"]),
        (["--n_layer=-1"], ["n_layer=-1", "0"]),
        (["--dropout", "1"], ["dropout=1.0"]),
        (["--learning_rate", "nan"], ["learning_rate=nan"]),
        (["--max_iters", "10", "--warmup_iters", "20"], ["warmup_iters=20", "max_iters=10"]),
        (["--compile", "maybe"], ["'maybe'", "true"]),
        (["--dataset", "shakespere"], ["'shakespere'", "shakespeare"]),
        (["--dataset", "text8", "--input_file", "x"], ["text8", "x"]),
        (["--device", "cuda:9"], ["cuda:9", "cpu"]),
        (["--model_path", "model.bin"], ["model.bin", ".safetensors"]),
        (["--resume", "--overwrite"], ["--resume", "--overwrite"]),
        (["stray"], ["'stray'"]),
        (["--input_file"], ["--input_file"]),
        (["--encoding", "utf-9"], ["utf-9"]),
        (["--resume"], ["no run to resume"]),
    ],
)
def test_wrong_flags(out: Path, arguments: list[str], words: list[str]) -> None:
    sentence = refused_training(out, *arguments)
    assert all(word in sentence for word in words), sentence


def test_unknown_command() -> None:
    assert "'trian'" in refused("trian")
    assert "'train'" in refused("trian")


def test_toml(tmp_path: Path, out: Path) -> None:
    path = tmp_path / "e.toml"
    for content, words in {
        "n_lyer = 3": ["n_lyer", "n_layer"],  # lists the known ones
        "n_layer = 'three'": ["n_layer='three'", "whole number"],
        "n_layer = ": ["e.toml", "TOML"],
    }.items():
        path.write_text(content)
        sentence = refused_training(out, "--config", path)
        assert all(word in sentence for word in words), sentence
    assert "missing.toml" in refused_training(out, "--config", tmp_path / "missing.toml")


def test_used_run_directory(text_file: Path, out: Path) -> None:
    first = ask("train", "--input_file", text_file, "--out", out, *SMALL)
    assert first.code == 0, first.stderr
    before = {path: path.read_bytes() for path in out.iterdir()}
    sentence = refused("train", "--input_file", text_file, "--out", out, *SMALL)
    assert "--resume" in sentence
    assert "--overwrite" in sentence
    for wrong in (["--input_file", "nowhere.txt"], ["--n_head", "3"]):  # nothing is lost to a request that fails
        refused("train", "--input_file", text_file, "--out", out, *SMALL, "--overwrite", *wrong)
    assert {path: path.read_bytes() for path in out.iterdir()} == before


def test_a_run_directory_that_cannot_be(text_file: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "file", tmp_path / "file/inside"):
        sentence = refused("train", "--input_file", text_file, "--out", place, "--overwrite", *SMALL)
        assert "cannot write into" in sentence
        assert str(place) in sentence
    assert "cannot write into" in refused("train", "--input_file", text_file, "--model_path", tmp_path / "file/m.pth", *SMALL)
    assert (tmp_path / "file").read_text() == "mine"


def test_model_files(tiny, tmp_path: Path) -> None:
    assert "missing.pth" in refused("generate", "--model_path", tmp_path / "missing.pth")
    (tmp_path / "text.pth").write_text("not a model")
    assert "text.pth" in refused("generate", "--model_path", tmp_path / "text.pth")
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        archive.writestr("a", "b")
    assert "some.zip" in refused("inspect", "--model_path", tmp_path / "some.zip")
    newer = json.dumps({**tiny.file.header(), "version": 7})
    content = safetensors.numpy.save(tiny.file.weights, metadata={"letterwise": newer})
    (tmp_path / "newer.safetensors").write_bytes(content)
    assert "format 7" in refused("generate", "--model_path", tmp_path / "newer.safetensors")
    torch.save({"weights": {"a": Path("x")}}, tmp_path / "code.pth")
    assert "pickled code" in refused("generate", "--model_path", tmp_path / "code.pth")


def test_generating(tiny) -> None:
    model = ("generate", "--model_path", tiny.run_dir / "model.safetensors")
    sentence = refused(*model, "--seed", "Ünknown €")
    assert "Ü" in sentence
    assert "€" in sentence
    assert "--unknown skip" in sentence
    assert "temperature=0.0" in refused(*model, "--temperature", 0)
    assert "num_tokens=-5" in refused(*model, "--num_tokens", -5)
    assert "num_samples=0" in refused(*model, "--num_samples", 0)
    assert "--model_path" in refused("generate", "--seed", "x")


def test_evaluating(tiny, tmp_path: Path) -> None:
    model = ("evaluate", "--model_path", tiny.run_dir / "model.safetensors")
    (tmp_path / "other.txt").write_text("The cat sät on the mat.")
    assert "ä" in refused(*model, "--input_file", tmp_path / "other.txt")
    assert "test" in refused(*model, "--split", "test")
    (tmp_path / "one.txt").write_text("T")
    assert "1" in refused(*model, "--input_file", tmp_path / "one.txt")
