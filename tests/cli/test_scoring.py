"""`letterwise score` as a person runs it."""

import json
import os
import signal
from pathlib import Path

import pytest
from command import letterwise, refused, running
from in_process import ask

import letterwise as letterwise_package

TEXT = "The cat sat on the mat.\nThe dog sat on the log.\n"


def test_what_it_shows(tiny, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text(TEXT.replace("\n", " "))
    model, text = ("--model_path", tiny.run_dir / "model.safetensors"), ("--input_file", tmp_path / "t.txt")
    (row,) = ask("score", *model, *text).stdout.splitlines()
    bits, line = row.split("\t")
    assert line == TEXT.replace("\n", " ")
    whole = json.loads(ask("score", *model, *text, "--json").stdout)
    assert whole["bits_per_char"] == float(bits) or abs(whole["bits_per_char"] - float(bits)) < 1e-4
    measured = json.loads(ask("evaluate", *model, *text, "--json").stdout)
    assert abs(measured["bits_per_char"] - whole["bits_per_char"]) < 1e-9
    low, high = measured["bits_per_char_interval"]
    assert low < measured["bits_per_char"] < high
    assert measured["bits_per_byte"] == measured["bits_per_char"]
    assert measured["xz_bits_per_char"] > 8
    told = json.loads(ask("score", *model, *text, "--jsonl", "--each_char").stdout)
    assert told["text"] == line
    assert len(told["characters"]) == len(line)
    assert told["characters"][5]["likeliest"].keys() >= {line[5]} or told["characters"][5]["rank"] > 5
    done = letterwise("score", *model, "--html", tmp_path / "map.html", stdin=TEXT.replace("\n", " ").encode())
    assert (done.returncode, done.stdout) == (0, "")
    assert (tmp_path / "map.html").read_text().startswith("<!doctype html>")


def test_how_much_is_skipped(tiny, tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("The ☠cat sat€ on the mat. ")
    asked = ("--model_path", tiny.run_dir / "model.safetensors", "--input_file", path, "--unknown", "skip")
    told = "2 of 26 characters are not in this model's vocabulary, and were left out"
    assert told in ask("evaluate", *asked).stdout
    assert f"{told}.\n" in ask("score", *asked).stderr
    for command in ("evaluate", "score"):
        whole = json.loads(ask(command, *asked, "--json").stdout)
        assert (whole["chars"], whole["skipped_chars"], whole["text_chars"]) == (23, 2, 26)
    path.write_text("The cat sat on the mat. ")
    assert "0 of 24 characters" in ask("evaluate", *asked).stdout
    assert ask("score", *asked).stderr == ""
    followed = tiny.follow(["The c☠t\n".encode(), b"sat"], unknown="skip")
    assert [line.text for line in followed] == ["The c☠t\n", "sat"]  # its line break is skipped, too
    assert (followed.tally.read, followed.tally.skipped) == (11, 2)


@pytest.mark.parametrize("command", ["train", "evaluate", "score", "novelty"])
def test_an_empty_file_is_said_to_be_empty(command: str, tiny, tmp_path: Path) -> None:
    """Whatever becomes of unknown characters."""
    (tmp_path / "t.txt").touch()
    own = ("--out", tmp_path / "run") if command == "train" else ("--model_path", tiny.run_dir / "model.safetensors")
    for unknown in ([], ["--unknown", "skip"], ["--unknown", "error"]):
        if not unknown or command in ("evaluate", "score"):
            answer = ask(command, *own, "--input_file", tmp_path / "t.txt", *unknown)
            assert answer.code == 2
            assert "t.txt is empty: there is nothing" in answer.sentence
    if command in ("evaluate", "score"):
        (tmp_path / "t.txt").write_text("☠☠")
        answer = ask(command, *own, "--input_file", tmp_path / "t.txt", "--unknown", "skip")
        assert "has no character that the model knows" in answer.sentence


def test_which_model(tiny, tmp_path: Path) -> None:
    """A model against itself: neither wins."""
    path = tiny.run_dir / "model.safetensors"
    (tmp_path / "copy.safetensors").write_bytes(path.read_bytes())
    both = ("--model_path", path, "--model_path", tmp_path / "copy.safetensors")
    told = json.loads(letterwise("score", *both, "--json", stdin=b"The cat sat").stdout)
    assert list(told["probabilities"].values()) == [0.5, 0.5]
    rows = letterwise("score", *both, "--each_line", stdin=TEXT.encode()).stdout.splitlines()
    assert [row.split("\t")[1:] for row in rows] == [["0.500", line] for line in TEXT.splitlines()]
    assert "--rank" in refused("score", *both, "--rank", stdin=b"The")
    for unused in (["--unknown", "skip"], ["--protocol", "blocks"]):  # they were ignored
        assert ask("score", *both, *unused).sentence.startswith(f"{unused[0]} is for one --model_path:")


@pytest.fixture(scope="module")
def log_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a text with lines."""
    folder = tmp_path_factory.mktemp("log")
    (folder / "log.txt").write_text(TEXT * 200)
    letterwise_package.train(folder / "log.txt", out=folder / "run", preset="counts")
    return folder / "run" / "model.safetensors"


@pytest.mark.parametrize("waits", [True, False])
def test_following_a_log(log_model: Path, waits: bool) -> None:
    """Each line is scored when it is whole, and not when the next one is; the last when the text ends. On any kind of pipe."""
    read, write = os.pipe()
    os.set_blocking(read, waits)
    with running("score", "--model_path", log_model, "--follow", stdin=read) as process, os.fdopen(write, "wb", 0) as pipe:
        os.close(read)
        for line in TEXT.splitlines():
            pipe.write(line.encode() + b"\n")
            assert process.stdout.readline().decode().split("\t")[1] == line + "\n"
        pipe.write("The ☠ log".encode())
        pipe.close()
        assert process.stdout.read().decode().split("\t")[1] == "The ☠ log\n"
        assert process.wait() == 0


def test_ctrl_c_while_following(log_model: Path) -> None:
    with running("score", "--model_path", log_model, "--follow", "--jsonl") as process:
        process.stdin.write(b"The cat\nThe dog")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["text"] == "The cat\n"
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
        assert process.stderr.read() == b""


def test_odd_lines_first(log_model: Path) -> None:
    text = TEXT * 3 + "mat log cat dog\n" + TEXT * 3
    done = letterwise("score", "--model_path", log_model, "--rank", "--top", 2, stdin=text.encode())
    p, _, number, line = done.stdout.splitlines()[0].split("\t")
    assert (number, line) == ("7", "mat log cat dog")
    assert float(p) < 0.1
    assert len(done.stdout.splitlines()) == 2


def test_refusals(tiny, tmp_path: Path) -> None:
    model = ("--model_path", tiny.run_dir / "model.safetensors")
    assert "'ö'" in refused("score", *model, "--unknown", "error", stdin="Thö cat".encode())
    assert "--calibrate" in refused("score", *model, "--rank", stdin=b"The cat sat on the mat.")
    assert "--each_line" in refused("score", *model, "--each_line", stdin=b"The")
    assert "leave out --input_file" in refused("score", *model, "--follow", "--input_file", tmp_path / "x")
    assert "--jsonl" in refused("score", *model, "--each_char", stdin=b"The")
