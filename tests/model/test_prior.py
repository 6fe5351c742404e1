"""Prior: a fresh model says what counting says, and a trained one what the formula does."""

import pytest
import torch
from priors import log_prior
from torch import Tensor

from letterwise.config import MIXED_UP_TO, ModelConfig
from letterwise.config.presets import PRESETS, resolve
from letterwise.model import Transformer, build, initialize

V = 13
SHAPE = dict(n_layer=2, n_head=4, n_embd=32, block_size=16)


def fresh(vocab_size: int = V, **flags) -> Transformer:
    return initialize(build(resolve({**SHAPE, **flags}).model, vocab_size), 0).eval()


def lively(**flags) -> Transformer:
    """A model that has learned something, at every weight."""
    model, generator = fresh(**flags), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.2)
    return model


def some_tokens(vocab_size: int = V) -> Tensor:
    return torch.randint(vocab_size, (2, 16), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("vocab_size", [V, MIXED_UP_TO + 1])
@pytest.mark.parametrize("preset", ["fast", "counts"])
def test_a_fresh_model_says_what_the_longest_n_grams_say(preset: str, vocab_size: int) -> None:
    model, tokens = fresh(vocab_size, preset=preset, **PRESETS[preset]), some_tokens(vocab_size)
    told = log_prior(model, tokens)
    torch.testing.assert_close(model(tokens, log_prior=told).softmax(-1), told[:, :, -1, :-1].exp())


@torch.no_grad()
@pytest.mark.parametrize("orders", [1, 3])
def test_both_ends_by_formula(orders: int) -> None:
    """Without layers all fits on paper: h = rms(rms(E + W·[p, escapes]))·gain, 15·tanh(head(h)/15) + Σ_k gate_k(h)·ln p_k."""

    def rms(x: Tensor) -> Tensor:
        return x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt()

    model, tokens = lively(n_layer=0, counts_order=orders, counts_contexts=False, norm="rms"), some_tokens()
    w, told = model.state_dict(), log_prior(model, tokens)
    longest, escapes = told[:, :, orders - 1, :V].exp(), told[..., V].exp()
    feature = torch.cat((longest, escapes), -1) @ w["prior.read.weight"].T
    h = rms(rms(w["tokens.weight"][tokens] + feature)) * w["norm.weight"]
    gates = h @ w["prior.gates.weight"].T + w["prior.gates.bias"]
    expected = 15 * torch.tanh(h @ w["head.weight"].T / 15) + sum(gates[..., [k]] * told[:, :, k, :V] for k in range(orders))
    torch.testing.assert_close(model(tokens, log_prior=told), expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("place", [0, 7, 15])
def test_what_is_told_of_a_place_reaches_it_and_the_later_ones_only(place: int) -> None:
    model, tokens = lively(), some_tokens()
    told = log_prior(model, tokens)
    other = told.clone()
    other[:, place] = other[:, place].flip(-1)  # escapes, too, change place with a character's probability
    change = (model(tokens, log_prior=told) - model(tokens, log_prior=other)).abs().amax((0, 2))
    assert (change[:place] < 1e-6).all()
    assert (change[place:] > 1e-4).all()


@pytest.mark.parametrize("preset", PRESETS)
def test_a_prior_is_given_where_it_is_wanted_and_nowhere_else(preset: str) -> None:
    model, tokens = fresh(preset=preset, **PRESETS[preset]), some_tokens()
    if model.prior:
        with pytest.raises(ValueError, match="log_prior was not given"):
            model(tokens)
    else:
        with pytest.raises(ValueError, match="log_prior was given"):
            model(tokens, log_prior=torch.zeros(2, 16, 1, V + 1))


def test_a_large_vocabulary_is_told_the_longest_order_alone() -> None:
    beside, alone = ModelConfig(counts_order=5), ModelConfig(counts_order=0)
    assert [beside.mixed_counts(size) for size in (1, MIXED_UP_TO, MIXED_UP_TO + 1)] == [13, 13, 1]
    assert [alone.mixed_counts(size) for size in (1, MIXED_UP_TO, MIXED_UP_TO + 1)] == [0, 0, 0]
