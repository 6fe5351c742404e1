"""PyTorch's optimizers, without its compiler.

PyTorch wraps an optimizer's methods, so that its compiler leaves them alone; the first call of one imports the compiler for
that, which takes a second of every start. Ours are never compiled (blocks of the model may be), and call what is wrapped.
"""

import inspect
from typing import Any

import torch
from torch.optim._adafactor import adafactor

from letterwise.distributed.sharded import is_share, own_part, own_rows, whole


class WithoutCompiler(torch.optim.Optimizer):
    """The same methods, unwrapped."""

    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    load_state_dict = inspect.unwrap(torch.optim.Optimizer.load_state_dict)
    state_dict = inspect.unwrap(torch.optim.Optimizer.state_dict)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)


class AdamW(WithoutCompiler, torch.optim.AdamW):
    """Loshchilov & Hutter 2019."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))


class SGD(WithoutCompiler, torch.optim.SGD):
    """Stochastic gradient descent, with momentum."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.SGD.step))


class Adafactor(WithoutCompiler, torch.optim.Adafactor):
    """Shazeer & Stern 2018."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # ty: ignore[incompatible-method-override]
        """One step. Weights in shares are whole for it, one after another: norms and means are those of all rows."""
        shares = [p for group in self.param_groups for p in group["params"] if p.grad is not None and is_share(p)]
        if not shares:
            super().step()
        for group in self.param_groups if shares else ():
            names = ("lr", "d", "beta2_decay", "weight_decay", "foreach", "maximize")
            options = {name: group[name] for name in names} | {"eps1": group["eps"][0], "eps2": group["eps"][1]}
            for p in group["params"]:
                if p.grad is not None:
                    self._step_whole(p, options)

    def _step_whole(self, p: torch.Tensor, options: dict[str, Any]) -> None:
        """Step one weight, of which each process has a share. What is kept of its rows and columns, each has whole."""
        held = self.state[p]
        if not held:
            rows, columns = (*p.shape[:-1], 1), (*p.shape[:-2], 1, p.shape[-1])
            shapes = {"row_var": rows, "col_var": columns} if p.ndim > 1 else {"variance": p.shape}
            held["step"] = torch.zeros(())
            held |= {name: torch.zeros(shape, device=own_part(p).device) for name, shape in shapes.items()}
        kept = {name: whole(tensor) for name, tensor in held.items()}
        rows, columns, each = ([kept.get(name)] for name in ("row_var", "col_var", "variance"))
        weight, gradient = whole(p), whole(p.grad) if p.grad is not None else torch.zeros_like(p)
        adafactor([weight], [gradient], rows, columns, each, [kept["step"]], **options)
        for share, full in ((p, weight), *((held[name], kept[name]) for name in held)):
            if full is not share:
                own_part(share).copy_(full[own_rows(share)])
