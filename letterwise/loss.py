"""Loss: the cross-entropy of the characters that follow.

logits (B T V), targets (B T) ──▶ mean of -ln p(target), nats per character
"""

import torch.nn.functional as F
from torch import Tensor

from letterwise.data.batches import NO_TARGET
from letterwise.shapes import Float, Int


def cross_entropy(logits: Float[Tensor, "B T V"], targets: Int[Tensor, "B T"]) -> Float[Tensor, ""]:
    """Mean surprise over all targets, in nats. `NO_TARGET` is no target; one has to be there."""
    return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=NO_TARGET)


def soft_cross_entropy(
    logits: Float[Tensor, "B T V"], probabilities: Float[Tensor, "B T V"], targets: Int[Tensor, "B T"]
) -> Float[Tensor, ""]:
    """Mean surprise where each next character is drawn from `probabilities`, in nats; over the places that have a target."""
    each = F.cross_entropy(logits.flatten(0, 1).float(), probabilities.flatten(0, 1), reduction="none")
    return each[targets.flatten() != NO_TARGET].mean()


def each_nats(logits: Float[Tensor, "n V"], targets: Int[Tensor, "n"]) -> Float[Tensor, "n"]:
    """The surprise of each target, in nats."""
    return F.cross_entropy(logits.float(), targets, reduction="none")


def total_nats(nats: Float[Tensor, "n"], lengths: list[int]) -> list[float]:
    """Summed surprise over the targets of each window, of so many in turn, in nats, added up in float64."""
    return [window.sum().item() for window in nats.double().cpu().split(lengths)]
