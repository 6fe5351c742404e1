"""GPU: the same run, on a device of its own."""

from pathlib import Path

import pytest
import torch
from tiny_run import FLAGS

import letterwise


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@pytest.mark.parametrize("preset", ["fast", "classic"])
def test_train_and_write_on_cuda(text_file: Path, tmp_path: Path, preset: str) -> None:
    model = letterwise.train(text_file, out=tmp_path / "o", preset=preset, device="cuda", **FLAGS)
    assert model.history[-1]["val_nats_per_char"] < 2
    on_cpu = letterwise.load(tmp_path / "o/model.safetensors", device="cpu")
    assert model.generate("The cat", num_tokens=40, greedy=True) == on_cpu.generate("The cat", num_tokens=40, greedy=True)
    assert on_cpu.evaluate().nats_per_char == pytest.approx(model.evaluate().nats_per_char, abs=1e-3)
