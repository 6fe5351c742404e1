"""Predictor: any chunking of a text gives the same answer, however long the text."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from priors import counts_for, log_prior

from letterwise.config import ModelConfig
from letterwise.evaluation import evaluate
from letterwise.inference.predictor import Predictor
from letterwise.inference.single_step import SingleStep
from letterwise.model import KVCache, Transformer, build, initialize
from letterwise.presets import PRESETS, resolve

V = 11
SHAPE = dict(n_layer=2, n_head=4, n_embd=32, block_size=12)


def lively(config: ModelConfig, seed: int = 0) -> Transformer:
    """A fresh model, with every weight drawn wide, so that answers differ by much more than rounding."""
    model = initialize(build(config, V), seed)
    torch.manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.2)
    return model.eval()


@pytest.fixture(scope="module", params=[*PRESETS, "one"])
def model(request: pytest.FixtureRequest) -> Transformer:
    if request.param == "one":  # the shortest context there is
        return lively(resolve({**SHAPE, "block_size": 1}).model)
    return lively(resolve({**SHAPE, "preset": request.param, **PRESETS[request.param]}).model)


def windows_by_the_policy(ids: list[int], block_size: int) -> list[int]:
    """The plain statement: grow to a full context, then start again on its last half."""
    window: list[int] = []
    for i in ids:
        if len(window) == block_size:
            window = window[len(window) - block_size // 2 :] if block_size > 1 else []
        window.append(i)
    return window


@settings(max_examples=40, deadline=None)
@given(ids=st.lists(st.integers(0, V - 1), min_size=1, max_size=60), cuts=st.sets(st.integers(0, 60)))
def test_any_chunking_gives_the_answer_of_the_window_alone(model: Transformer, ids: list[int], cuts: set[int]) -> None:
    counts = counts_for(model)
    predictor = Predictor(model, counts)
    edges = [0, *sorted(c for c in cuts if c < len(ids)), len(ids)]
    for start, end in pairwise(edges):
        logits = predictor.read(ids[start:end])
    window = windows_by_the_policy(ids, model.config.block_size)
    told = None  # counts know the whole text, and not only the window
    if counts:
        told = torch.from_numpy(
            counts.before(np.array(ids), np.array([len(ids) - len(window)]), len(window), model.prior.orders)
        )
    with torch.no_grad():
        alone = model(torch.tensor([window]), log_prior=told)[0, -1]
    torch.testing.assert_close(logits, alone, rtol=1e-4, atol=1e-4)


def test_nothing_read_makes_all_characters_alike(model: Transformer) -> None:
    logits = Predictor(model, counts_for(model)).read([])
    assert logits.shape == (V,)
    assert logits.unique().numel() == 1


def test_reading_nothing_repeats_the_last_answer(model: Transformer) -> None:
    predictor = Predictor(model, counts_for(model))
    first = predictor.read([1, 2, 3])
    assert torch.equal(predictor.read([]), first)


def test_half_a_context_at_least_is_seen() -> None:
    model = lively(resolve(SHAPE).model)
    predictor = Predictor(model, counts_for(model))
    sizes = []
    for i in range(50):
        predictor.read([i % V])
        sizes.append(len(predictor.window))
    assert max(sizes) == 12
    assert min(sizes[12:]) == 12 // 2 + 1


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("change", [{}, {"bias": True, "norm": "layer"}, {"bias": False, "norm": "rms"}, {"n_kv_head": 1}])
def test_the_numpy_step_equals_the_model(preset: str, change: dict) -> None:
    """The clever path against the plain one, at every place of a context and after a prefix that the model read."""
    model = lively(resolve({**SHAPE, "preset": preset, **PRESETS[preset], **change}).model)
    ids = torch.randint(V, (1, 12), generator=torch.Generator().manual_seed(1))
    told = log_prior(model, ids)
    priors = [()] * 12 if told is None else [(row.numpy(),) for row in told[0]]
    with torch.no_grad():
        plain = model(ids, log_prior=told)[0]
        for prefix in (0, 5):
            cache = KVCache(model.config)
            if prefix:
                model(ids[:, :prefix], cache, log_prior(model, ids[:, :prefix]))
            step = SingleStep(model, cache)
            for place in range(prefix, 12):
                got = torch.from_numpy(step(int(ids[0, place]), *priors[place]))
                assert got.dtype == torch.float32
                torch.testing.assert_close(got, plain[place], rtol=1e-4, atol=1e-4)
            assert cache.seen == (12 if model.config.n_layer else 0)


def test_the_numpy_step_refuses_a_brick_it_does_not_know() -> None:
    model = lively(resolve(SHAPE).model)
    model.norm = torch.nn.Softplus()
    with pytest.raises(TypeError, match="Softplus"):
        SingleStep(model, KVCache(model.config))


def test_sliding_evaluation_is_what_the_predictor_sees(model: Transformer) -> None:
    ids = np.random.default_rng(3).integers(0, V, 70).astype(np.uint8)
    counts = counts_for(model)
    predictor, nats = Predictor(model, counts), []
    for current, following in pairwise(ids.tolist()):
        nats.append(-predictor.read([current]).log_softmax(-1)[following].item())
    score = evaluate(model, ids, counts=counts, protocol="sliding")
    assert score.chars == 69
    assert score.nats_per_char == pytest.approx(np.mean(nats), abs=1e-5)


def test_a_long_text_costs_no_more_memory() -> None:
    model = lively(resolve(SHAPE).model)
    predictor = Predictor(model, counts_for(model))
    predictor.read(np.zeros(10_000, np.uint8))
    assert len(predictor.window) <= 12
    assert len(predictor.priors) <= 12
