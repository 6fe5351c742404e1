"""Accounting: what a configuration costs, before anything is built.

    ModelConfig, vocab_size ──▶ parameters · FLOPs per character · bytes

Pure arithmetic (no torch), so that planning is instant; tests hold every figure against the real thing.
"""

from dataclasses import dataclass

from letterwise.config import ModelConfig

FLOAT = 4  # bytes of a float32
OPTIMIZER_COPIES = {"adamw": 2, "muon": 2, "sgd": 1, "adafactor": 0}  # weight-sized state, at most


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


def parameters(config: ModelConfig, vocab_size: int) -> Parameters:
    """Trained numbers by role; equals what `Transformer(config, vocab_size)` holds."""
    c, hidden = config.n_embd, config.hidden
    qkv = (config.n_head + 2 * config.kv_heads) * config.head_dim
    up = 2 * hidden if config.activation == "swiglu" else hidden
    orders = config.mixed_orders(vocab_size)
    norms = 2 * config.n_layer + (config.norm_order == "pre")
    return Parameters(
        embedding=vocab_size * c,
        positions=config.block_size * c if config.positions == "learned" else 0,
        attention=config.n_layer * (c * qkv + c * c + config.bias * (qkv + c)),
        feedforward=config.n_layer * (c * up + hidden * c + config.bias * (up + c)),
        norms=norms * c * (2 if config.norm == "layer" and config.bias else 1),
        prior=(vocab_size + orders) * c + orders * (c + 1) if orders else 0,
        head=0 if config.tied else vocab_size * c,
    )


def flops_per_char(config: ModelConfig, vocab_size: int) -> int:
    """Floating-point operations of one forward pass per character, at a full context.

    Two per weight of every matrix, and 4·T·C in each attention for q·kᵀ and its product with v, counted without the
    mask's discount, as is usual (Chowdhery et al. 2022, PaLM appendix B). A training step costs three times as much.
    """
    held = parameters(config, vocab_size)
    biases = (
        config.n_layer
        * config.bias
        * (
            (config.n_head + 2 * config.kv_heads) * config.head_dim
            + (2 * config.hidden if config.activation == "swiglu" else config.hidden)
            + 2 * config.n_embd
        )
    )
    prior = held.prior - config.mixed_orders(vocab_size)  # matrices only: the gates' biases are none
    matrices = held.attention + held.feedforward - biases + prior + vocab_size * config.n_embd
    return 2 * matrices + 4 * config.n_layer * config.block_size * config.n_embd


def training_bytes(config: ModelConfig, vocab_size: int, batch_size: int, optimizer: str) -> int:
    """Memory of a float32 training step: weights, gradients, optimizer state, and what backward needs kept.

    Weights and gradients are exact, and so is the state of adamw and sgd; muon holds less than is counted here, and
    adafactor's few sums of rows and columns are not counted. Activations come within a quarter.
    """
    weights = parameters(config, vocab_size).total
    return FLOAT * (weights * (2 + OPTIMIZER_COPIES[optimizer]) + batch_size * config.block_size * _kept(config, vocab_size))


def cache_bytes(config: ModelConfig, batch: int = 1) -> int:
    """Memory of a KV cache: a key and a value per layer, head and place of the context."""
    return FLOAT * 2 * config.n_layer * batch * config.kv_heads * config.block_size * config.head_dim


def _kept(config: ModelConfig, vocab_size: int) -> int:
    """Numbers kept per character between forward and backward."""
    c, hidden = config.n_embd, config.hidden
    heads = (config.n_head + 2 * config.kv_heads) * config.head_dim
    turned = (config.n_head + config.kv_heads) * config.head_dim
    attention = heads + turned * (2 * config.qk_norm + (config.positions == "rotary")) + c
    feedforward = hidden * {"relu": 1, "gelu": 2, "relu_squared": 2, "swiglu": 4}[config.activation]
    dropped = c if config.dropout else 0
    orders = config.mixed_orders(vocab_size)
    scores = vocab_size * (1 + bool(config.softcap) + 2 * bool(orders) + orders)
    return config.n_layer * (attention + feedforward + 4 * c + dropped) + 2 * c + scores
