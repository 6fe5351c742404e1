"""Bricks: each against its formula, written out slowly."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from priors import log_prior
from torch import Tensor

from letterwise.config import ModelConfig
from letterwise.model import build, initialize
from letterwise.model.attention import Attention, attend, attend_written_out
from letterwise.model.block import PostNormBlock, PreNormBlock, SharedDropout, build_dropout
from letterwise.model.feedforward import FeedForward, gelu, gelu_erf, relu_squared, swiglu
from letterwise.model.normalization import build_norm, build_unit_norm
from letterwise.model.positions import LearnedPositions, RotaryPositions, rotate
from letterwise.model.transformer import Softcap


def attend_with_loops(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """One number at a time. Queries are the last of the keys' positions; head h reads key head h // group."""
    batch, heads, new, dim = q.shape
    seen, group = k.size(2), heads // k.size(1)
    out = torch.zeros_like(q)
    for b in range(batch):
        for h in range(heads):
            for t in range(new):
                past = range(seen - new + t + 1)
                scores = [sum(q[b, h, t, d] * k[b, h // group, s, d] for d in range(dim)) / math.sqrt(dim) for s in past]
                weights = [math.exp(score) for score in scores]
                for s in past:
                    out[b, h, t] += weights[s] / sum(weights) * v[b, h // group, s]
    return out


@pytest.mark.parametrize(("heads", "kv_heads"), [(2, 2), (4, 2), (3, 1)])
@pytest.mark.parametrize("length", [1, 2, 5])
def test_attention_with_loops(heads: int, kv_heads: int, length: int) -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, h, length, 4) for h in (heads, kv_heads, kv_heads))
    expected = attend_with_loops(q, k, v)
    torch.testing.assert_close(attend(q, k, v), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(attend_written_out(q, k, v), expected, rtol=1e-4, atol=1e-5)
    rounded = attend(q.bfloat16(), k.bfloat16(), v.bfloat16())  # written out, on a CPU
    assert rounded.dtype == torch.bfloat16
    torch.testing.assert_close(rounded.float(), expected, rtol=0, atol=0.05)


def test_both_forms_of_attention_have_the_same_gradients() -> None:
    torch.manual_seed(0)
    inputs = [torch.randn(2, heads, 6, 4, requires_grad=True) for heads in (4, 2, 2)]
    weights = torch.randn(2, 4, 6, 4)
    fused, written = (torch.autograd.grad((f(*inputs) * weights).sum(), inputs) for f in (attend, attend_written_out))
    for a, b in zip(fused, written, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_attention_splits_and_merges_heads_in_order() -> None:
    config = ModelConfig(
        n_layer=1, n_head=4, n_kv_head=2, n_embd=16, block_size=8, positions="learned", qk_norm=False, bias=True
    )
    torch.manual_seed(0)
    attention, x = Attention(config), torch.randn(2, 5, 16)
    weight, bias = attention.qkv.weight, attention.qkv.bias
    q, k, v = (x @ w.T + b for w, b in zip(weight.split([16, 8, 8]), bias.split([16, 8, 8]), strict=True))
    heads = [t.reshape(2, 5, -1, 4).transpose(1, 2) for t in (q, k, v)]
    merged = attend_with_loops(*heads).transpose(1, 2).reshape(2, 5, 16)
    torch.testing.assert_close(attention(x), attention.out(merged), rtol=1e-4, atol=1e-5)


def test_rotary_turns_a_pair_by_its_place() -> None:
    """D = 2 has one pair, turning by 1 radian a place: (1, 0) at place 3 becomes (cos 3, sin 3)."""
    positions = RotaryPositions(block_size=8, head_dim=2, base=10_000.0)
    got = rotate(torch.tensor([[[[1.0, 0.0]]]]), positions.angles(slice(3, 4)))
    torch.testing.assert_close(got.flatten(), torch.tensor([math.cos(3), math.sin(3)]))


def test_rotary_pairs_turn_slower_and_slower() -> None:
    """Pair i of D = 4 and base 100 turns by 100^(-2i/4): 1, then 0.1 a place."""
    positions = RotaryPositions(block_size=8, head_dim=4, base=100.0)
    cos, _ = positions.angles(slice(2, 3))
    torch.testing.assert_close(cos.flatten(), torch.tensor([math.cos(2), math.cos(0.2)]))


@settings(max_examples=30)
@given(a=st.integers(0, 40), b=st.integers(0, 40), shift=st.integers(0, 20))
def test_rotary_products_depend_on_distance_alone(a: int, b: int, shift: int) -> None:
    positions = RotaryPositions(block_size=64, head_dim=8, base=10_000.0)
    generator = torch.Generator().manual_seed(a + 41 * b)
    q, k = torch.randn(2, 1, 1, 1, 8, generator=generator)

    def product(i: int, j: int) -> float:
        return (rotate(q, positions.angles(slice(i, i + 1))) * rotate(k, positions.angles(slice(j, j + 1)))).sum().item()

    assert product(a, b) == pytest.approx(product(a + shift, b + shift), abs=1e-4)
    assert rotate(q, positions.angles(slice(a, a + 1))).norm().item() == pytest.approx(q.norm().item(), rel=1e-5)


def test_learned_positions_add_their_rows() -> None:
    positions = LearnedPositions(block_size=5, n_embd=3)
    torch.nn.init.normal_(positions.table)
    x = torch.randn(2, 2, 3)
    torch.testing.assert_close(positions.embed(x, slice(3, 5)), x + positions.table[[3, 4]])


def test_norms_by_formula() -> None:
    x = torch.randn(2, 3, 16) * 5 + 1
    rms = x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(build_unit_norm(ModelConfig(norm="rms"))(x), rms)
    torch.testing.assert_close(build_norm(ModelConfig(n_embd=16, norm="rms"))(x), rms)
    layer = (x - x.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(build_norm(ModelConfig(n_embd=16, norm="layer"))(x), layer)
    torch.testing.assert_close(build_unit_norm(ModelConfig(norm="layer"))(x), layer)
    assert list(build_unit_norm(ModelConfig(norm="layer")).parameters()) == []
    assert build_norm(ModelConfig(n_embd=16, norm="layer", bias=True)).bias is not None


def test_activations_by_hand() -> None:
    x = torch.tensor([-2.0, 0.0, 3.0, 1.0])
    assert relu_squared(x).tolist() == [0, 0, 9, 1]
    normal = torch.tensor([-2.0 * 0.0227501, 0.0, 3.0 * 0.9986501, 0.8413447])  # x·Φ(x), Φ from a table
    torch.testing.assert_close(gelu_erf(x), normal, rtol=0, atol=1e-6)
    torch.testing.assert_close(gelu(x), normal, rtol=0, atol=1e-3)
    gates = [z / (1 + math.exp(-z)) for z in (-2.0, 0.0)]
    torch.testing.assert_close(swiglu(x), torch.tensor([gates[0] * 3, gates[1] * 1]))


@pytest.mark.parametrize("activation", ["relu", "gelu", "gelu_erf", "relu_squared", "swiglu"])
def test_feedforward_by_formula(activation: str) -> None:
    config = ModelConfig(n_embd=8, n_head=2, activation=activation, bias=True)
    feed, x = FeedForward(config), torch.randn(2, 3, 8)
    hidden = x @ feed.up.weight.T + feed.up.bias
    formulas = {"relu": F.relu, "gelu": gelu, "gelu_erf": F.gelu, "relu_squared": relu_squared, "swiglu": swiglu}
    shaped = formulas[activation](hidden)
    assert shaped.size(-1) == (24 if activation == "swiglu" else 32)
    torch.testing.assert_close(feed(x), shaped @ feed.down.weight.T + feed.down.bias)


@pytest.mark.parametrize("kind", [PostNormBlock, PreNormBlock])
def test_blocks_by_hand(kind: type) -> None:
    config = ModelConfig(n_embd=8, n_head=2, block_size=4, positions="learned", norm="layer", dropout=0.0)
    block, x = kind(config), torch.randn(1, 4, 8)
    torch.nn.init.normal_(block.attention_norm.weight)
    a, f, na, nf = block.attention, block.feedforward, block.attention_norm, block.feedforward_norm
    if kind is PostNormBlock:
        middle = na(x + a(x))
        expected = nf(middle + f(middle))
    else:
        middle = x + a(na(x))
        expected = middle + f(nf(middle))
    torch.testing.assert_close(block(x), expected)


def test_softcap_bends_into_its_bounds() -> None:
    got = Softcap(15.0)(torch.tensor([[[0.0, 0.1, 1000.0, -1000.0]]])).flatten().tolist()
    assert got == pytest.approx([0, 0.1, 15, -15], abs=1e-4)


@pytest.mark.parametrize("shared", [False, True])
def test_dropout_is_there_only_when_asked_and_only_while_training(shared: bool) -> None:
    assert isinstance(build_dropout(ModelConfig(dropout=0.0)), torch.nn.Identity)
    config = ModelConfig(n_embd=16, n_head=2, dropout=0.5, shared_dropout=shared, zero_output=False)
    model = initialize(build(config, 5), 0)
    tokens = torch.zeros(1, 8, dtype=torch.long)
    told = log_prior(model, tokens)
    model.train()
    assert not torch.equal(model(tokens, log_prior=told), model(tokens, log_prior=told))
    model.eval()
    assert torch.equal(model(tokens, log_prior=told), model(tokens, log_prior=told))


def test_shared_dropout_keeps_or_drops_an_activation_at_all_places() -> None:
    """Of 50,000 a quarter is dropped, give or take 5 standard deviations; what is kept grows by 4/3, so the mean stays."""
    torch.manual_seed(0)
    dropped = SharedDropout(0.25).train()(torch.ones(50, 7, 1000))
    assert torch.equal(dropped, dropped[:, :1].expand(50, 7, 1000))
    torch.testing.assert_close(dropped.unique(), torch.tensor([0, 4 / 3]))
    deviation = math.sqrt(0.25 * 0.75 / 50_000)
    assert (dropped[:, 0] == 0).float().mean().item() == pytest.approx(0.25, abs=5 * deviation)
    assert not torch.equal(dropped[0], dropped[1])  # each sequence has its own
