"""Captured: a step of constant shapes, as a GPU would record it, reads what any step reads, and asks its device for nothing."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from priors import counts_for
from torch import Tensor

from letterwise.config.presets import resolve
from letterwise.data.vocabulary import Vocabulary
from letterwise.inference import torch_backend
from letterwise.inference.engine import Engine
from letterwise.inference.sampling.sampler import Sampler, SamplerState
from letterwise.inference.torch_backend import TorchBackend
from letterwise.model import Transformer, build, initialize

LETTERS = Vocabulary("char", "abcdefghijk")
SHAPE = dict(n_layer=2, n_head=2, n_embd=16, block_size=12, dropout=0.0, zero_output=False)


def backend(preset: str, device: str = "cpu") -> TorchBackend:
    config = resolve({"preset": preset, **SHAPE}).model
    model: Transformer = initialize(build(config, len(LETTERS)), 0).eval()
    return TorchBackend(model.to(device), counts_for(model))


def replaying(calls: list[int]) -> Callable:
    """In place of a recording: the function, called with its own inputs, which were copied there."""

    def captured(function: Callable, inputs: list[Tensor]) -> Callable:
        function(*inputs)

        def replay(*values: Tensor) -> Tensor:
            calls.append(1)
            for held, value in zip(inputs, values, strict=True):
                assert held.shape == value.shape
                held.copy_(value)
            return function(*inputs)

        return replay

    return captured


def written(model: TorchBackend) -> list[list[int]]:
    """Texts of several lengths, past their context; some begin when others are under way, one row after another."""
    engine, texts = Engine(model, 3), []
    for seed, length in ((1, 40), (2, 9), (3, 25)):
        text = engine.join()
        text.feed(np.random.default_rng(seed).integers(0, len(LETTERS), 1 + 6 * seed))
        text.begin(SamplerState(Sampler(), LETTERS, seed), length)
        texts.append(text)
        for _ in range(5):
            engine.step()
    while any(text.writing for text in texts):
        engine.step()
    return [text.written for text in texts]


@pytest.mark.parametrize("preset", ["fast", "classic", "llama"])
def test_the_same_texts_by_steps_of_constant_shapes(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, calls = backend(preset), list[int]()
    plain = written(model)
    monkeypatch.setattr(torch_backend, "RECORDS", {"cpu"})
    monkeypatch.setattr(torch_backend, "RECORDED_AFTER", 2)
    monkeypatch.setattr(torch_backend, "captured", replaying(calls))
    assert written(model) == plain
    assert len(calls) > 20


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@pytest.mark.parametrize("preset", ["fast", "classic", "llama"])
def test_the_same_texts_by_what_a_gpu_has_recorded(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = backend(preset, "cuda")
    recorded = written(model)
    monkeypatch.setattr(torch_backend, "RECORDS", set())
    assert written(model) == recorded


def test_a_step_asks_nothing_of_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or it could not be recorded."""
    cache, nothing = backend("fast").cache(3), np.zeros(0, np.int64)
    inputs, asked = cache._in_place(nothing, nothing, nothing, None), list[str]()
    for name in ("item", "tolist", "cpu", "numpy", "nonzero", "__bool__", "__int__", "__float__", "__index__"):

        def noted(tensor: Tensor, *more: Any, name: str = name) -> None:
            asked.append(name)
            raise AssertionError(name)

        monkeypatch.setattr(Tensor, name, noted)
    with torch.inference_mode():
        assert cache._step_of_all(*inputs).shape == (8, len(LETTERS))
    assert asked == []


def test_what_cannot_be_recorded_is_said_once_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    model = backend("llama")
    plain = written(model)
    monkeypatch.setattr(torch_backend, "RECORDS", {"cpu"})
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        monkeypatch.setattr(torch_backend, "captured", failing)
        assert written(model) == plain
    assert [str(one.message) for one in said] == ["cpu starts each character anew, as it cannot record how: no graph"]


def failing(function: Callable, inputs: list[Tensor]) -> Callable:
    raise RuntimeError("no graph")
