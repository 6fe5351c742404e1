"""Accounting: what a configuration costs, before anything is built.

    ModelConfig, vocab_size ──▶ names and shapes of weights · parameters · FLOPs per character · bytes

Pure arithmetic (no torch), so that planning is instant; tests hold every figure against the real thing.
"""

import math
from dataclasses import dataclass, fields
from typing import assert_never

from letterwise.config.declaration import OPTIMIZER_COPIES, ModelConfig

FLOAT = 4  # bytes of a float32
ROLES = {  # the first word of a weight's name ▸ where `Parameters` counts it
    "tokens": "embedding",
    "positions": "positions",
    "attention": "attention",
    "feedforward": "feedforward",
    "attention_norm": "norms",
    "feedforward_norm": "norms",
    "norm": "norms",
    "prior": "prior",
    "head": "head",
}
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Parameters:
    """How many trained numbers stand where."""

    embedding: int
    positions: int
    attention: int
    feedforward: int
    norms: int
    prior: int
    head: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.embedding + self.positions + self.attention + self.feedforward + self.norms + self.prior + self.head


def weight_shapes(config: ModelConfig, vocab_size: int) -> Shapes:
    """Name and shape of every weight of `Transformer(config, vocab_size)`; a tied head is the embedding, and named once."""
    block = _in_block(config)
    blocks = {f"blocks.{n}.{name}": shape for n in range(config.n_layer) for name, shape in block.items()}
    return _around_blocks(config, vocab_size) | blocks


def parameters(config: ModelConfig, vocab_size: int) -> Parameters:
    """Trained numbers by role; equals what `Transformer(config, vocab_size)` holds. Takes no longer for many layers."""
    held = {role.name: 0 for role in fields(Parameters)}
    for times, shapes in ((1, _around_blocks(config, vocab_size)), (config.n_layer, _in_block(config))):
        for name, shape in shapes.items():
            held[ROLES[name.split(".")[0]]] += times * math.prod(shape)
    return Parameters(**held)


def flops_per_char(config: ModelConfig, vocab_size: int) -> int:
    """Floating-point operations of one forward pass per character, at a full context.

    Two per weight of every matrix, and 4·T·C in each attention for q·kᵀ and its product with v, counted without the
    mask's discount, as is usual (Chowdhery et al. 2022, PaLM appendix B). A training step costs three times as much.
    """
    held = parameters(config, vocab_size)
    biases = (
        config.n_layer
        * config.bias
        * ((config.n_head + 2 * config.kv_heads) * config.head_dim + config.up_width + 2 * config.n_embd)
    )
    prior = held.prior - config.mixed_counts(vocab_size)  # matrices only: the gates' biases are none
    matrices = held.attention + held.feedforward - biases + prior + vocab_size * config.n_embd
    return 2 * matrices + 4 * config.n_layer * config.block_size * config.n_embd


def training_bytes(
    config: ModelConfig, vocab_size: int, batch_size: int, optimizer: str, *, checkpointing: bool = False
) -> int:
    """Memory of a float32 training step: weights, gradients, optimizer state, and what backward needs kept.

    With activation `checkpointing`, that is each block's input, and all of one block while its gradient is computed.

    Weights and gradients are exact, and so is the state of adamw and sgd; muon holds less than is counted here, and
    adafactor's few sums of rows and columns are not counted. Activations come within a quarter.
    """
    weights, chars = parameters(config, vocab_size).total, batch_size * config.block_size
    return FLOAT * (weights * (2 + OPTIMIZER_COPIES[optimizer]) + chars * _kept(config, vocab_size, checkpointing))


def cache_bytes(config: ModelConfig, batch: int = 1) -> int:
    """Memory of a KV cache: a key and a value per layer, head and position of the context."""
    return FLOAT * 2 * config.n_layer * batch * config.kv_heads * config.block_size * config.head_dim


def _kept(config: ModelConfig, vocab_size: int, checkpointing: bool) -> int:
    """Numbers kept per character between forward and backward."""
    c = config.n_embd
    heads = (config.n_head + 2 * config.kv_heads) * config.head_dim
    turned = (config.n_head + config.kv_heads) * config.head_dim
    attention = heads + turned * (2 * config.qk_norm + (config.positions == "rotary")) + c
    dropped = c if config.dropout else 0
    orders = config.mixed_counts(vocab_size)
    scores = vocab_size * (1 + bool(config.softcap) + 2 * bool(orders) + orders)
    block, layers = attention + config.activations_kept + 4 * c + dropped, config.n_layer
    blocks = c * layers + block * min(1, layers) if checkpointing else block * layers
    return blocks + 2 * c + scores


def _around_blocks(config: ModelConfig, vocab_size: int) -> Shapes:
    """The weights before and after the blocks."""
    c, orders = config.n_embd, config.mixed_counts(vocab_size)
    shapes: Shapes = {"tokens.weight": (vocab_size, c)}
    if config.position_table:
        shapes["positions.table"] = (config.block_size, c)
    if orders:
        shapes |= {
            "prior.read.weight": (c, vocab_size + orders),
            "prior.gates.weight": (orders, c),
            "prior.gates.bias": (orders,),
        }
    match config.norm_order:
        case "pre":
            shapes |= _norm("norm", config)
        case "post":
            pass
        case _:
            assert_never(config.norm_order)
    if not config.tied:
        shapes["head.weight"] = (vocab_size, c)
    return shapes


def _in_block(config: ModelConfig) -> Shapes:
    """The weights of one block."""
    c = config.n_embd
    return {
        **_linear("attention.qkv", (config.n_head + 2 * config.kv_heads) * config.head_dim, c, config.bias),
        **_linear("attention.out", c, c, config.bias),
        **_linear("feedforward.up", config.up_width, c, config.bias),
        **_linear("feedforward.down", c, config.hidden, config.bias),
        **_norm("attention_norm", config),
        **_norm("feedforward_norm", config),
    }


def _linear(name: str, outputs: int, inputs: int, bias: bool) -> Shapes:
    return {f"{name}.weight": (outputs, inputs)} | ({f"{name}.bias": (outputs,)} if bias else {})


def _norm(name: str, config: ModelConfig) -> Shapes:
    shapes: Shapes = {f"{name}.weight": (config.n_embd,)}
    return shapes | {f"{name}.bias": (config.n_embd,)} if config.norm_bias else shapes
