"""Sharded: each process keeps a share of every weight, gradient and optimizer state; a block is whole while it computes.

module on no device ──fully_shard: blocks, then all──▶ shares, empty ──filling──▶ the values of one process, a matrix at a time
share ──whole──▶ all of it, on every process        all of it ──share_of──▶ share
shares ──save_shares──▶ files, one of each process

That is PyTorch's FSDP2 (after ZeRO-3, Rajbhandari et al. 2020).
"""

import sys
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from letterwise.distributed.world import World
from letterwise.errors import UserError


def sharded(module: nn.Module, blocks: Iterable[nn.Module], world: World, device: torch.device) -> None:
    """Make each process hold its share of `module`, which is on the meta device, and of the `blocks` in it, still empty."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.type, (world.size,))
    for block in blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(module, mesh=mesh)
    module.to_empty(device=device)


def filling() -> AbstractContextManager:
    """While it lasts, what is copied into a share is all of it, and each process keeps its own part."""
    from torch.distributed.tensor.experimental import implicit_replication

    return implicit_replication()


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor, on every process: each has to ask for it. What is no share is whole."""
    share = _share(tensor)
    return tensor if share is None else share.full_tensor()


def share_of(full: Tensor, like: Tensor) -> Tensor:
    """This process's share of a tensor, cut as `like` is; all of it, where that is no share."""
    share = _share(like)
    if share is None:
        return full
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(full, share.device_mesh, share.placements, src_data_rank=None)


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


def _share(tensor: Tensor) -> Any:
    """The tensor, if it is a share; None where nobody has loaded what shares are made with."""
    loaded = sys.modules.get("torch.distributed.tensor")
    return tensor if loaded and isinstance(tensor, loaded.DTensor) else None
