"""Muon: momentum, made orthogonal, for the matrices inside the blocks (Jordan et al. 2024).

    gradient ──momentum──▶ M ──Newton-Schulz──▶ nearest orthogonal matrix to M ──▶ step

An orthogonal step moves all directions of a matrix equally, also those in which gradients are small.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from letterwise.shapes import Float
from letterwise.training.optimizers.without_compiler import WithoutCompiler

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic x → ax + bx³ + cx⁵, tuned for slope at 0 (Jordan et al. 2024)


def orthogonalize(batch: Float[Tensor, "N R C"], dtype: torch.dtype, steps: int = 5) -> Float[Tensor, "N R C"]:
    """For each matrix U·S·Vᵀ of the batch, about U·Vᵀ: singular values brought to between 0.68 and 1.22.

    Those below 0.0015 of the matrix's Frobenius norm only grow, about 480-fold, towards it: five steps reach no further.

    Newton-Schulz iteration in `dtype`. Bfloat16 is precise enough, but only fast where the hardware multiplies it.
    """
    a, b, c = COEFFICIENTS
    tall = batch.size(1) > batch.size(2)
    x = (batch.mT if tall else batch).to(dtype)
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(batch.dtype)


class Muon(WithoutCompiler):
    """Steps matrices of one shape together, as one batch. `lr` is the spectral size of a step on a square matrix."""

    def __init__(
        self, matrices: Iterable[nn.Parameter], *, lr: float, weight_decay: float, dtype: torch.dtype, momentum: float = 0.95
    ) -> None:
        super().__init__(list(matrices), {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # ty: ignore[incompatible-method-override]
        """One step from the gradients that are there; a matrix without a gradient stays."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[nn.Parameter]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    by_shape.setdefault(p.shape, []).append(p)
            for shape, matrices in by_shape.items():
                updates = orthogonalize(torch.stack([self._momentum(p, group["momentum"]) for p in matrices]), self.dtype)
                size = group["lr"] * max(1, shape[0] / shape[1]) ** 0.5
                for matrix, update in zip(matrices, updates, strict=True):
                    matrix.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-size)

    def _momentum(self, p: nn.Parameter, decay: float) -> Tensor:
        """Nesterov's momentum: the running mean of gradients, looked at one step ahead."""
        assert p.grad is not None
        held = self.state[p]
        if not held:
            held["momentum"] = torch.zeros_like(p)
        held["momentum"].lerp_(p.grad, 1 - decay)
        return p.grad.lerp(held["momentum"], decay)
