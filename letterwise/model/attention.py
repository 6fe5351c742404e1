"""Attention: every position reads the positions before it.

    x ──qkv──▶ q, k, v ──rotate q, k─▶ softmax(q·kᵀ / √D) · v ──merge──▶ out
 (B T C)       (B H T D)                     (B H T D)                (B T C)

With fewer key/value heads than query heads (grouped-query attention, Ainslie et al. 2023), each serves H/n_kv_head
query heads, and the cache shrinks by as much. With a cache, one new character of each sequence reads what the cache holds.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from letterwise.config import ModelConfig
from letterwise.model.kv_cache import LayerCache
from letterwise.model.normalization import build_unit_norm
from letterwise.model.positions import Angles, build_turn
from letterwise.shapes import Float

WRITTEN_OUT_UP_TO = 512  # positions; beyond, its (T, S) matrices no longer fit the processor's cache


class Attention(nn.Module):
    """Causal multi-head self-attention (Vaswani et al. 2017 §3.2)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads = [config.n_head, config.kv_heads, config.kv_heads]
        self.head_dim = config.head_dim
        self.qkv = nn.Linear(config.n_embd, sum(self.heads) * config.head_dim, bias=config.bias)
        self.out = nn.Linear(config.n_embd, config.n_embd, bias=config.bias)
        self.normalize = build_unit_norm(config) if config.qk_norm else nn.Identity()
        self.turn = build_turn(config)

    def forward(
        self, x: Float[Tensor, "B T C"], angles: Angles = None, cache: LayerCache | None = None
    ) -> Float[Tensor, "B T C"]:
        q, k, v = self.project(x, angles)
        y = attend(q, k, v) if cache is None else cache.attend(q, k, v)
        return self.out(y.transpose(1, 2).flatten(-2))

    def project(
        self, x: Float[Tensor, "B T C"], angles: Angles = None
    ) -> tuple[Float[Tensor, "B H T D"], Float[Tensor, "B K T D"], Float[Tensor, "B K T D"]]:
        """Queries, keys and values of T characters, as they are compared and mixed."""
        heads = self.qkv(x).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)  # (B H+2K T D)
        qk, v = heads.split([sum(self.heads[:2]), self.heads[2]], dim=1)
        q, k = self.turn(self.normalize(qk), angles).split(self.heads[:2], dim=1)
        return q, k, v

    def weights(self, x: Float[Tensor, "B T C"], angles: Angles = None) -> Float[Tensor, "B H T T"]:
        """How much of each position every position reads, softmax(q·kᵀ / √D): to be looked at, `forward` needs it not."""
        q, k, _ = self.project(x, angles)
        k = k.repeat_interleave(q.size(1) // k.size(1), dim=1)
        future = q.new_full((q.size(2), q.size(2)), -math.inf).triu(1)
        return (q @ k.mT / math.sqrt(q.size(-1)) + future).softmax(-1)


def attend(q: Float[Tensor, "B H T D"], k: Float[Tensor, "B K T D"], v: Float[Tensor, "B K T D"]) -> Float[Tensor, "B H T D"]:
    """softmax(q·kᵀ / √D) · v, where none of the T positions sees past itself.

    PyTorch's fused kernel never writes the (T, S) matrix out (Dao et al. 2022). Only on a CPU in bfloat16 is the formula as
    it stands faster, up to middling contexts: its products run in hardware, the kernel's do not (docs/log.md).
    """
    if q.device.type == "cpu" and q.dtype == torch.bfloat16 and k.size(2) <= WRITTEN_OUT_UP_TO:
        return attend_written_out(q, k, v)
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=q.size(1) != k.size(1))


def attend_written_out(
    q: Float[Tensor, "B H T D"], k: Float[Tensor, "B K T D"], v: Float[Tensor, "B K T D"]
) -> Float[Tensor, "B H T D"]:
    """The same, one step after the other: scores, lower-triangular mask, softmax, mixture."""
    k, v = (t.repeat_interleave(q.size(1) // t.size(1), dim=1) for t in (k, v))
    future = q.new_full((q.size(2), q.size(2)), -math.inf).triu(1)
    scores = torch.baddbmm(future, q.flatten(0, 1), k.flatten(0, 1).mT, alpha=1 / math.sqrt(q.size(-1)))  # (BH T T)
    return (scores.softmax(-1) @ v.flatten(0, 1)).unflatten(0, q.shape[:2])
