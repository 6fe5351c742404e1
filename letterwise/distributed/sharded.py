"""Sharded: each process keeps a share of every weight, gradient and optimizer state; a block is whole while it computes.

module on no device ──fully_shard: blocks, then all──▶ shares, empty ──filling──▶ the values of one process, a matrix at a time
share ──whole──▶ all of it, on every process        share ──own_part, own_rows──▶ what this process has, and where that belongs
shares ──save_shares──▶ files, one of each process
module ──in_forward──▶ what evaluates it, a block whole at a time

That is PyTorch's FSDP2 (after ZeRO-3, Rajbhandari et al. 2020).
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from letterwise.distributed.world import World
from letterwise.errors import UserError

T = TypeVar("T")
FORWARD = "calling"  # a method of a module in shares: `calling(do)` is `do()`, as a forward pass


def sharded(module: nn.Module, blocks: Iterable[nn.Module], world: World, device: torch.device) -> None:
    """Make each process hold its share of `module`, which is on the meta device, and of the `blocks` in it, still empty."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    mesh = init_device_mesh(device.type, (world.size,))
    for block in blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(module, mesh=mesh)
    register_fsdp_forward_method(module, FORWARD)
    module.to_empty(device=device)


def in_forward(module: nn.Module, do: Callable[[], T]) -> T:
    """`do()`, on all processes together, in which a module in shares, or its blocks, can be called without a gradient.

    A block is whole while it computes, and what is in no block all the time. What `do` raises comes behind that.
    """
    from torch.distributed.fsdp import FSDPModule

    found: list[T] = []
    raised: list[BaseException] = []

    def kept() -> None:
        for block in module.modules():
            if isinstance(block, FSDPModule) and block is not module:
                block.unshard()  # here, as tensors that inference mode made would be of no use to a gradient
                block.reshard()
        try:
            found.append(do())
        except BaseException as error:
            raised.append(error)

    getattr(module, FORWARD)(kept)
    assert isinstance(module, FSDPModule)
    module.reshard()
    if raised:
        raise raised[0]
    return found[0]


def filling() -> AbstractContextManager:
    """While it lasts, what is copied into a share is all of it, and each process keeps its own part."""
    from torch.distributed.tensor.experimental import implicit_replication

    return implicit_replication()


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor, on every process: each has to ask for it. What is no share is whole."""
    share = _share(tensor)
    return tensor if share is None else share.full_tensor()


def own_rows(tensor: Tensor) -> slice:
    """Which rows of a tensor this process has: the first some of equal shares, the last what is left."""
    share = _share(tensor)
    if share is None or not share.ndim:
        return slice(None)
    each = -(-len(share) // share.device_mesh.size())
    first = min(len(share), share.device_mesh.get_local_rank() * each)
    return slice(first, min(len(share), first + each))


def own_part(tensor: Tensor) -> Tensor:
    """What this process has of a tensor."""
    share = _share(tensor)
    return tensor if share is None else share.to_local()


def save_shares(folder: Path, shares: Mapping[str, Tensor], world: World) -> list[Path]:
    """Write each process's shares into a file of its own in a new folder; gives this process's, if it had something to write.

    Raises `UserError`, on all processes, where one of them is refused by the system.
    """
    from torch.distributed.checkpoint import CheckpointException, HuggingFaceStorageWriter, save

    try:
        save(dict(shares), storage_writer=HuggingFaceStorageWriter(str(folder), save_distributed=True))
    except CheckpointException as error:
        why = next(iter(error.failures.values()))[0]
        raise UserError(f"cannot write to {str(folder)!r}: {getattr(why, 'strerror', None) or why}.") from error
    return sorted(folder.glob(f"shard-{world.rank + 1:05}-*"))


def is_share(tensor: Tensor) -> bool:
    """Whether this process has only a part of it."""
    return _share(tensor) is not None


def _share(tensor: Tensor) -> Any:
    """The tensor, if it is a share; None where nobody has loaded what shares are made with."""
    loaded = sys.modules.get("torch.distributed.tensor")
    return tensor if loaded and isinstance(tensor, loaded.DTensor) else None
