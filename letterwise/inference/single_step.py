"""Single step: one character through the transformer on a CPU, in NumPy.

    id ──▶ x (C,) ──layers──▶ logits (V,)      the same formulas as letterwise/model, without the batch and time axes

Why it stands beside the model: one character at a time, every product is a matrix times a vector, where PyTorch pays
more for calling than for computing, and its CPU library for reading the weights (docs/log.md has figures). The weights
and the KV cache are the model's own memory, so both can take turns. tests/inference holds the two against each other.
"""

import math
from collections.abc import Callable

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn

from letterwise.model import KVCache, Transformer
from letterwise.model.attention import Attention
from letterwise.model.block import Block, PreNormBlock
from letterwise.model.feedforward import FeedForward, gelu, relu_squared, swiglu
from letterwise.model.normalization import EPSILON, UnitLayer, UnitRMS
from letterwise.model.positions import RotaryPositions
from letterwise.model.transformer import Softcap

Vector = np.ndarray
Function = Callable[[Vector], Vector]


class SingleStep:
    """Reads one more character into `cache`, and scores the next."""

    def __init__(self, model: Transformer, cache: KVCache) -> None:
        self.cache = cache
        self.embedding = _array(model.tokens.weight)
        rotary = isinstance(model.positions, RotaryPositions)
        self.places = None if rotary else _array(model.positions.table)
        self.angles = (_array(model.positions.cos), _array(model.positions.sin)) if rotary else None
        self.prior = None if model.prior is None else (_function(model.prior.read), _function(model.prior.gates))
        self.embed_norm, self.norm = _function(model.embed_norm), _function(model.norm)
        self.blocks = [_block(block, i, self) for i, block in enumerate(model.blocks)]
        self.head, self.cap = _function(model.head), _function(model.cap)

    @np.errstate(over="ignore")  # exp may reach infinity on the way to a right answer, as in silu(-100) = -100/∞
    def __call__(self, token: int, log_prior: np.ndarray | None = None) -> Vector:
        """Logits (V,), float32, of what follows `token` and all that the cache holds.

        `log_prior` (K, V+1) is what counts say of it, for a model that learned beside them.
        """
        x = self.embedding[token]
        if self.places is not None:
            x = x + self.places[self.cache.seen]
        if self.prior is not None and log_prior is not None:
            x = x + self.prior[0](np.exp(np.concatenate((log_prior[-1, :-1], log_prior[:, -1]))))
        x = self.embed_norm(x)
        for block in self.blocks:
            x = block(x)
        h = self.norm(x)
        logits = self.cap(self.head(h))
        if self.prior is not None and log_prior is not None:
            logits = logits + self.prior[1](h) @ log_prior[:, :-1]
        return logits


def _block(block: nn.Module, layer: int, step: SingleStep) -> Function:
    assert isinstance(block, Block)
    attend, feed = _attention(block.attention, layer, step), _feedforward(block.feedforward)
    attention_norm, feedforward_norm = _function(block.attention_norm), _function(block.feedforward_norm)

    def pre(x: Vector) -> Vector:
        x = x + attend(attention_norm(x))
        return x + feed(feedforward_norm(x))

    def post(x: Vector) -> Vector:
        x = attention_norm(x + attend(x))
        return feedforward_norm(x + feed(x))

    return pre if isinstance(block, PreNormBlock) else post


def _attention(attention: Attention, layer: int, step: SingleStep) -> Function:
    qkv, out = _function(attention.qkv), _function(attention.out)
    normalize = _function(attention.normalize)
    queries, keys_held, _ = attention.heads
    groups, dim = queries // keys_held, attention.head_dim
    cache = step.cache.layers[layer]
    held = cache.held[:, 0].numpy()  # (2, K, block_size, D), shared with the cache

    def attend(x: Vector) -> Vector:
        place = cache.seen
        heads = qkv(x).reshape(-1, dim)  # (H+2K, D)
        turned = normalize(heads[: queries + keys_held])
        if step.angles is not None:
            turned = _rotate(turned, step.angles[0][place], step.angles[1][place])
        held[0, :, place] = turned[queries:]
        held[1, :, place] = heads[queries + keys_held :]
        cache.seen = place + 1
        keys, values = held[:, :, : place + 1]  # (K, S, D) each
        scores = turned[:queries].reshape(keys_held, groups, dim) @ keys.transpose(0, 2, 1)  # (K, H/K, S)
        scores = np.exp((scores - scores.max(-1, keepdims=True)) / np.float32(math.sqrt(dim)))
        scores /= scores.sum(-1, keepdims=True)
        return out((scores @ values).reshape(-1))

    return attend


def _feedforward(feedforward: FeedForward) -> Function:
    up, down, activation = _function(feedforward.up), _function(feedforward.down), ACTIVATIONS[feedforward.activation]
    return lambda x: down(activation(up(x)))


def _function(module: nn.Module) -> Function:
    """A brick that works on one vector, in NumPy, over the brick's own weights."""
    match module:
        case nn.Linear(weight=weight, bias=None):
            w = _array(weight)
            return lambda x: w @ x
        case nn.Linear(weight=weight, bias=bias):
            w, b = _array(weight), _array(bias)
            return lambda x: w @ x + b
        case nn.LayerNorm(weight=weight, bias=bias):
            gain, shift = _array(weight), _array(bias) if bias is not None else np.float32(0)
            return lambda x: _layer_norm(x) * gain + shift
        case nn.RMSNorm(weight=weight):
            gain = _array(weight)
            return lambda x: _unit_rms(x) * gain
        case UnitRMS():
            return _unit_rms
        case UnitLayer():
            return _layer_norm
        case Softcap(cap=cap):
            return lambda x: np.float32(cap) * np.tanh(x / np.float32(cap))
        case nn.Identity():
            return lambda x: x
    raise TypeError(f"no single step is written for {type(module).__name__}")


def _array(weight: Tensor) -> np.ndarray:
    return weight.detach().numpy()


def _unit_rms(x: np.ndarray) -> np.ndarray:
    return x / np.sqrt(np.square(x).mean(-1, keepdims=True) + np.float32(EPSILON))


def _layer_norm(x: np.ndarray) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt(np.square(centred).mean(-1, keepdims=True) + np.float32(EPSILON))


def _rotate(x: np.ndarray, cos: Vector, sin: Vector) -> np.ndarray:
    left, right = np.split(x, 2, axis=-1)
    return np.concatenate((left * cos - right * sin, right * cos + left * sin), axis=-1)


def _relu(x: Vector) -> Vector:
    return np.maximum(x, 0)


def _relu_squared(x: Vector) -> Vector:
    return np.square(np.maximum(x, 0))


def _gelu(x: Vector) -> Vector:
    return np.float32(0.5) * x * (1 + np.tanh(np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x * x * x)))


def _swiglu(x: Vector) -> Vector:
    gate, value = np.split(x, 2)
    return gate / (1 + np.exp(-gate)) * value


ACTIVATIONS: dict[Callable[[Tensor], Tensor], Function] = {
    F.relu: _relu,
    relu_squared: _relu_squared,
    gelu: _gelu,
    swiglu: _swiglu,
}
