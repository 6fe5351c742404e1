"""Data parallel: each process has the whole model and learns from its rows; the mean of their gradients is everyone's.

module ──DistributedDataParallel──▶ the same, whose backward pass ends with gradients that are alike everywhere
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from torch import nn

from letterwise.distributed.world import World


def in_parallel(module: nn.Module, world: World, *, all_used: bool = True) -> nn.Module:
    """`module`, for one of the world's processes. Not `all_used`: some batch may have no use for some weight."""
    if world.alone:
        return module
    from torch.nn.parallel import DistributedDataParallel

    return DistributedDataParallel(module, gradient_as_bucket_view=True, find_unused_parameters=not all_used)


def gradients_shared(module: nn.Module, last: bool) -> AbstractContextManager:
    """For a forward and a backward pass: gradients are added up here, and shared behind the `last` one of a step."""
    share: Callable[[bool], None] | None = getattr(module, "set_requires_gradient_sync", None)  # of what is sharded
    if share:
        share(last)
    unshared: Callable[[], AbstractContextManager] | None = getattr(module, "no_sync", None)
    return nullcontext() if last or unshared is None else unshared()
