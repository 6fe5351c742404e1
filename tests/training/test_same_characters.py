"""Figures that stand side by side come from the same characters: what a run says last is what `evaluate` says."""

import math
from pathlib import Path

import numpy as np
import pytest
from tiny_run import FLAGS

import letterwise
from letterwise.cli.commands.train import closing_words
from letterwise.data.batches import NO_TARGET, sweep
from letterwise.evaluation.baseline import baseline_bits, frequency_bits
from letterwise.ngrams import count_ngrams
from letterwise.training.prepare import train
from letterwise.training.validation import nth

SMALL = {**FLAGS, "max_iters": 4, "eval_interval": 4}


@pytest.mark.parametrize("preset", ["fast", "classic", "counts"])
@pytest.mark.parametrize("lines", [False, True])
def test_the_last_figures_are_those_of_evaluate(
    preset: str, lines: bool, text_file: Path, line_file: Path, tmp_path: Path
) -> None:
    flags = {"input_file": (str(line_file if lines else text_file),), "lines": lines, "preset": preset}
    result = train(flags | (SMALL if preset != "counts" else {}), out=str(tmp_path / "o"))
    score = letterwise.load(result.model_path).evaluate()
    assert result.best_val_bits_per_char == pytest.approx(score.bits_per_char, rel=1e-6)
    assert result.baselines["counting alone"] == pytest.approx(score.counting_bits_per_char, rel=1e-5)
    assert result.val_chars_scored == result.val_chars == score.chars
    assert result.best_val_bits_interval is None
    assert f"{score.bits_per_char:.4f}" in closing_words(result)
    assert f"counting alone: {score.counting_bits_per_char:.4f}" in closing_words(result)


@pytest.mark.parametrize("preset", ["fast", "classic"])
def test_an_estimate_is_marked_and_compared_on_its_own_windows(preset: str, text_file: Path, tmp_path: Path) -> None:
    flags = {"input_file": (str(text_file),), "preset": preset, "eval_chars": 100, "val_fraction": 0.4}
    result = train(flags | SMALL, out=str(tmp_path / "runs/deep/o"), model_path=str(tmp_path / "private/m.safetensors"))
    assert 0 < result.val_chars_scored < result.val_chars
    low, high = result.best_val_bits_interval
    assert low < result.best_val_bits_per_char < high
    said = closing_words(result)
    assert f"estimated from {result.val_chars_scored:,} of {result.val_chars:,} characters: {low:.4f} to {high:.4f}" in said
    model = letterwise.load(result.model_path)
    if preset == "classic":
        assert model.evaluate().counting_bits_per_char is None  # nothing is known about all of it
    page = (tmp_path / "runs/deep/o/report.html").read_text()
    assert "estimated from" in page
    assert "m.safetensors" in page
    assert not [part for part in (str(tmp_path), tmp_path.name, "private", "deep") if part in page]
    assert len(page) < 100_000


@pytest.mark.parametrize("every", [1, 3])
def test_baselines_by_hand(every: int) -> None:
    ids = np.random.default_rng(0).integers(0, 5, 500).astype(np.uint8)
    train_ids, held_out = ids[:400], ids[400:]
    counts = count_ngrams(train_ids, 5, 3)
    told = baseline_bits(counts, train_ids, held_out, block_size=8, every=every, line_break=None)
    places = [
        start + 1 + t
        for together in sweep(held_out, 8, 4, every=every)
        for starts, _, targets in together
        for start, row in zip(starts, targets, strict=True)
        for t in np.flatnonzero(row != NO_TARGET)
    ]
    assert len(places) == 99 if every == 1 else 20 < len(places) < 50
    log_probs = counts.log_probs_at(held_out, np.array([0]), 99)[0, :, 0]
    nats = -np.mean([log_probs[place - 1, held_out[place]] for place in places])
    assert told["counting alone"] == pytest.approx(nats / math.log(2), rel=1e-5)
    assert told["letter frequencies alone"] == pytest.approx(frequency_bits(train_ids, held_out[places], 5))


def test_ordinals() -> None:
    assert [nth(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 102, 111)] == [
        "1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "102nd", "111th",
    ]  # fmt: skip
