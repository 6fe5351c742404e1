"""Layout: a model's numbers, laid out as the kernel reads them.

    arrays by name, as a model file keeps them ──lay_out──▶ one run of numbers ──unfold──▶ Weights: an array per kind

All layers' arrays of a kind lie on top of each other. One run, because each array that is handed to the kernel costs time.
Matrices lie in tiles (matmul.py), padded with zeros. What a model does without is there as zeros (a bias), as ones (a gain),
or not at all (a table, a matrix): the kernel need not ask.
"""

from typing import NamedTuple, assert_never

import numpy as np

from letterwise.compiling.parts import part
from letterwise.config import ModelConfig
from letterwise.inference.cpu.matmul import LANES, OUTPUTS, in_tiles, padded

RELU, GELU, RELU_SQUARED, SWIGLU = range(4)  # activations by number, as the kernel knows them
VECTORS = (
    "attention_norm.weight", "attention_norm.bias", "feedforward_norm.weight", "feedforward_norm.bias", "attention.out.bias",
    "feedforward.down.bias",
)  # fmt: skip


class Bricks(NamedTuple):
    """Which bricks the model is built from (model/), in numbers."""

    layers: int
    wide: int  # C
    vocab_size: int
    heads: int
    kv_heads: int
    head_dim: int
    hidden: int  # F: what `down` takes; `up` gives twice that with swiglu
    block_size: int
    orders: int  # K: how many orders of counts it is told; 0 without
    activation: int  # RELU, GELU, RELU_SQUARED or SWIGLU
    rotary: bool
    rms: bool
    post: bool
    qk_norm: bool
    embed_norm: bool
    softcap: float  # 0: none


class Weights(NamedTuple):
    """All numbers, float32. L layers, C wide, P = (H + 2·kv_heads)·D projections, F hidden (U = F, or 2F with swiglu).

    What is marked "tiles" is a matrix of that shape in tiles.
    """

    tokens: np.ndarray  # (V, C)
    told: np.ndarray  # (C, V + K) tiles: what each of the prior's expectations and escapes adds; nothing without counts
    places: np.ndarray  # (block_size, C); rotary: (0, C)
    turns: np.ndarray  # (2, block_size, D/2), cosines and sines; learned positions: (2, 0, D/2)
    qkv: np.ndarray  # (L, (P, C) tiles)
    qkv_bias: np.ndarray  # (L, P)
    out: np.ndarray  # (L, (C, C) tiles)
    up: np.ndarray  # (L, (U, C) tiles)
    up_bias: np.ndarray  # (L, U)
    down: np.ndarray  # (L, (C, F) tiles)
    vectors: np.ndarray  # (L, 6, C): gain and shift of attention's norm and of feed-forward's, biases of out and down
    norm: np.ndarray  # (2, C): gain and shift of the last one; post-norm: (0, C)
    head: np.ndarray  # (V + K, C) tiles: the scores of all characters, and a gate for each order of counts
    gates_bias: np.ndarray  # (K,)


def bricks_of(config: ModelConfig, vocab_size: int) -> Bricks:
    """The numbers that the kernel asks the configuration for."""
    return Bricks(
        config.n_layer, config.n_embd, vocab_size, config.n_head, config.kv_heads, config.head_dim, config.hidden,
        config.block_size, config.mixed_orders(vocab_size), activation_of(config), turns_pairs(config), leaves_the_mean(config),
        normalizes_after(config), config.qk_norm, config.embed_norm, float(config.softcap),
    )  # fmt: skip


def activation_of(config: ModelConfig) -> int:
    """The number of its activation."""
    match config.activation:
        case "relu":
            return RELU
        case "gelu":
            return GELU
        case "relu_squared":
            return RELU_SQUARED
        case "swiglu":
            return SWIGLU
        case _:
            assert_never(config.activation)


def turns_pairs(config: ModelConfig) -> bool:
    """Are its positions rotary?"""
    match config.positions:
        case "rotary":
            return True
        case "learned":
            return False
        case _:
            assert_never(config.positions)


def leaves_the_mean(config: ModelConfig) -> bool:
    """Does it normalize by the root mean square?"""
    match config.norm:
        case "rms":
            return True
        case "layer":
            return False
        case _:
            assert_never(config.norm)


def normalizes_after(config: ModelConfig) -> bool:
    """Is it post-norm?"""
    match config.norm_order:
        case "post":
            return True
        case "pre":
            return False
        case _:
            assert_never(config.norm_order)


@part(small=True, _nrt=False)
def projections(bricks):
    """P: how many numbers queries, keys and values of a character are."""
    return (bricks.heads + 2 * bricks.kv_heads) * bricks.head_dim


@part(small=True, _nrt=False)
def grown(bricks):
    """U: how many numbers `up` gives."""
    return 2 * bricks.hidden if bricks.activation == SWIGLU else bricks.hidden


@part(small=True, _nrt=False)
def tiled(outputs, inputs):
    """How many numbers a matrix is in tiles."""
    return padded(outputs, OUTPUTS) * padded(inputs)


@part(_nrt=False)
def unfold(bricks, numbers):
    """The `Weights` that lie in one run of `numbers`, as views."""
    layers, wide, vocab_size, orders = bricks.layers, bricks.wide, bricks.vocab_size, bricks.orders
    tokens, rest = cut(numbers, 1, vocab_size, wide)
    told, rest = cut(rest, 1, 1, tiled(wide, vocab_size + orders) if orders else 0)
    places, rest = cut(rest, 1, 0 if bricks.rotary else bricks.block_size, wide)
    turns, rest = cut(rest, 2, bricks.block_size if bricks.rotary else 0, bricks.head_dim // 2)
    qkv, rest = cut(rest, 1, layers, tiled(projections(bricks), wide))
    qkv_bias, rest = cut(rest, 1, layers, projections(bricks))
    out, rest = cut(rest, 1, layers, tiled(wide, wide))
    up, rest = cut(rest, 1, layers, tiled(grown(bricks), wide))
    up_bias, rest = cut(rest, 1, layers, grown(bricks))
    down, rest = cut(rest, 1, layers, tiled(wide, bricks.hidden))
    vectors, rest = cut(rest, layers, 6, wide)
    norm, rest = cut(rest, 1, 0 if bricks.post else 2, wide)
    head, rest = cut(rest, 1, 1, tiled(vocab_size + orders, wide))
    gates_bias, rest = cut(rest, 1, 1, orders)
    return Weights(
        tokens[0], told[0, 0], places[0], turns, qkv[0], qkv_bias[0], out[0], up[0], up_bias[0], down[0], vectors, norm[0],
        head[0, 0], gates_bias[0, 0],
    )  # fmt: skip


@part(_nrt=False)
def cut(numbers, many, rows, width):
    """The first `many` · `rows` · `width` numbers in that shape, and the rest, which begins at a line of the cache."""
    size = many * rows * width
    return numbers[:size].reshape((many, rows, width)), numbers[padded(size) :]


def lay_out(config: ModelConfig, bricks: Bricks, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """The numbers of `arrays`, named and shaped as in a model file (a tied head may be left out), in one run for `unfold`."""
    wide = (bricks.wide,)
    nothing = np.zeros((0, bricks.wide))

    def layers(name: str, *otherwise: int) -> np.ndarray:
        """One vector of every layer; zeros of this shape where layers have none."""
        each = [arrays.get(f"blocks.{i}.{name}", np.zeros(otherwise)) for i in range(bricks.layers)]
        return np.array(each, np.float32)

    def matrices(name: str) -> np.ndarray:
        """One matrix of every layer."""
        return np.array([in_tiles(arrays[f"blocks.{i}.{name}.weight"]) for i in range(bricks.layers)], np.float32)

    head = arrays["tokens.weight" if config.tied else "head.weight"]
    pieces = [
        arrays["tokens.weight"],
        in_tiles(arrays["prior.read.weight"]) if bricks.orders else nothing,
        arrays.get("positions.table", nothing),
        turns(config) if bricks.rotary else nothing,
        matrices("attention.qkv"),
        layers("attention.qkv.bias", projections(bricks)),
        matrices("attention.out"),
        matrices("feedforward.up"),
        layers("feedforward.up.bias", grown(bricks)),
        matrices("feedforward.down"),
        np.stack([layers(name, *wide) for name in VECTORS], 1),
        nothing if bricks.post else np.array([arrays["norm.weight"], arrays.get("norm.bias", np.zeros(wide))]),
        in_tiles(np.concatenate((head, arrays["prior.gates.weight"])) if bricks.orders else head),
        arrays["prior.gates.bias"] if bricks.orders else nothing,
    ]
    numbers, begin = aligned(sum(padded(piece.size) for piece in pieces)), 0
    for piece in pieces:
        numbers[begin : begin + piece.size] = piece.reshape(-1)
        begin += padded(piece.size)
    return numbers


def turns(config: ModelConfig) -> np.ndarray:
    """Cosines and sines of every place and pair (2, block_size, D/2), as in model/positions.py."""
    pair = np.arange(0, config.head_dim, 2) / config.head_dim
    angles = np.outer(np.arange(config.block_size), config.rotary_base**-pair)
    return np.stack((np.cos(angles), np.sin(angles)))


def aligned(*shape: int) -> np.ndarray:
    """Zeros, float32, that begin at a line of the cache: vectors that straddle two lines cost twice."""
    size = int(np.prod(shape))
    room = np.zeros(size + LANES, np.float32)
    start = -(room.ctypes.data // 4) % LANES
    return room[start : start + size].reshape(shape)
