"""Layout: a model's weights in one array, as the kernel reads them.

    arrays by name, as a model file keeps them ──pack_weights──▶ one array ──unpack_weights──▶ Weights: an array per kind

All layers' arrays of a kind are stacked. One array, because each one that is handed to the kernel costs time. Matrices lie in
tiles (matmul.py), padded with zeros. What a model does without is zeros (a bias), ones (a gain), or empty (a table, a matrix):
the kernel need not ask.
"""

from collections.abc import Callable
from typing import NamedTuple, assert_never

import numpy as np

from letterwise.compiling.called import instructions
from letterwise.compiling.parts import part
from letterwise.config import ModelConfig
from letterwise.inference.cpu.matmul import LANES, padded, to_tiles

RELU, GELU, RELU_SQUARED, SWIGLU, GELU_ERF = range(5)  # activations by number, as the kernel knows them
VECTORS = (
    "attention_norm.weight", "attention_norm.bias", "feedforward_norm.weight", "feedforward_norm.bias", "attention.out.bias",
    "feedforward.down.bias",
)  # fmt: skip


class KernelConfig(NamedTuple):
    """A model's configuration in numbers."""

    layers: int
    width: int  # C
    vocab_size: int
    heads: int
    kv_heads: int
    head_dim: int
    hidden: int  # F: what `down` takes; `up` gives twice that with swiglu
    block_size: int
    orders: int  # K: how many orders of counts the prior has; 0 without counts
    activation: int  # RELU, GELU, RELU_SQUARED, SWIGLU or GELU_ERF
    rotary: bool
    rms_norm: bool
    post_norm: bool
    qk_norm: bool
    embed_norm: bool
    softcap: float  # 0: none


class Weights(NamedTuple):
    """All weights, float32. L layers, width C, P = (H + 2·kv_heads)·D projections, F hidden (U = F, or 2F with swiglu).

    What is marked "tiles" is a matrix of that shape in tiles.
    """

    tokens: np.ndarray  # (V, C)
    prior: np.ndarray  # (C, V + K) tiles: the embedding of the prior's probabilities and back-off; empty without counts
    positions: np.ndarray  # (block_size, C); rotary: (0, C)
    rotations: np.ndarray  # (2, block_size, D/2), cosines and sines; learned positions: (2, 0, D/2)
    qkv: np.ndarray  # (L, (P, C) tiles)
    qkv_bias: np.ndarray  # (L, P)
    out: np.ndarray  # (L, (C, C) tiles)
    up: np.ndarray  # (L, (U, C) tiles)
    up_bias: np.ndarray  # (L, U)
    down: np.ndarray  # (L, (C, F) tiles)
    vectors: np.ndarray  # (L, 6, C): gain and shift of attention's norm and of feed-forward's, biases of out and down
    norm: np.ndarray  # (2, C): gain and shift of the last norm; post-norm: (0, C)
    head: np.ndarray  # (V + K, C) tiles: the logits, and the prior's gate for each order of counts
    gates_bias: np.ndarray  # (K,)


def kernel_config(config: ModelConfig, vocab_size: int) -> KernelConfig:
    """What the kernel needs to know of a configuration."""
    return KernelConfig(
        config.n_layer, config.n_embd, vocab_size, config.n_head, config.kv_heads, config.head_dim, config.hidden,
        config.block_size, config.mixed_counts(vocab_size), activation_of(config), is_rotary(config), is_rms_norm(config),
        is_post_norm(config), config.qk_norm, config.embed_norm, float(config.softcap),
    )  # fmt: skip


def activation_of(config: ModelConfig) -> int:
    """The number of its activation."""
    match config.activation:
        case "relu":
            return RELU
        case "gelu":
            return GELU
        case "gelu_erf":
            return GELU_ERF
        case "relu_squared":
            return RELU_SQUARED
        case "swiglu":
            return SWIGLU
        case _:
            assert_never(config.activation)


def is_rotary(config: ModelConfig) -> bool:
    """Are its positions rotary?"""
    match config.positions:
        case "rotary":
            return True
        case "learned":
            return False
        case _:
            assert_never(config.positions)


def is_rms_norm(config: ModelConfig) -> bool:
    """Does it normalize by the root mean square?"""
    match config.norm:
        case "rms":
            return True
        case "layer":
            return False
        case _:
            assert_never(config.norm)


def is_post_norm(config: ModelConfig) -> bool:
    """Is it post-norm?"""
    match config.norm_order:
        case "post":
            return True
        case "pre":
            return False
        case _:
            assert_never(config.norm_order)


@part(small=True)
def qkv_size(config):
    """P: how many numbers queries, keys and values of a token are."""
    return (config.heads + 2 * config.kv_heads) * config.head_dim


@part(small=True)
def up_size(config):
    """U: how many numbers `up` gives."""
    return 2 * config.hidden if config.activation == SWIGLU else config.hidden


@part(small=True)
def tiled_size(outputs, inputs):
    """How many numbers a matrix is in tiles."""
    return padded(outputs) * padded(inputs)


@part()
def unpack_weights(config, numbers):
    """The `Weights` in a packed array of `numbers`, as views."""
    layers, width, vocab_size, orders = config.layers, config.width, config.vocab_size, config.orders
    tokens, rest = take(numbers, 1, vocab_size, width)
    prior, rest = take(rest, 1, 1, tiled_size(width, vocab_size + orders) if orders else 0)
    positions, rest = take(rest, 1, 0 if config.rotary else config.block_size, width)
    rotations, rest = take(rest, 2, config.block_size if config.rotary else 0, config.head_dim // 2)
    qkv, rest = take(rest, 1, layers, tiled_size(qkv_size(config), width))
    qkv_bias, rest = take(rest, 1, layers, qkv_size(config))
    out, rest = take(rest, 1, layers, tiled_size(width, width))
    up, rest = take(rest, 1, layers, tiled_size(up_size(config), width))
    up_bias, rest = take(rest, 1, layers, up_size(config))
    down, rest = take(rest, 1, layers, tiled_size(width, config.hidden))
    vectors, rest = take(rest, layers, 6, width)
    norm, rest = take(rest, 1, 0 if config.post_norm else 2, width)
    head, rest = take(rest, 1, 1, tiled_size(vocab_size + orders, width))
    gates_bias, rest = take(rest, 1, 1, orders)
    return Weights(
        tokens[0], prior[0, 0], positions[0], rotations, qkv[0], qkv_bias[0], out[0], up[0], up_bias[0], down[0], vectors,
        norm[0], head[0, 0], gates_bias[0, 0],
    )  # fmt: skip


@instructions(lambda numbers, shape: numbers.copy(ndim=len(shape)), np.reshape)
def shaped(context, builder, signature, arguments):
    """(numbers, shape): an array in one run, in another shape. `numpy.reshape`, without its checks."""
    from letterwise.compiling.compiler import array_of  # it is loaded by now

    numbers = context.make_array(signature.args[0])(context, builder, arguments[0])
    shape = [builder.extract_value(arguments[1], n) for n in range(signature.return_type.ndim)]
    return array_of(context, builder, signature.return_type, numbers.data, shape)


@part()
def take(numbers, count, rows, width):
    """The first `count` · `rows` · `width` numbers in that shape, and the rest, which begins at a line of the cache."""
    size = count * rows * width
    return shaped(numbers[:size], (count, rows, width)), numbers[padded(size) :]


def pack_weights(
    config: ModelConfig,
    kernel: KernelConfig,
    arrays: dict[str, np.ndarray],
    in_order: Callable[[np.ndarray], np.ndarray] = to_tiles,
) -> np.ndarray:
    """`arrays`, named and shaped as in a model file (a tied head may be left out), in one for `unpack_weights`.

    `in_order` puts a matrix in the order in which it is read: tiles, or panels (both in matmul.py).
    """
    width = (kernel.width,)
    empty = np.zeros((0, kernel.width))

    def layers(name: str, *shape: int) -> np.ndarray:
        """One vector of every layer; zeros of this shape where layers have none."""
        vectors = [arrays.get(f"blocks.{i}.{name}", np.zeros(shape)) for i in range(kernel.layers)]
        return np.array(vectors, np.float32)

    def matrices(name: str) -> np.ndarray:
        """One matrix of every layer."""
        return np.array([in_order(arrays[f"blocks.{i}.{name}.weight"]) for i in range(kernel.layers)], np.float32)

    head = arrays["tokens.weight" if config.tied else "head.weight"]
    pieces = [
        arrays["tokens.weight"],
        in_order(arrays["prior.read.weight"]) if kernel.orders else empty,
        arrays.get("positions.table", empty),
        rotations(config) if kernel.rotary else empty,
        matrices("attention.qkv"),
        layers("attention.qkv.bias", qkv_size(kernel)),
        matrices("attention.out"),
        matrices("feedforward.up"),
        layers("feedforward.up.bias", up_size(kernel)),
        matrices("feedforward.down"),
        np.stack([layers(name, *width) for name in VECTORS], 1),
        empty if kernel.post_norm else np.array([arrays["norm.weight"], arrays.get("norm.bias", np.zeros(width))]),
        in_order(np.concatenate((head, arrays["prior.gates.weight"])) if kernel.orders else head),
        arrays["prior.gates.bias"] if kernel.orders else empty,
    ]
    numbers, begin = aligned(sum(padded(piece.size) for piece in pieces)), 0
    for piece in pieces:
        numbers[begin : begin + piece.size] = piece.reshape(-1)
        begin += padded(piece.size)
    return numbers


def rotations(config: ModelConfig) -> np.ndarray:
    """Cosines and sines of every position and pair (2, block_size, D/2), as in model/positions.py."""
    pair = 2 * np.arange(config.head_dim // 2) / config.head_dim
    angles = np.outer(np.arange(config.block_size), config.rotary_base**-pair)
    return np.stack((np.cos(angles), np.sin(angles)))


def aligned(*shape: int) -> np.ndarray:
    """Zeros, float32, that begin at a line of the cache: vectors that straddle two lines cost twice."""
    size = int(np.prod(shape))
    longer = np.zeros(size + LANES, np.float32)
    start = -(longer.ctypes.data // 4) % LANES
    return longer[start : start + size].reshape(shape)
