"""Loss: how surprised the model is by what came next, in nats; and in the bits that people compare.

logits (B T V), targets (B T) ──▶ mean of -ln p(target), nats per character ──÷ ln 2──▶ bits per character
"""

import math

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def cross_entropy(logits: Float[Tensor, "B T V"], targets: Int[Tensor, "B T"]) -> Float[Tensor, ""]:
    """Mean surprise over all B·T targets, in nats."""
    return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


def each_nats(logits: Float[Tensor, "B T V"], targets: Int[Tensor, "B T"]) -> Float[Tensor, "B T"]:
    """The surprise of each target, in nats."""
    return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), reduction="none").unflatten(0, targets.shape)


def total_nats(logits: Float[Tensor, "B T V"], targets: Int[Tensor, "B T"]) -> list[float]:
    """Summed surprise over the T targets of each of B windows, in nats, added up in float64."""
    return each_nats(logits, targets).double().sum(-1).tolist()


def bits(nats: float) -> float:
    """Nats in bits: a factor of 1/ln 2."""
    return nats / math.log(2)


def nats(bits: float) -> float:
    """Bits in nats."""
    return bits * math.log(2)
