"""Weights: a model's numbers, laid out as the kernel reads them.

    arrays by name, as a model file keeps them ──lay_out──▶ Weights: one array per kind, all layers on top of each other

Linear layers keep their own order (a row per output), so that each output is one product of two runs of memory. What a model
does without is there as zeros (a bias), as ones (a gain), or with no rows at all (a table): the kernel need not ask.
"""

from typing import NamedTuple

import numpy as np

from letterwise.config import ModelConfig

ACTIVATIONS = ("relu", "gelu", "relu_squared", "swiglu")  # by number, as the kernel knows them
LINE = 64  # bytes: a vector register's worth, and a line of the processor's cache


class Bricks(NamedTuple):
    """Which bricks the model is built from (model/), in numbers."""

    heads: int
    kv_heads: int
    head_dim: int
    hidden: int  # F: what `down` takes; `up` gives twice that with swiglu
    block_size: int
    orders: int  # K: how many orders of counts it is told; 0 without
    activation: int  # its place in ACTIVATIONS
    rotary: bool
    rms: bool
    post: bool
    qk_norm: bool
    embed_norm: bool
    softcap: float  # 0: none


class Weights(NamedTuple):
    """All numbers, float32. L layers, C wide, P = (H + 2·kv_heads)·D projections, F hidden (U = F, or 2F with swiglu)."""

    tokens: np.ndarray  # (V, C)
    places: np.ndarray  # (block_size, C); rotary: (0, C)
    turns: np.ndarray  # (2, block_size, D/2), cosines and sines; learned positions: (2, 0, 0)
    qkv: np.ndarray  # (L, P, C)
    qkv_bias: np.ndarray  # (L, P)
    out: np.ndarray  # (L, C, C)
    up: np.ndarray  # (L, U, C)
    up_bias: np.ndarray  # (L, U)
    down: np.ndarray  # (L, C, F)
    vectors: np.ndarray  # (L, 6, C): gain and shift of attention's norm and of feed-forward's, biases of out and down
    norm: np.ndarray  # (2, C): gain and shift of the last one; (0, C) where there is none
    head: np.ndarray  # (V, C)
    told: np.ndarray  # (V + K, C): what each of the prior's expectations and escapes adds; (0, C) without counts
    gates: np.ndarray  # (K, C)
    gates_bias: np.ndarray  # (K,)


class Desk(NamedTuple):
    """Room for R rows on their way through."""

    x: np.ndarray  # (R, C)
    y: np.ndarray  # (R, C)
    mixed: np.ndarray  # (R, C)
    projected: np.ndarray  # (R, P)
    grown: np.ndarray  # (R, U)
    inner: np.ndarray  # (R, F)
    shares: np.ndarray  # (R, block_size)
    logits: np.ndarray  # (R, V)


def desk_for(bricks: Bricks, weights: Weights, rows: int) -> Desk:
    """Room for so many rows."""
    vocab_size, wide = weights.tokens.shape
    widths = (wide, wide, wide, weights.qkv.shape[1], weights.up.shape[1], bricks.hidden, bricks.block_size, vocab_size)
    return Desk(*(aligned(rows, width) for width in widths))


def bricks_of(config: ModelConfig, vocab_size: int) -> Bricks:
    """The numbers that the kernel asks the configuration for."""
    return Bricks(
        config.n_head, config.kv_heads, config.head_dim, config.hidden, config.block_size, config.mixed_orders(vocab_size),
        ACTIVATIONS.index(config.activation), config.positions == "rotary", config.norm == "rms", config.norm_order == "post",
        config.qk_norm, config.embed_norm, float(config.softcap),
    )  # fmt: skip


def lay_out(config: ModelConfig, vocab_size: int, arrays: dict[str, np.ndarray]) -> Weights:
    """The layout of `arrays`, named and shaped as in a model file (a tied head may be left out)."""
    bricks, wide = bricks_of(config, vocab_size), config.n_embd
    projections = (bricks.heads + 2 * bricks.kv_heads) * bricks.head_dim
    inner = arrays["blocks.0.feedforward.up.weight"].shape[0] if config.n_layer else 0

    def layers(name: str, *shape: int) -> np.ndarray:
        """One array of every layer; zeros where layers have none."""
        stack = aligned(config.n_layer, *shape)
        for i, layer in enumerate(stack):
            layer[:] = arrays.get(f"blocks.{i}.{name}", 0)
        return stack

    vectors = aligned(config.n_layer, 6, wide)
    named = ("attention_norm.weight", "attention_norm.bias", "feedforward_norm.weight", "feedforward_norm.bias",
             "attention.out.bias", "feedforward.down.bias")  # fmt: skip
    for place, name in enumerate(named):
        vectors[:, place] = layers(name, wide)
    norm = aligned(2 if "norm.weight" in arrays else 0, wide)
    if len(norm):
        norm[0], norm[1] = arrays["norm.weight"], arrays.get("norm.bias", 0)
    return Weights(
        tokens=copied(arrays["tokens.weight"]),
        places=copied(arrays.get("positions.table", np.empty((0, wide)))),
        turns=turns(config) if bricks.rotary else aligned(2, 0, 0),
        qkv=layers("attention.qkv.weight", projections, wide),
        qkv_bias=layers("attention.qkv.bias", projections),
        out=layers("attention.out.weight", wide, wide),
        up=layers("feedforward.up.weight", inner, wide),
        up_bias=layers("feedforward.up.bias", inner),
        down=layers("feedforward.down.weight", wide, bricks.hidden),
        vectors=vectors,
        norm=norm,
        head=copied(arrays["tokens.weight" if config.tied else "head.weight"]),
        told=copied(arrays["prior.read.weight"].T if bricks.orders else np.empty((0, wide))),
        gates=copied(arrays.get("prior.gates.weight", np.empty((0, wide)))),
        gates_bias=copied(arrays.get("prior.gates.bias", np.empty(0))),
    )


def turns(config: ModelConfig) -> np.ndarray:
    """Cosines and sines of every place and pair (2, block_size, D/2), as in model/positions.py."""
    pair = np.arange(0, config.head_dim, 2) / config.head_dim
    angles = np.outer(np.arange(config.block_size), config.rotary_base**-pair)
    return copied(np.stack((np.cos(angles), np.sin(angles))))


def copied(array: np.ndarray) -> np.ndarray:
    """The same numbers as float32, in memory of our own."""
    copy = aligned(*array.shape)
    copy[:] = array
    return copy


def aligned(*shape: int) -> np.ndarray:
    """Zeros, float32, that begin at a line of the cache: vectors that straddle two lines cost twice."""
    size = int(np.prod(shape))
    room = np.zeros(size + LINE // 4, np.float32)
    start = (-room.ctypes.data % LINE) // 4
    return room[start : start + size].reshape(shape)
