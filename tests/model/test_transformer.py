"""Transformer: the laws that every preset keeps, and `classic` to the letter."""

import math

import jaxtyping
import numpy as np
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
from letterwise.model.kv_cache import CacheStep, runs
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


def read(model: Transformer, tokens: Tensor, cache: CacheStep | None = None) -> Tensor:
    """Logits, beside counts where the model wants them."""
    return model(tokens, cache, log_prior(model, tokens))


def read_on(model: Transformer, cache: KVCache, characters: list[tuple[int, int, int]]) -> Tensor:
    """Logits (n, V) after each (row, place, id), all in one step."""
    rows, places, ids = zip(*characters, strict=True)
    return read(model, torch.tensor(ids)[:, None], cache.step(rows, places))[:, 0]


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
@given(seed=st.integers(0, 999))
def test_reading_step_by_step_with_a_cache_is_reading_at_once(model: Transformer, seed: int) -> None:
    """Three texts, each at its own pace, in any rows; in one of them another text stood before."""
    random = np.random.default_rng(seed)
    tokens = torch.randint(V, (3, 16), generator=torch.Generator().manual_seed(seed))
    cache, rows, seen = KVCache(model.config, rows=5), random.permutation(5)[:3].tolist(), [0, 0, 0]
    logits = torch.zeros(3, 16, V)
    with torch.no_grad():
        read_on(model, cache, [(rows[0], place, 0) for place in range(16)])
        while min(seen) < 16:
            pace = [min(int(random.choice([0, 1, 1, 7])), 16 - held) for held in seen]
            where = [(text, held + i) for text, held in enumerate(seen) for i in range(pace[text])]
            if where:
                texts, places = (list(numbers) for numbers in zip(*where, strict=True))
                ids = tokens[texts, places].tolist()
                logits[texts, places] = read_on(model, cache, [*zip([rows[text] for text in texts], places, ids, strict=True)])
            seen = [held + more for held, more in zip(seen, pace, strict=True)]
        torch.testing.assert_close(logits, read(model, tokens), rtol=1e-4, atol=1e-4)


def test_a_row_is_copied_and_cleared(model: Transformer) -> None:
    """What follows in the copy is what follows in the row; a cleared row holds nothing of a text that was not finite."""
    ids, caches = [3, 1, 4, 1, 5], [KVCache(model.config, rows=2) for _ in range(2)]
    with torch.no_grad():
        text = [(1, place, id) for place, id in enumerate(ids)]
        whole = read_on(model, caches[0], text)
        caches[1].held.fill_(math.nan)
        caches[1].clear(0)
        assert torch.equal(read_on(model, caches[1], [(0, place, id) for _, place, id in text]), whole)
        caches[1].copy(0, caches[0], 1)
        following = read_on(model, caches[1], [(0, 5, 9)])
        torch.testing.assert_close(following, read_on(model, caches[0], [(1, 5, 9)]), rtol=0, atol=0)
        torch.testing.assert_close(following, read(model, torch.tensor([[*ids, 9]]))[0, -1:], rtol=1e-4, atol=1e-4)


def test_a_full_context_takes_no_more(model: Transformer) -> None:
    with pytest.raises(ValueError, match="17 characters do not fit a context of 16"):
        read(model, torch.zeros(1, 17, dtype=torch.long))
    with pytest.raises(ValueError, match="position 16 does not fit a context of 16"):
        KVCache(model.config).step([0], [16])


@given(rows=st.lists(st.integers(0, 5), max_size=12))
def test_runs_are_of_one_row_or_of_neighbours(rows: list[int]) -> None:
    """Together they are all characters, in order, each with its row; and no two could be one."""
    found, named = [*runs(rows)], []
    for asking, held in found:
        n, size = asking.stop - asking.start, held.stop - held.start
        assert size in (1, n)
        named += [*range(held.start, held.stop)] if size == n else [held.start] * n
    assert named == rows
    assert [asking.start for asking, _ in found] == [0, *(asking.stop for asking, _ in found)][: len(found)]
    if sorted(rows) == rows == [*range(rows[0] if rows else 0, (rows[0] if rows else 0) + len(rows))] or len(set(rows)) == 1:
        assert len(found) <= 1


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
