"""PyTorch's optimizers, without its compiler.

PyTorch wraps an optimizer's methods, so that its compiler leaves them alone; the first call of one imports the compiler for
that, which takes a second of every start. Ours are never compiled (blocks of the model may be), and call what is wrapped.
"""

import inspect

import torch


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
