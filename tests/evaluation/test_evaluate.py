"""Evaluate: the mean of what each character costs, however it is batched."""

import math
import threading

import numpy as np
import pytest
import torch
from priors import beside, counts_for

from letterwise.config.presets import PRESETS, resolve
from letterwise.errors import UserError
from letterwise.evaluation import passes
from letterwise.evaluation.evaluate import Score, evaluate
from letterwise.evaluation.protocols import PROTOCOLS
from letterwise.loss import cross_entropy, each_nats, total_nats
from letterwise.model import Transformer, build, initialize
from letterwise.units import bits

V, T = 7, 8
IDS = np.random.default_rng(0).integers(0, V, 101).astype(np.uint8)


@pytest.fixture(params=["gpt2", "fast"])
def model(request: pytest.FixtureRequest) -> Transformer:
    """One that says something, without counts and beside them."""
    shape = dict(n_layer=1, n_head=2, n_embd=16, block_size=T, dropout=0.3)
    model = initialize(build(resolve({"preset": request.param, **shape}).model, V), 0)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.3)
    return model


def score_of(model: Transformer, **options) -> Score:
    return evaluate(beside(model, counts_for(model)), IDS, **options)


def one_by_one(model: Transformer, windows: list[tuple[int, int, int]]) -> list[float]:
    """Nats of targets first … end of each window that starts at `start`, one at a time."""
    model.eval()
    counts, nats = counts_for(model), []
    for start, first, end in windows:
        for i in range(first, end):
            told = counts and torch.from_numpy(counts.log_probs_at(IDS[:i], np.array([start]), i - start, model.prior.orders))
            with torch.no_grad():
                scores = model(torch.tensor(IDS[start:i].astype(np.int64))[None], log_prior=told)[0, -1]
            nats.append(-scores.log_softmax(-1)[int(IDS[i])].item())
    return nats


def test_blocks_one_by_one(model: Transformer) -> None:
    windows = [(s, s + 1, min(s + T, 100) + 1) for s in range(0, 100, T)]
    score = score_of(model)
    assert score.chars == 100
    assert score.nats_per_char == pytest.approx(np.mean(one_by_one(model, windows)), abs=1e-5)
    assert score.bits_per_char == pytest.approx(score.nats_per_char / math.log(2))


def test_sliding_one_by_one(model: Transformer) -> None:
    hop = T - T // 2
    windows = [(0, 1, T + 1)] + [(s, s + T // 2 + 1, min(s + T, 100) + 1) for s in range(hop, 100 - T // 2, hop)]
    score = score_of(model, protocol="sliding")
    assert score.chars == 100
    assert score.nats_per_char == pytest.approx(np.mean(one_by_one(model, windows)), abs=1e-5)


def test_the_batch_size_does_not_matter(model: Transformer, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = score_of(model).nats_per_char
    monkeypatch.setitem(passes.NUMBERS_IN_FLIGHT, "cpu", 1)
    assert score_of(model).nats_per_char == pytest.approx(whole, abs=1e-6)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_number_of_threads_does_not_matter(model: Transformer, monkeypatch: pytest.MonkeyPatch, protocol: str) -> None:
    monkeypatch.setitem(passes.NUMBERS_IN_FLIGHT, "cpu", 2 * T * 64)  # two windows to a batch
    alone, threads, read = score_of(model, protocol=protocol), set(), passes.read

    def reading(*arguments) -> passes.Pass:
        threads.add((threading.get_ident(), torch.get_num_threads()))
        return read(*arguments)

    monkeypatch.setattr(passes, "read", reading)
    torch.set_num_threads(2)
    try:
        together = score_of(model, protocol=protocol)
        assert (together.chars, together.nats_per_char) == (alone.chars, pytest.approx(alone.nats_per_char, abs=1e-6))
        assert together.counting_nats_per_char == pytest.approx(alone.counting_nats_per_char, abs=1e-6)
    finally:
        torch.set_num_threads(1)
    assert {count for _, count in threads} == {1, 2}  # a batch each; only the first window is everybody's
    assert len(threads) == 3


@pytest.mark.parametrize("threads", [1, 2])
def test_it_is_given_up_between_layers(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    """One of a large model takes seconds, and a window minutes. Nothing is left behind: the model is used again."""
    shape = dict(n_layer=3, n_head=2, n_embd=16, block_size=T)
    model = initialize(build(resolve({"preset": "gpt2", **shape}).model, V), 0).train()
    monkeypatch.setitem(passes.NUMBERS_IN_FLIGHT, "cpu", T * 64)  # a window to a batch: 13 of them
    whole, asked = score_of(model), []

    def between() -> None:
        asked.append(threading.get_ident())
        if len(asked) == limit:
            raise InterruptedError

    torch.set_num_threads(threads)
    try:
        limit = 0
        assert score_of(model, between=between).nats_per_char == pytest.approx(whole.nats_per_char, abs=1e-6)
        assert len(asked) == 13 * 4
        limit = len(asked) + 2
        with pytest.raises(InterruptedError):
            score_of(model, between=between)
        assert len(asked) == limit  # the first window was not finished
        assert model.training
        limit, count = 0, len(asked)
        score_of(model)
        assert len(asked) == count
    finally:
        torch.set_num_threads(1)


def test_nothing_is_disturbed(model: Transformer) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    for training in (True, False):
        model.train(training)
        torch.manual_seed(5)
        score_of(model)
        assert model.training is training
        assert torch.equal(torch.rand(3), expected)


def test_some_windows_only(model: Transformer) -> None:
    windows = [(s, s + 1, min(s + T, 100) + 1) for s in range(0, 100, 3 * T)]
    assert score_of(model, every=3).nats_per_char == pytest.approx(np.mean(one_by_one(model, windows)), abs=1e-5)


@pytest.mark.parametrize("protocol", ["blocks", "sliding"])
@pytest.mark.parametrize("preset", ["fast", "counts"])
def test_a_fresh_model_scores_as_its_counts_do(preset: str, protocol: str) -> None:
    """Counts read straight through, wherever windows begin."""
    shape = dict(n_layer=2, n_head=2, n_embd=16, block_size=T)
    model = initialize(build(resolve({**shape, "preset": preset, **PRESETS[preset]}).model, V), 0)
    alone = counts_for(model).nats_per_char(IDS)
    score = score_of(model, protocol=protocol)
    assert score.nats_per_char == pytest.approx(alone, abs=1e-5)
    assert score.counting_nats_per_char == pytest.approx(alone, abs=1e-5)
    assert score.counting_bits_per_char == pytest.approx(alone / math.log(2), abs=1e-5)


@pytest.mark.parametrize("protocol", ["blocks", "sliding"])
def test_counting_is_scored_beside_whatever_the_model_learned(model: Transformer, protocol: str) -> None:
    counts = counts_for(model)
    score = score_of(model, protocol=protocol)
    if counts is None:
        assert (score.counting_nats_per_char, score.counting_bits_per_char) == (None, None)
    else:
        assert score.counting_nats_per_char == pytest.approx(counts.nats_per_char(IDS), abs=1e-5)
        assert abs(score.nats_per_char - score.counting_nats_per_char) > 0.01


def test_nothing_to_predict(model: Transformer) -> None:
    with pytest.raises(UserError, match="2 characters or more, and the text has 1"):
        evaluate(beside(model, counts_for(model)), IDS[:1])


def test_losses_by_hand() -> None:
    """Odds of 3 to 1: the likely character costs ln(4/3), the other ln 4."""
    logits = torch.tensor([[[math.log(3), 0.0], [math.log(3), 0.0]]])
    targets = torch.tensor([[0, 1]])
    assert cross_entropy(logits, targets).item() == pytest.approx((math.log(4 / 3) + math.log(4)) / 2)
    assert sum(total_nats(each_nats(logits[0], targets[0]), [1, 1])) == pytest.approx(math.log(4 / 3) + math.log(4))
    assert bits(math.log(8)) == pytest.approx(3)
