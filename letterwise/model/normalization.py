"""Normalization: scale every character's vector to the same length, so that numbers do not grow with depth.

layer   (x - mean) / deviation · gain + bias    (Ba et al. 2016)
rms      x / root-mean-square  · gain           (Zhang & Sennrich 2019): the mean is left alone
"""

from typing import assert_never

import torch.nn.functional as F
from torch import Tensor, nn

from letterwise.config import ModelConfig
from letterwise.shapes import Float

EPSILON = 1e-5


def build_norm(config: ModelConfig) -> nn.Module:
    """The normalization that the configuration names, over the last axis of (B, T, C)."""
    match config.norm:
        case "layer":
            return nn.LayerNorm(config.n_embd, eps=EPSILON, bias=config.bias)
        case "rms":
            return nn.RMSNorm(config.n_embd, eps=EPSILON)
        case _:
            assert_never(config.norm)


def build_unit_norm(config: ModelConfig) -> nn.Module:
    """The same with nothing to learn: for queries and keys (Henry et al. 2020) and for the embedding."""
    match config.norm:
        case "layer":
            return UnitLayer()
        case "rms":
            return UnitRMS()
        case _:
            assert_never(config.norm)


class UnitLayer(nn.Module):
    """(x - mean) / deviation."""

    def forward(self, x: Float[Tensor, "*any D"]) -> Float[Tensor, "*any D"]:
        return F.layer_norm(x, x.shape[-1:], eps=EPSILON)


class UnitRMS(nn.Module):
    """x / root-mean-square."""

    def forward(self, x: Float[Tensor, "*any D"]) -> Float[Tensor, "*any D"]:
        return F.rms_norm(x, x.shape[-1:], eps=EPSILON)
