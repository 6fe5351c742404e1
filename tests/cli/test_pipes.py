"""Pipes and devices in place of files: read once and whole, bounded where they have no end."""

import json
import os
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from in_process import ask


@contextmanager
def piped(content: bytes) -> Generator[str]:
    """The name of a pipe that holds `content`, as a shell's <(…) makes one."""
    reads, writes = os.pipe()

    def write() -> None:
        with open(writes, "wb") as file:
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
