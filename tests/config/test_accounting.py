"""Accounting: what the arithmetic says is what reality holds."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from priors import log_prior
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from letterwise.config.accounting import FLOAT, cache_bytes, flops_per_char, parameters, training_bytes, weight_shapes
from letterwise.config.presets import PRESETS, SIZES, resolve
from letterwise.errors import UserError
from letterwise.loss import cross_entropy
from letterwise.model import KVCache, Transformer, build, initialize
from letterwise.runtime.layers import recompute
from letterwise.training.optimizers.optimizer import build_optimizers

CONFIGS = st.fixed_dictionaries(
    {
        "preset": st.sampled_from(list(PRESETS)),
        "n_layer": st.integers(0, 3),
        "n_embd": st.sampled_from([16, 32]),
        "block_size": st.integers(1, 20),
        "bias": st.booleans(),
        "tied": st.booleans(),
        "norm": st.sampled_from(["layer", "rms"]),
        "norm_order": st.sampled_from(["pre", "post"]),
        "activation": st.sampled_from(["relu", "gelu", "gelu_erf", "relu_squared", "swiglu"]),
        "positions": st.sampled_from(["learned", "rotary"]),
        "n_head": st.just(4),
        "n_kv_head": st.sampled_from([1, 2, 4]),
        "counts_order": st.integers(0, 7),
    }
).filter(lambda flags: flags["n_layer"] or flags["positions"] == "rotary")


@settings(max_examples=60)
@given(flags=CONFIGS, vocab_size=st.integers(1, 600))
def test_parameters(flags: dict, vocab_size: int) -> None:
    config = resolve(flags).model
    held = dict(build(config, vocab_size, "meta").named_parameters())  # a tied matrix once
    assert weight_shapes(config, vocab_size) == {name: tuple(weight.shape) for name, weight in held.items()}
    assert parameters(config, vocab_size).total == sum(weight.numel() for weight in held.values())


@settings(max_examples=15)
@given(flags=CONFIGS, vocab_size=st.sampled_from([50, 513]))
def test_flops(flags: dict, vocab_size: int) -> None:
    config = resolve(flags).model
    model, tokens = initialize(build(config, vocab_size), 0).eval(), torch.zeros(3, config.block_size, dtype=torch.long)
    told = log_prior(model, tokens)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        model(tokens, log_prior=told)
    assert counter.get_total_flops() / tokens.numel() == flops_per_char(config, vocab_size)


@pytest.mark.parametrize(("dropout", "vocab_size"), [(0.0, 65), (0.1, 65), (0.0, 2000)])
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "muon", "adafactor"])
def test_training_memory(preset: str, dropout: float, vocab_size: int, optimizer: str) -> None:
    """Weights, gradients and state to the byte (muon and adafactor: at most); what autograd keeps, to a quarter."""
    config = resolve({"preset": preset, "dropout": dropout, "batch_size": 4, "optimizer": optimizer})
    model = initialize(build(config.model, vocab_size), 0).train()
    optimizers = build_optimizers(model, config.training)
    nats, activations = kept_for_backward(model, 4)
    nats.backward()
    gradients = sum(w.grad.nbytes for w in model.parameters())
    optimizers.step()
    state = sum(
        tensor.nbytes
        for one in optimizers.optimizers
        for held in one.state.values()
        for tensor in held.values()
        if isinstance(tensor, torch.Tensor) and tensor.ndim
    )
    weights = sum(w.nbytes for w in model.parameters())
    without_activations = training_bytes(config.model, vocab_size, 0, optimizer)
    if optimizer in ("adamw", "sgd"):
        assert without_activations == weights + gradients + state
    else:
        assert weights + gradients <= without_activations
        assert state <= weights * 2
    estimated = training_bytes(config.model, vocab_size, 4, optimizer) - without_activations
    assert estimated == pytest.approx(activations, rel=0.25)


@pytest.mark.parametrize("preset", ["fast", "classic", "llama"])
def test_memory_with_activation_checkpointing(preset: str) -> None:
    """Of each block its input, and all of one of them, besides what is outside of them; to a third."""
    config = resolve({"preset": preset, "dropout": 0.1, "n_layer": 5}).model
    model = initialize(build(config, 65), 0).train()
    all_of_it = kept_for_backward(model, 4)[1]
    shorter = build(resolve({"preset": preset, "dropout": 0.1, "n_layer": 4}).model, 65).train()
    one_block = all_of_it - kept_for_backward(initialize(shorter, 0), 4)[1]
    for block in model.blocks:
        recompute(block, random=True)
    outside = kept_for_backward(model, 4)[1]
    assert outside < all_of_it - 4 * one_block
    inputs = 5 * 4 * config.block_size * config.n_embd * FLOAT
    estimated = training_bytes(config, 65, 4, "adamw", checkpointing=True) - training_bytes(config, 65, 0, "adamw")
    assert estimated == pytest.approx(outside + inputs + one_block, rel=0.33)


def kept_for_backward(model: Transformer, rows: int) -> tuple[torch.Tensor, int]:
    """The loss on random characters, and how many bytes are kept to get its gradient, weights aside."""
    own = {w.untyped_storage().data_ptr() for w in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if (place := tensor.untyped_storage().data_ptr()) not in own:
            kept[place] = tensor
        return tensor

    tokens = torch.randint(model.vocab_size, (rows, model.config.block_size))
    told = log_prior(model, tokens)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        nats = cross_entropy(model(tokens, log_prior=told), tokens)
    return nats, sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


@pytest.mark.parametrize("preset", PRESETS)
def test_cache_memory(preset: str) -> None:
    config = resolve({"preset": preset}).model
    assert cache_bytes(config, batch=3) == KVCache(config, rows=3).held[..., : config.block_size, :].nbytes


def test_sizes_reach_gpt2_and_beyond() -> None:
    """GPT-2 small has 124 M parameters at 50,257 tokens, 85 M of them in its blocks."""
    medium = parameters(resolve({"preset": "gpt2", "size": "medium"}).model, 65)
    assert medium.attention + medium.feedforward == pytest.approx(85e6, rel=0.01)
    totals = [parameters(resolve({"size": size}).model, 65).total for size in SIZES]
    assert totals == sorted(totals)
    assert FLOAT * totals[-1] > 1e9


def test_a_knob_of_the_wrong_kind_is_refused_by_value() -> None:
    with pytest.raises(UserError, match="n_embd='wide'"):
        resolve({"n_embd": "wide"})
