"""Transformer: ids of characters in, a score for every possible next character out.

    tokens ──embed──▶ x ──block──▶ x ──block──▶ … ──norm──▶ x ──head──▶ logits
    (B T)          (B T C)       (B T C)                 (B T C)       (B T V)

Logits out, loss outside: softmax(logits[b, t]) is the distribution of the character after tokens[b, : t+1].
"""

from typing import assert_never

import torch
from torch import Tensor, nn

from letterwise.config import ModelConfig
from letterwise.model.block import build_block, build_dropout
from letterwise.model.kv_cache import CacheStep
from letterwise.model.normalization import build_norm, build_unit_norm
from letterwise.model.positions import build_positions
from letterwise.model.prior import Prior
from letterwise.shapes import Float, Int


class Softcap(nn.Module):
    """Bend logits smoothly into ±cap (Gemma 2, Riviere et al. 2024 §2): none can run away."""

    def __init__(self, cap: float) -> None:
        super().__init__()
        self.cap = cap

    def forward(self, logits: Float[Tensor, "B T V"]) -> Float[Tensor, "B T V"]:
        return self.cap * torch.tanh(logits / self.cap)


class Transformer(nn.Module):
    """A decoder-only transformer over `vocab_size` characters, from the bricks that `config` names."""

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        super().__init__()
        self.config, self.vocab_size = config, vocab_size
        empty = torch.empty(vocab_size, config.n_embd)  # given, it is not filled here: that is `initialize`'s affair
        self.tokens = nn.Embedding.from_pretrained(empty, freeze=False)
        self.positions = build_positions(config)
        self.prior = Prior(config, vocab_size) if config.counts_order else None
        self.embed_norm = build_unit_norm(config) if config.embed_norm else nn.Identity()
        self.drop = build_dropout(config)
        self.blocks = nn.ModuleList(build_block(config) for _ in range(config.n_layer))
        self.norm = build_last_norm(config)
        self.head = nn.Linear(config.n_embd, vocab_size, bias=False)
        self.cap = Softcap(config.softcap) if config.softcap else nn.Identity()
        self.tie()

    def tie(self) -> None:
        """Make head and embedding one matrix, where the configuration says so."""
        if self.config.tied:
            self.head.weight = self.tokens.weight

    def forward(
        self,
        tokens: Int[Tensor, "B T"],
        cache: CacheStep | None = None,
        log_prior: Float[Tensor, "B T K E"] | None = None,
    ) -> Float[Tensor, "B T V"]:
        """Score the next character after each of the T characters; with a cache T is 1, and they follow what it holds.

        `log_prior` is what counting says of each next character (see `prior.py`): a model with `counts_order` needs it.
        Raises `ValueError` when they are more than `block_size`, or the prior is missing.
        """
        return self.scores(self.states(tokens, cache, log_prior), log_prior)

    def states(
        self,
        tokens: Int[Tensor, "B T"],
        cache: CacheStep | None = None,
        log_prior: Float[Tensor, "B T K E"] | None = None,
    ) -> Float[Tensor, "B T C"]:
        """What the blocks have made of each of the T characters and those before it. Arguments and errors as for `forward`."""
        if tokens.size(1) > self.config.block_size:
            raise ValueError(f"{tokens.size(1)} characters do not fit a context of {self.config.block_size}")
        if (self.prior is None) != (log_prior is None):
            given, needs = ("given", "has no") if self.prior is None else ("not given", "has a")
            raise ValueError(
                f"log_prior was {given}, and this model {needs} counts_order: `Counts.before` looks it up, as "
                "`LanguageModel.logits` and `LanguageModel(ids)` do."
            )
        positions = cache.positions if cache else slice(tokens.size(1))
        angles = self.positions.angles(positions)
        x = self.positions.embed(self.tokens(tokens), positions)
        if self.prior is not None and log_prior is not None:
            x = x + self.prior.feature(log_prior)
        x = self.drop(self.embed_norm(x))
        for i, block in enumerate(self.blocks):
            x = block(x, angles, cache.layers[i] if cache else None)
        return self.norm(x)

    def scores(self, h: Float[Tensor, "B T C"], log_prior: Float[Tensor, "B T K E"] | None = None) -> Float[Tensor, "B T V"]:
        """Each next character's score, from the blocks' `states` and the prior."""
        logits = self.cap(self.head(h))
        if self.prior is not None and log_prior is not None:
            logits = self.prior.mix(logits, h, log_prior)
        return logits


def build_last_norm(config: ModelConfig) -> nn.Module:
    """What stands before the head: pre-norm blocks leave their stream as it grew."""
    match config.norm_order:
        case "post":
            return nn.Identity()
        case "pre":
            return build_norm(config)
        case _:
            assert_never(config.norm_order)


def build(config: ModelConfig, vocab_size: int, device: torch.device | str = "cpu") -> Transformer:
    """A transformer with memory for its weights but nothing in it yet: `initialize` it, or load some."""
    with torch.device("meta"):
        model = Transformer(config, vocab_size)
    model._apply(lambda meta: torch.empty(meta.shape, dtype=meta.dtype, device=device))  # `to_empty` loads sympy: a second
    model.tie()
    model.positions.fill()
    return model
