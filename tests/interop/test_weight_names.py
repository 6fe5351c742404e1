"""Weight names: what goes out comes back, and parts that no other program has are named."""

from typing import Any

import numpy as np
import pytest

from letterwise.config import ModelConfig
from letterwise.config.accounting import weight_shapes
from letterwise.config.presets import resolve
from letterwise.interop.architecture import nearest, obstacles
from letterwise.interop.weight_names import (
    GGUF_GPT2,
    GGUF_LLAMA,
    HF_GPT2,
    HF_LLAMA,
    HF_OPT,
    NANOGPT,
    Format,
    heads_written_out,
    to_ours,
    to_theirs,
)

CHARS = 11
SHAPE = dict(n_layer=2, n_head=4, n_embd=32, block_size=8)


def shaped(preset: str, **changes: Any) -> ModelConfig:
    """The bricks of a preset, small."""
    return resolve({"preset": preset, **SHAPE, **changes}).model


def drawn(config: ModelConfig) -> dict[str, np.ndarray]:
    """Weights that are all different."""
    draw = np.random.default_rng(0)
    return {name: draw.normal(size=shape).astype(np.float32) for name, shape in weight_shapes(config, CHARS).items()}


@pytest.mark.parametrize(
    ("preset", "form"),
    [
        ("gpt2", NANOGPT),
        ("gpt2", HF_GPT2),
        ("gpt2", GGUF_GPT2),
        ("llama", HF_LLAMA),
        ("llama", GGUF_LLAMA),
        ("classic", HF_OPT),
    ],
)
@pytest.mark.parametrize("tied", [False, True])
def test_what_goes_out_comes_back(preset: str, form: Format, tied: bool) -> None:
    config = shaped(preset, tied=tied)
    weights = drawn(config)
    back = to_ours(to_theirs(weights, config, form), config, form, CHARS)
    assert back.keys() == weights.keys()
    for name, weight in weights.items():
        assert np.array_equal(back[name], weight), name


def test_a_missing_weight_is_named() -> None:
    config = shaped("gpt2")
    theirs = to_theirs(drawn(config), config, HF_GPT2)
    del theirs["transformer.h.1.mlp.c_fc.bias"]
    with pytest.raises(KeyError, match=r"transformer\.h\.1\.mlp\.c_fc\.bias"):
        to_ours(theirs, config, HF_GPT2, CHARS)


def test_a_bias_that_others_need_is_zero() -> None:
    config = shaped("gpt2", bias=False)
    theirs = to_theirs(drawn(config), config, HF_GPT2)
    assert theirs.keys() == to_theirs(drawn(shaped("gpt2")), shaped("gpt2"), HF_GPT2).keys()
    assert theirs["transformer.h.0.attn.c_attn.bias"].tolist() == [0.0] * 96
    assert not any(name.endswith(".bias") for name in to_theirs(drawn(config), config, NANOGPT))


def test_shared_heads_written_out_are_the_same_model() -> None:
    import torch

    from letterwise.checkpoint.weights import load_weights
    from letterwise.model import build

    config = shaped("llama", n_kv_head=2, bias=True)
    weights = drawn(config)
    full, wider = heads_written_out(weights, config)
    assert wider.kv_heads == 4
    logits = []
    for one, each in ((config, weights), (wider, full)):
        model = build(one, CHARS)
        load_weights(model, each)
        logits.append(model(torch.tensor([[1, 5, 2, 9, 0]])))
    assert torch.allclose(*logits, atol=1e-4)


@pytest.mark.parametrize("preset", ["classic", "gpt2", "llama"])
def test_these_presets_are_other_programs_models(preset: str) -> None:
    assert obstacles(shaped(preset)) == []
    assert nearest(shaped(preset)) == {"classic": "opt", "gpt2": "gpt2", "llama": "llama"}[preset]


def test_what_is_ours_alone_is_named() -> None:
    assert obstacles(shaped("fast")) == [
        "n-gram counts",
        "normalized queries and keys",
        "a normalized embedding",
        "a softcap",
        "layer norm",
        "squared ReLU without a gate",
    ]


@pytest.mark.parametrize(
    ("preset", "changes", "named"),
    [
        ("llama", {"activation": "gelu"}, "GELU without a gate"),
        ("llama", {"activation": "gelu_erf"}, "exact GELU without a gate"),
        ("llama", {"norm_order": "post"}, "norms after each component"),
        ("llama", {"norm": "layer"}, "layer norm"),
        ("gpt2", {"activation": "swiglu"}, "SwiGLU"),
        ("classic", {"norm": "rms"}, "RMS norm"),
        ("classic", {"softcap": 15.0}, "a softcap"),
        ("gpt2", {"counts_order": 5}, "n-gram counts"),
    ],
)
def test_what_no_other_program_has_is_named(preset: str, changes: dict[str, Any], named: str) -> None:
    assert obstacles(shaped(preset, **changes)) == [named]
