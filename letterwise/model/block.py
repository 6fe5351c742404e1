"""Block: attention, then feed-forward, each added to the residual stream.

post-norm   x ─▶ norm(x + attention(x)) ─▶ norm(x + feedforward(x))      Vaswani et al. 2017
pre-norm    x ─▶ x + attention(norm(x)) ─▶ x + feedforward(norm(x))      the stream stays as it is (Xiong et al. 2020)
"""

from typing import assert_never

import torch
from torch import Tensor, nn

from letterwise.config import ModelConfig
from letterwise.model.attention import Attention
from letterwise.model.feedforward import FeedForward
from letterwise.model.kv_cache import LayerCache
from letterwise.model.normalization import build_norm
from letterwise.model.positions import Angles
from letterwise.shapes import Float


class Block(nn.Module):
    """The parts that both orders share."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.attention, self.attention_norm = Attention(config), build_norm(config)
        self.feedforward, self.feedforward_norm = FeedForward(config), build_norm(config)
        self.drop = build_dropout(config)


class PostNormBlock(Block):
    """Layer normalization after each component."""

    def forward(
        self, x: Float[Tensor, "B T C"], angles: Angles = None, cache: LayerCache | None = None
    ) -> Float[Tensor, "B T C"]:
        x = self.attention_norm(x + self.drop(self.attention(x, angles, cache)))
        return self.feedforward_norm(x + self.drop(self.feedforward(x)))


class PreNormBlock(Block):
    """Normalization on the way into each component; the transformer adds one more before its head."""

    def forward(
        self, x: Float[Tensor, "B T C"], angles: Angles = None, cache: LayerCache | None = None
    ) -> Float[Tensor, "B T C"]:
        x = x + self.drop(self.attention(self.attention_norm(x), angles, cache))
        return x + self.drop(self.feedforward(self.feedforward_norm(x)))


def build_block(config: ModelConfig) -> Block:
    """A block in the order that the configuration names."""
    match config.norm_order:
        case "post":
            return PostNormBlock(config)
        case "pre":
            return PreNormBlock(config)
        case _:
            assert_never(config.norm_order)


class SharedDropout(nn.Module):
    """Dropout with one mask for all positions of a sequence (Gal & Ghahramani 2016 §3): T times fewer random numbers."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:
        if not self.training:
            return x
        kept = torch.rand(x.size(0), 1, x.size(2), device=x.device) >= self.p
        return x * (kept / (1 - self.p)).to(x.dtype)


def build_dropout(config: ModelConfig) -> nn.Module:
    """Dropout where Vaswani et al. 2017 §5.4 put it: on the embedding and on each component's output.

    A dropout of zero is left out altogether: it would still cost a pass over memory on a CPU.
    """
    if not config.dropout:
        return nn.Identity()
    return SharedDropout(config.dropout) if config.shared_dropout else nn.Dropout(config.dropout)
