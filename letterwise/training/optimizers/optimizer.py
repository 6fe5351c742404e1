"""Optimizer: which rule steps which weights.

role        what                              adamw · sgd · adafactor     muon
matrices    inside the blocks                 decayed                     Muon, decayed
tables      embedding, positions, heads       decayed                     AdamW
vectors     gains and biases                  not decayed                 AdamW

Decay is decoupled from the gradient (Loshchilov & Hutter 2019), but for sgd, where it is part of it, as is usual there.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from letterwise.checkpoint.shards import shape_of
from letterwise.checkpoint.weights import load
from letterwise.config import TrainingConfig
from letterwise.distributed.sharded import whole
from letterwise.errors import UserError
from letterwise.model import Transformer
from letterwise.runtime.device import native_bfloat16
from letterwise.training.optimizers.muon import Muon
from letterwise.training.optimizers.without_compiler import SGD, Adafactor, AdamW


class Optimizers:
    """One or two optimizers that step as one, each at its own peak rate times the schedule's factor."""

    def __init__(self, optimizers: list[torch.optim.Optimizer], clipped: list[nn.Parameter], grad_clip: float) -> None:
        self.optimizers, self.clipped, self.grad_clip = optimizers, clipped, grad_clip
        self.peaks = [group["lr"] for optimizer in optimizers for group in optimizer.param_groups]

    def set_learning_rate(self, factor: float) -> None:
        """Every rate becomes `factor` times its peak."""
        groups = [group for optimizer in self.optimizers for group in optimizer.param_groups]
        for group, peak in zip(groups, self.peaks, strict=True):
            group["lr"] = peak * factor

    def gradient_norm(self) -> Tensor:
        """The length of the whole gradient."""
        parameters = [p for optimizer in self.optimizers for group in optimizer.param_groups for p in group["params"]]
        return whole(nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None]))

    def step(self) -> None:
        """Shorten the gradient if it is too long, step, and clear it."""
        if self.grad_clip:
            nn.utils.clip_grad_norm_(self.clipped, self.grad_clip)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def tensors(self) -> dict[str, Tensor]:
        """Everything a resumed run needs, by "OPTIMIZER.PARAMETER.NAME"."""
        return {
            f"{i}.{p}.{name}": tensor
            for i, optimizer in enumerate(self.optimizers)
            for p, held in optimizer.state_dict()["state"].items()
            for name, tensor in held.items()
            if tensor is not None
        }

    def load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """The inverse of `tensors`, as arrays. Raises `UserError` when they are not those of these optimizers.

        Of a weight in shares, each process keeps of what has its shape the rows that it has of it, and all of what is smaller.
        """
        left = set(arrays)
        for i, optimizer in enumerate(self.optimizers):
            state: dict[int, dict[str, Tensor]] = {}
            for p, parameter in enumerate(q for group in optimizer.param_groups for q in group["params"]):
                shapes = kept_shapes(optimizer, parameter.shape)
                there = {name: shape_of(arrays, f"{i}.{p}.{name}") for name in shapes if f"{i}.{p}.{name}" in left}
                if there and there != shapes:
                    raise UserError(f"the optimizer's {sorted(there)} of parameter {i}.{p} do not fit it")
                for name, shape in there.items():
                    kept = torch.empty_like(parameter) if shape == parameter.shape else torch.empty(shape)
                    load({f"{i}.{p}.{name}": kept}, arrays)
                    state.setdefault(p, {})[name] = kept
                    left.discard(f"{i}.{p}.{name}")
            optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        if left:
            raise UserError(f"{sorted(left)[:3]} belong to no optimizer")


def kept_shapes(optimizer: torch.optim.Optimizer, shape: torch.Size) -> dict[str, tuple[int, ...]]:
    """Name and shape of what an optimizer keeps for a parameter, once it has stepped it."""
    match optimizer:
        case Muon():
            return {"momentum": tuple(shape)}
        case torch.optim.SGD():
            return {"momentum_buffer": tuple(shape)} if optimizer.defaults["momentum"] else {}
        case torch.optim.Adafactor() if len(shape) > 1:
            return {"step": (), "row_var": (*shape[:-1], 1), "col_var": (*shape[:-2], 1, shape[-1])}
        case torch.optim.Adafactor():
            return {"step": (), "variance": tuple(shape)}
    return {"step": (), "exp_avg": tuple(shape), "exp_avg_sq": tuple(shape)}


def build_optimizers(
    model: Transformer, config: TrainingConfig, multi_token: nn.Module | None = None, dtype: torch.dtype = torch.float32
) -> Optimizers:
    """The optimizer that the configuration names, over weights of `model` that learn, and those that only training needs.

    `dtype` is the arithmetic of training. Muon takes bfloat16, too, where that and the hardware are: rounded so, gradients that
    differ in their last bit become steps that differ by 1 % of their length.
    """
    learning = [p for p in model.parameters() if p.requires_grad]
    inside = {id(p) for p in model.blocks.parameters() if p.ndim >= 2}
    matrices = [p for p in learning if id(p) in inside]
    tables = [p for p in learning if p.ndim >= 2 and id(p) not in inside]
    tables += multi_token.parameters() if multi_token else []
    vectors = [p for p in learning if p.ndim < 2]
    decayed: list[dict[str, Any]] = [
        {"params": matrices + tables, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    rate, betas = config.learning_rate, (config.beta1, config.beta2)
    match config.optimizer:
        case "muon" if matrices:
            halved = dtype == torch.bfloat16 and native_bfloat16(matrices[0].device)
            muon = Muon(
                matrices,
                lr=config.matrix_learning_rate,
                weight_decay=config.weight_decay,
                dtype=torch.bfloat16 if halved else torch.float32,
            )
            rest = AdamW([{"params": tables + vectors}], lr=rate, betas=betas, weight_decay=0.0, fused=True)
            return Optimizers([muon, rest], tables + vectors, config.grad_clip)
        case "adamw" | "muon":
            optimizer: torch.optim.Optimizer = AdamW(decayed, lr=rate, betas=betas, fused=True)
        case "sgd":
            optimizer = SGD(decayed, lr=rate, momentum=config.beta1, nesterov=config.beta1 > 0)
        case "adafactor":
            optimizer = Adafactor(decayed, lr=rate)
    return Optimizers([optimizer], matrices + tables + vectors, config.grad_clip)
