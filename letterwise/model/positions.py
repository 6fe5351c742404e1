"""Positions: attention alone does not depend on order, so positions are added to it.

learned   a vector per position is added to the embedding, once:      x ─(+ table[start : start+T])─▶ x
rotary    queries and keys are rotated by an angle that grows with position: q ─rotate─▶ q, so that q·k depends on distance

Both have the methods `embed` and `angles`, so that the transformer need not know which it has. A `PositionIndex` is a slice,
the same for all sequences of a batch, or (B, T), each character's own.
"""

from collections.abc import Callable
from typing import assert_never

import torch
from torch import Tensor, nn

from letterwise.config import ModelConfig
from letterwise.shapes import Float, Int

PositionIndex = slice | Int[Tensor, "B T"]
Angles = tuple[Float[Tensor, "*B 1 T half"], Float[Tensor, "*B 1 T half"]] | None


class LearnedPositions(nn.Module):
    """A table with one trained vector per position (Vaswani et al. 2017 §3.5, the learned variant)."""

    def __init__(self, block_size: int, n_embd: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(block_size, n_embd))

    def fill(self) -> None:
        """Nothing to compute: the table is trained."""

    def embed(self, x: Float[Tensor, "B T C"], positions: PositionIndex) -> Float[Tensor, "B T C"]:
        """The embedding with the vectors of its positions added."""
        return x + self.table[positions]

    def angles(self, positions: PositionIndex) -> Angles:
        """None: nothing turns."""
        return None


class RotaryPositions(nn.Module):
    """Angles for `rotate` (Su et al. 2021, RoFormer §3.2). Holds no trained numbers."""

    cos: Tensor
    sin: Tensor

    def __init__(self, block_size: int, head_dim: int, base: float) -> None:
        super().__init__()
        self.block_size, self.head_dim, self.base = block_size, head_dim, base
        self.register_buffer("cos", torch.empty(block_size, head_dim // 2), persistent=False)
        self.register_buffer("sin", torch.empty(block_size, head_dim // 2), persistent=False)
        self.fill()

    def fill(self) -> None:
        """Compute the tables where they lie (on "meta" there is nothing to fill): pair i turns by position · base^(-2i/D)."""
        if self.cos.is_meta:
            return
        pair = 2 * torch.arange(self.head_dim // 2, dtype=torch.float64) / self.head_dim
        turns = torch.outer(torch.arange(self.block_size, dtype=torch.float64), self.base**-pair)
        self.cos.copy_(turns.cos())
        self.sin.copy_(turns.sin())

    def embed(self, x: Float[Tensor, "B T C"], positions: PositionIndex) -> Float[Tensor, "B T C"]:
        """The embedding, untouched: rotary positions act inside attention."""
        return x

    def angles(self, positions: PositionIndex) -> Angles:
        """Cosines and sines of these positions, the same for all heads."""
        return self.cos[positions].unsqueeze(-3), self.sin[positions].unsqueeze(-3)


def build_positions(config: ModelConfig) -> LearnedPositions | RotaryPositions:
    """The encoding that the configuration names."""
    match config.positions:
        case "learned":
            return LearnedPositions(config.block_size, config.n_embd)
        case "rotary":
            return RotaryPositions(config.block_size, config.head_dim, config.rotary_base)
        case _:
            assert_never(config.positions)


def build_turn(config: ModelConfig) -> Callable[[Tensor, Angles], Tensor]:
    """What it does to queries and keys: `rotate` or `stay`."""
    match config.positions:
        case "learned":
            return stay
        case "rotary":
            return rotate
        case _:
            assert_never(config.positions)


def rotate(x: Float[Tensor, "B H T D"], angles: Angles) -> Float[Tensor, "B H T D"]:
    """Turn each pair (x[i], x[i + D/2]) of queries or keys by its position's angle."""
    assert angles is not None
    cos, sin = (table.to(x.dtype) for table in angles)
    left, right = x.chunk(2, dim=-1)
    return torch.cat((left * cos - right * sin, right * cos + left * sin), dim=-1)


def stay(x: Float[Tensor, "B H T D"], angles: Angles) -> Float[Tensor, "B H T D"]:
    """What `rotate` is when positions were already added to the embedding."""
    return x
