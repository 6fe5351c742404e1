"""The benchmark of GPUs: without one a sentence; and on a CPU, all of it runs, and is not kept."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks import gpu


def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main([]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", gpu.NO_GPU + "\n")


def test_all_of_it_runs(text_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "results.jsonl"
    assert gpu.main(["--tiny", "--text", str(text_file), "--append", str(kept)]) == 0
    said = capsys.readouterr()
    lines = [json.loads(line) for line in said.out.splitlines()]
    assert [line["benchmark"].removeprefix("gpu ") for line in lines] == (
        ["matrices", "recipe"] + 3 * ["training"] + 2 * ["writing"] + 2 * ["minutes"]
    )
    assert all(line["seconds"] > 0 for line in lines if line["benchmark"] == "gpu recipe")
    assert said.err == "", "nothing was left out"
    assert not kept.exists()
