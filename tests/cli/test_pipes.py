"""Pipes, devices and stdout in place of files: read once and whole, bounded where they have no end, written to as they are."""

import json
import os
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from command import letterwise
from in_process import ask

from letterwise.config.file_names import is_stream


@contextmanager
def piped(content: bytes) -> Generator[str]:
    """The name of a pipe that holds `content`, as a shell's <(…) makes one."""
    reads, writes = os.pipe()

    def write() -> None:
        with suppress(BrokenPipeError), open(writes, "wb") as file:  # who refuses the text reads nothing
            file.write(content)

    writer = threading.Thread(target=write)
    writer.start()
    yield f"/dev/fd/{reads}"
    os.close(reads)
    writer.join()


def test_a_configuration_is_read_once(text_file: Path, tmp_path: Path) -> None:
    with piped(b'preset = "counts"\ncounts_order = 2\n') as config:
        answer = ask("train", "--config", config, "--input_file", text_file, "--out", tmp_path / "run", "--json")
    assert json.loads(answer.stdout)["iters"] == 0, answer
    told = json.loads(ask("inspect", "--model_path", tmp_path / "run" / "model.safetensors", "--json").stdout)
    assert (told["config"]["preset"], told["config"]["model"]["counts_order"]) == ("counts", 2)


@pytest.mark.parametrize("flag", ["--seed_file", "--json_schema", "--grammar", "--config"])
def test_a_file_without_end_is_refused(flag: str, tiny) -> None:
    path = ("--model_path", tiny.run_dir / "model.safetensors")
    command = ("train",) if flag == "--config" else ("generate", *path)
    assert "larger than 64 MiB" in ask(*command, flag, "/dev/zero").sentence


@pytest.mark.parametrize("command", ["evaluate", "score", "novelty"])
def test_a_text_without_end_that_is_none_is_refused_by_its_beginning(command: str, tiny) -> None:
    answer = ask(command, "--model_path", tiny.run_dir / "model.safetensors", "--input_file", "/dev/zero")
    assert "binary data" in answer.sentence


def test_a_model_comes_through_a_pipe(tiny) -> None:
    path = tiny.run_dir / "model.safetensors"
    with piped(path.read_bytes()) as pipe:
        read = ask("inspect", "--model_path", pipe, "--json")
    assert read.stdout == ask("inspect", "--model_path", path, "--json").stdout
    assert "not a model file" in ask("inspect", "--model_path", "/dev/zero").sentence
    with piped(b"The cat sat on the mat.") as pipe:
        assert "not a model file" in ask("inspect", "--model_path", pipe).sentence


@pytest.mark.parametrize("stdout", ["-", "/dev/stdout"])
def test_stdout_carries_the_result_and_no_word_of_ours(stdout: str, tiny, text_file: Path, tmp_path: Path) -> None:
    model = ("--model_path", tiny.run_dir / "model.safetensors")
    ask("compress", *model, "--input_file", text_file, "--output_file", tmp_path / "packed")
    done = letterwise("decompress", *model, "--input_file", tmp_path / "packed", "--output_file", stdout, cwd=tmp_path)
    assert done.stdout == text_file.read_text()
    assert f"{len(done.stdout):,} bytes" in done.stderr
    page = letterwise("compare", tiny.run_dir, tiny.run_dir, "--html", stdout, cwd=tmp_path).stdout
    assert page.startswith("<!doctype html>")
    assert page.endswith("</html>\n")
    assert [path.name for path in tmp_path.iterdir()] == ["packed"]


def test_stdout_is_not_written_to_twice(tiny, text_file: Path) -> None:
    model = ("--model_path", tiny.run_dir / "model.safetensors")
    for asked in (
        ("compress", *model, "--input_file", text_file, "--output_file", "-"),
        ("compare", tiny.run_dir, tiny.run_dir, "--html", "-"),
    ):
        assert "--json both write to stdout" in ask(*asked, "--json").sentence


def test_what_can_be_read_only_once_is_known(text_file: Path, tmp_path: Path) -> None:
    with piped(b"The cat sat.") as pipe:
        assert is_stream(pipe)
        assert Path(pipe).read_text() == "The cat sat."
    assert is_stream(pipe)  # of a process that ended
    assert is_stream("-")
    assert is_stream("/dev/zero")
    assert not any(map(is_stream, (str(text_file), str(tmp_path), str(tmp_path / "none.txt"), "*.txt", "a\0b", "")))


def test_a_text_that_is_read_once_is_learned_by_one_model(text_file: Path, tmp_path: Path) -> None:
    """Minutes that an ensemble would be worth do not read it again; nor does a run that goes on."""
    small = ("--n_layer", 1, "--n_embd", 16, "--n_head", 2, "--block_size", 16, "--warmup_iters", 1, "--out", tmp_path / "run")
    with piped(text_file.read_bytes()) as text:
        planned = ask("plan", "--input_file", text, "--minutes", 30)
    assert planned.stdout.startswith("plan for 30 minutes"), planned
    with piped(text_file.read_bytes()) as text:
        first = ask("train", "--input_file", text, *small, "--max_iters", 2, "--json")
    assert json.loads(first.stdout)["iters"] == 2, first
    again = ask("train", "--resume", "--out", tmp_path / "run", "--max_iters", 4, "--json")
    assert json.loads(again.stdout)["iters"] == 4, again


@pytest.mark.parametrize("several", ["--members", "--seeds"])
@pytest.mark.parametrize("which", ["--input_file", "--val_file"])
def test_a_text_that_is_read_once_is_not_for_several_models(several: str, which: str, text_file: Path, tmp_path: Path) -> None:
    others = () if which == "--input_file" else ("--input_file", text_file)
    with piped(text_file.read_bytes()) as text:
        answer = ask("train", which, text, *others, several, 2, "--max_iters", 2, "--out", tmp_path / "run")
    assert "can be read only once: save it to a file first" in answer.sentence


def test_a_text_that_is_read_once_is_not_for_a_sweep(text_file: Path, tmp_path: Path) -> None:
    space = tmp_path / "space.toml"
    space.write_text('[fixed]\ninput_file = ["-"]\n[vary]\ndropout = [0.0, 0.1]\n')
    assert "can be read only once: save it to a file first" in ask("sweep", "--space", space).sentence
