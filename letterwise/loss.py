"""Loss: how surprised the model is by what came next, in nats; and in the bits that people compare.

logits (B T V), targets (B T) ──▶ mean of -ln p(target), nats per character ──÷ ln 2──▶ bits per character
"""

import math

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from letterwise.data.batches import NONE


def cross_entropy(logits: Float[Tensor, "B T V"], targets: Int[Tensor, "B T"]) -> Float[Tensor, ""]:
    """Mean surprise over all targets, in nats. `NONE` is no target; one has to be there."""
    return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=NONE)


def each_nats(logits: Float[Tensor, "n V"], targets: Int[Tensor, "n"]) -> Float[Tensor, "n"]:
    """The surprise of each target, in nats."""
    return F.cross_entropy(logits.float(), targets, reduction="none")


def total_nats(logits: Float[Tensor, "n V"], targets: Int[Tensor, "n"], lengths: list[int]) -> list[float]:
    """Summed surprise over the targets of each window, of so many in turn, in nats, added up in float64."""
    return [window.sum().item() for window in each_nats(logits, targets).double().cpu().split(lengths)]


def bits(nats: float) -> float:
    """Nats in bits: a factor of 1/ln 2."""
    return nats / math.log(2)


def nats(bits: float) -> float:
    """Bits in nats."""
    return bits * math.log(2)
