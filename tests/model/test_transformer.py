"""Transformer: the laws that every preset keeps, and `classic` to the letter."""

import math
from itertools import pairwise

import jaxtyping
import plain_classic
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from priors import log_prior
from torch import Tensor

from letterwise.config.presets import PRESETS, resolve
from letterwise.loss import cross_entropy
from letterwise.model import KVCache, Transformer, build, initialize
from letterwise.training.optimizers.optimizer import build_optimizers

V = 13
SHAPE = dict(n_layer=3, n_head=4, n_embd=32, block_size=16)
VARIANTS = {
    **{name: {"preset": name, **own} for name, own in PRESETS.items()},  # a preset's own shape before ours
    "post-norm rotary": {"preset": "fast", "norm_order": "post", "norm": "layer"},
    "tied fast": {"preset": "fast", "tied": True, "bias": True},
    "one key for all": {"preset": "llama", "n_kv_head": 1, "positions": "learned"},
}


def lively(flags: dict, seed: int = 0) -> Transformer:
    """A model whose every weight is drawn wide: fresh ones say too little to compare."""
    model = initialize(build(resolve({**SHAPE, **flags}).model, V), seed).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.2)
    return model


def read(model: Transformer, tokens: Tensor, cache: KVCache | None = None) -> Tensor:
    """Logits, beside counts where the model wants them."""
    return model(tokens, cache, log_prior(model, tokens))


@pytest.fixture(scope="module", params=VARIANTS)
def model(request: pytest.FixtureRequest) -> Transformer:
    return lively(VARIANTS[request.param])


def test_classic_is_the_blackboards_formula() -> None:
    model = lively({"preset": "classic"}, seed=7)
    tokens, targets = torch.randint(V, (2, 2, 16), generator=torch.Generator().manual_seed(1))
    weights = {name: w.detach().clone().requires_grad_() for name, w in model.state_dict().items()}
    plain = torch.stack([plain_classic.logits(row, weights, 3, 4) for row in tokens])
    torch.testing.assert_close(model(tokens), plain, rtol=0, atol=1e-5)
    ours = cross_entropy(model(tokens), targets)
    ours.backward()
    theirs = sum(plain_classic.mean_nats(x, y, weights, 3, 4) for x, y in zip(tokens, targets, strict=True)) / 2
    theirs.backward()
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-6)
    for name, weight in model.named_parameters():
        torch.testing.assert_close(weight.grad, weights[name].grad, rtol=1e-4, atol=1e-5)


@settings(max_examples=20)
@given(place=st.integers(0, 15), seed=st.integers(0, 99))
def test_the_future_cannot_change_the_past(model: Transformer, place: int, seed: int) -> None:
    before = torch.randint(V, (1, 16), generator=torch.Generator().manual_seed(seed))
    after = before.clone()
    after[0, place] = (after[0, place] + 1) % V
    with torch.no_grad():
        a, b = read(model, before)[0], read(model, after)[0]
    torch.testing.assert_close(a[:place], b[:place], rtol=0, atol=1e-6)
    assert (a[place] - b[place]).abs().max() > 1e-3  # and the present does change


@settings(max_examples=20)
@given(cuts=st.sets(st.integers(1, 15)))
def test_reading_in_chunks_with_a_cache_is_reading_at_once(model: Transformer, cuts: set[int]) -> None:
    tokens = torch.randint(V, (2, 16), generator=torch.Generator().manual_seed(2))
    cache = KVCache(model.config, batch=2)
    with torch.no_grad():
        chunks = [read(model, tokens[:, a:b], cache) for a, b in pairwise([0, *sorted(cuts), 16])]
        torch.testing.assert_close(torch.cat(chunks, 1), read(model, tokens), rtol=1e-4, atol=1e-4)
    assert cache.seen == (16 if model.config.n_layer else 0)


def test_a_truncated_cache_forgets(model: Transformer) -> None:
    tokens = torch.randint(V, (1, 10), generator=torch.Generator().manual_seed(3))
    cache = KVCache(model.config)
    with torch.no_grad():
        read(model, tokens, cache)
        cache.truncate(4)
        torch.testing.assert_close(read(model, tokens[:, 4:], cache), read(model, tokens)[:, 4:], rtol=1e-4, atol=1e-4)


def test_a_full_context_takes_no_more(model: Transformer) -> None:
    cache, place = KVCache(model.config), torch.zeros(1, 1, dtype=torch.long)
    read(model, place.expand(1, 16), cache)
    full = [(None, 17), *([(cache, 1)] if model.config.n_layer else [])]  # without layers a cache holds nothing
    for held, more in full:
        with pytest.raises(ValueError, match="do not fit a context of 16"):
            read(model, place.expand(1, more), held)


def test_sequences_of_a_batch_do_not_meet(model: Transformer) -> None:
    tokens = torch.randint(V, (3, 16), generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        together, alone = read(model, tokens), torch.cat([read(model, row[None]) for row in tokens])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("flags", VARIANTS.values(), ids=VARIANTS.keys())
def test_every_weight_is_initialized_and_the_same_seed_gives_the_same(flags: dict) -> None:
    config = resolve({**SHAPE, **flags}).model
    models = []
    for seed in (1, 1, 2):
        model = build(config, V)
        with torch.no_grad():
            for weight in model.parameters():
                weight.fill_(math.nan)
        models.append(initialize(model, seed))
    weights = [torch.cat([w.detach().flatten() for w in model.parameters()]) for model in models]
    assert weights[0].isfinite().all()
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_weights_start_by_their_role() -> None:
    gpt2 = initialize(build(resolve({"preset": "gpt2"}).model, 500), 0)
    for weight, std in [
        (gpt2.tokens.weight, 0.02),
        (gpt2.positions.table, 0.02),
        (gpt2.blocks[0].attention.qkv.weight, 0.02),
        (gpt2.blocks[0].feedforward.up.weight, 0.02),
        (gpt2.blocks[0].feedforward.down.weight, 0.02 / math.sqrt(8)),
        (gpt2.blocks[3].attention.out.weight, 0.02 / math.sqrt(8)),
    ]:
        assert weight.std().item() == pytest.approx(std, rel=0.05)
        assert weight.mean().abs().item() < std / 10
    assert (gpt2.norm.weight == 1).all()
    assert (gpt2.norm.bias == 0).all()
    fast = initialize(build(resolve({}).model, 500), 0)
    assert fast.tokens.weight.std().item() == pytest.approx(1, rel=0.05)
    assert fast.blocks[0].attention.qkv.weight.std().item() == pytest.approx(0.5 / math.sqrt(128), rel=0.05)
    assert not fast.blocks[0].attention.out.weight.any()


def test_fast_without_counts_starts_knowing_nothing() -> None:
    """All characters alike: exactly ln V nats."""
    model = initialize(build(resolve({**SHAPE, "counts_order": 0}).model, V), 0)
    tokens = torch.randint(V, (2, 16))
    assert cross_entropy(model(tokens), tokens).item() == pytest.approx(math.log(V), abs=1e-6)


def test_a_tied_head_is_the_embedding() -> None:
    model = lively({"preset": "gpt2"})
    assert model.head.weight is model.tokens.weight


def test_shapes_in_signatures_are_executed() -> None:
    """The hook in conftest.py is at work: float tokens are refused by the annotation."""
    with pytest.raises(jaxtyping.TypeCheckError):
        lively({})(torch.zeros(1, 4))


@pytest.mark.parametrize("preset", [name for name in PRESETS if resolve({"preset": name}).training.max_iters])
def test_it_learns(preset: str) -> None:
    """A text of one repeated sentence is known by heart after a few dozen steps."""
    config = resolve({"preset": preset, **SHAPE, "learning_rate": 3e-3, "warmup_iters": 1, "max_iters": 100, "min_lr": 0})
    ids = torch.tensor([3, 1, 4, 1, 5, 9, 2, 6] * 3)
    model = initialize(build(config.model, V), 0).train()
    optimizers = build_optimizers(model, config.training)
    torch.manual_seed(0)  # of dropout, which tests before this one would decide otherwise
    for _ in range(100):
        nats = cross_entropy(read(model, ids[None, :16]), ids[None, 1:17])
        nats.backward()
        optimizers.step()
    assert nats.item() < 0.1
