"""File names: home folders, addresses, names of what is read in place of what is written."""

import os
import pwd
import shutil
from pathlib import Path

import pytest
from in_process import ask

import letterwise
from letterwise.config.presets import asked_values
from letterwise.errors import UserError
from letterwise.machine import cache_dir


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder, and another current one."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def test_a_tilde_is_the_home_folder(tiny, text_file: Path, home: Path) -> None:
    shutil.copy(text_file, home / "t.txt")
    shutil.copy(tiny.run_dir / "model.safetensors", home)
    assert ask("score", "--model_path=~/model.safetensors", "--input_file=~/t.txt", "--html=~/page.html").code == 0
    assert (home / "page.html").exists()
    (home / "e.toml").write_text('input_file = ["~/t.txt"]\n')
    assert asked_values({}, str(home / "e.toml"))["input_file"] == (str(home / "t.txt"),)
    model = letterwise.load("~/model.safetensors")
    model.save("~/again.pth")
    assert letterwise.load(home / "again.pth").vocabulary == model.vocabulary
    assert not os.listdir(".")


def test_without_a_home_there_is_a_sentence(tiny, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody(monkeypatch)
    answer = ask("compare", tiny.run_dir, tiny.run_dir, "--html=~/page.html")
    assert answer.sentence.startswith("--html: '~/page.html' is in a home folder, and this user has none")
    assert not os.listdir(".")


@pytest.mark.parametrize("named", [None, "", "~/cache"])
def test_the_cache_is_never_a_folder_called_tilde(named: str | None, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LETTERWISE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    if named is not None:
        monkeypatch.setenv("LETTERWISE_CACHE", named)
    assert cache_dir() == (home / "cache" if named else home / ".cache" / "letterwise")
    nobody(monkeypatch)
    assert cache_dir().is_absolute()
    assert cache_dir().name == f"letterwise-{os.getuid()}"


def test_where_home_is_read_only_the_cache_is_a_temporary_one(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless there is one, which is at least read."""
    for name in ("LETTERWISE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    asked = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: not Path(path).is_relative_to(home) and asked(path, mode))
    assert cache_dir().name == f"letterwise-{os.getuid()}"
    (home / ".cache/letterwise").mkdir(parents=True)
    assert cache_dir() == home / ".cache/letterwise"


def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without a home, as a container has that was started with a number for a user."""

    def unknown(number: int) -> None:
        raise KeyError(number)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)


def test_an_address_is_no_file(tiny, home: Path) -> None:
    model = ("--model_path", tiny.run_dir / "model.safetensors")
    for asked in (
        ("compare", tiny.run_dir, tiny.run_dir, "--html", "s3://bucket/page.html"),
        ("train", "--out", "s3://bucket/run"),
        ("generate", "--model_path", "https://host.invalid/model.safetensors"),
        ("decompress", *model, "--input_file", "https://host.invalid/packed", "--output_file", "out"),
    ):
        assert "is an address" in ask(*asked).sentence
    with pytest.raises(UserError, match="is an address"):
        letterwise.train(out="s3://bucket/run")
    assert not os.listdir(".")


def test_what_is_read_is_not_overwritten(tiny, text_file: Path, tmp_path: Path) -> None:
    model, text, packed = tmp_path / "model.safetensors", tmp_path / "t.txt", tmp_path / "packed"
    shutil.copy(tiny.run_dir / "model.safetensors", model)
    shutil.copy(text_file, text)
    (tmp_path / "link").symlink_to(text)
    assert ask("compress", "--model_path", model, "--input_file", text, "--output_file", packed).code == 0
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for asked in (
        ("score", "--model_path", model, "--input_file", text, "--html", text),
        ("score", "--model_path", model, "--input_file", text, "--html", tmp_path / "link"),
        ("compress", "--model_path", model, "--input_file", text, "--output_file", text),
        ("decompress", "--model_path", model, "--input_file", packed, "--output_file", model),
        ("compare", model, model, "--html", model),
    ):
        assert "would be lost" in ask(*asked).sentence
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_that_is_gone(tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    for command in ("train", "generate", "inspect"):
        assert "current folder is no longer there" in ask(command, "--model_path", tiny.run_dir / "model.safetensors").sentence
    assert ask("--help").code == 0
    monkeypatch.chdir(tmp_path)
