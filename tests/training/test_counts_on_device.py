"""Counts on a device: looked up by PyTorch, they say what they say in NumPy."""

from pathlib import Path

import numpy as np
import pytest
import torch
from training.steps import flags

from letterwise.ngrams import count_ngrams
from letterwise.ngrams.cross_fit import cross_fit
from letterwise.training.loading import on_device
from letterwise.training.loading.on_device import DeviceCounts
from letterwise.training.prepare import train

CPU = torch.device("cpu")


@pytest.mark.parametrize("vocab_size", [5, 300])
@pytest.mark.parametrize("case", ["whole text", "its end", "lines", "after another text"])
def test_the_same_predictions(case: str, vocab_size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("letterwise.ngrams.backoff.DENSE_NUMBERS", 30 * vocab_size)  # so that some levels are not written out
    random = np.random.default_rng(3)
    text, before = (random.integers(0, vocab_size, 3000) // random.integers(1, 3, 3000) for _ in range(2))
    text, before = (ids.astype(np.min_scalar_type(vocab_size - 1)) for ids in (text, before))
    options = {
        "max_chars": 900 if case == "its end" else 10_000,
        "line_break": 1 if case == "lines" else None,
        "before": [count_ngrams(before, vocab_size, 4)] if case == "after another text" else [],
    }
    crossfitted = cross_fit(text, vocab_size, 4, folds=7, **options)
    starts = np.array([0, 2, 700, 2070, 2099, 2100, 2101, 2960])
    for orders in (1, 3):
        found = DeviceCounts(crossfitted, orders, CPU).log_probs_at(starts, 30)
        np.testing.assert_allclose(found.numpy(), crossfitted.log_probs_at(starts, 30, orders), rtol=1e-5, atol=1e-6)


def test_a_run_learns_the_same(text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, log_probs_at = [0], DeviceCounts.log_probs_at

    def counted(self: DeviceCounts, starts: np.ndarray, length: int) -> torch.Tensor:
        asked[0] += 1
        return log_probs_at(self, starts, length)

    wanted = flags(text_file, max_iters=6, eval_interval=6, warmup_iters=2, dtype="float32")
    one = train(wanted, out=str(tmp_path / "one"))
    monkeypatch.setattr(on_device, "KINDS", {"cpu"})
    monkeypatch.setattr(DeviceCounts, "log_probs_at", counted)
    other = train(wanted, out=str(tmp_path / "other"))
    assert asked[0] == 6
    assert other.val_nats_per_char == pytest.approx(one.val_nats_per_char, abs=1e-4)
