"""Layers: how a layer of a model computes while it learns, changed from outside.

layer ──recompute──▶ keeps only its input, and is computed again for its gradient (activation checkpointing; Chen et al. 2016)
layer ──compile_windows──▶ learns from windows as one graph; what is not learned from is computed as before
"""

from typing import Any

import torch
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


def compile_windows(layer: nn.Module) -> None:
    """Compile `layer` for training. Each step with a cache, and windows of each length, would have to be compiled anew."""
    forward = layer.forward
    compiled = torch.compile(forward)
    layer.forward = lambda *arguments: (compiled if layer.training else forward)(*arguments)
