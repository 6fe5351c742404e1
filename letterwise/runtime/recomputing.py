"""Recomputing: what a layer computes is not kept for its gradient, but computed again there (activation checkpointing).

layer ──recompute──▶ the same layer, of which only the input is kept        less memory, a forward pass more (Chen et al. 2016)
"""

from typing import Any

from torch import nn


def recompute(layer: nn.Module, *, random: bool) -> None:
    """Let `layer` keep only its input while it trains: the same loss and gradients, to the last bit.

    Where it draws `random` numbers, as dropout does, it draws the same ones again.
    """
    from torch.utils.checkpoint import checkpoint

    forward = layer.forward

    def checkpointed(*arguments: Any) -> Any:
        if not layer.training:
            return forward(*arguments)
        return checkpoint(forward, *arguments, use_reentrant=False, preserve_rng_state=random)

    layer.forward = checkpointed
