"""Feed-forward: a function of each position's vector alone.

   x ──up──▶ hidden ──activation──▶ hidden ──down──▶ out
(B T C)     (B T 4C)                               (B T C)
"""

from collections.abc import Callable
from typing import assert_never

import torch.nn.functional as F
from torch import Tensor, nn

from letterwise.config import ModelConfig
from letterwise.shapes import Float


def relu_squared(x: Float[Tensor, "*any F"]) -> Float[Tensor, "*any F"]:
    """max(0, x)² (So et al. 2021, Primer §3)."""
    return F.relu(x).square()


def gelu(x: Float[Tensor, "*any F"]) -> Float[Tensor, "*any F"]:
    """x·Φ(x) in the tanh form that GPT-2 uses (Hendrycks & Gimpel 2016)."""
    return F.gelu(x, approximate="tanh")


def gelu_erf(x: Float[Tensor, "*any F"]) -> Float[Tensor, "*any F"]:
    """x·Φ(x) exactly, by the error function: up to 5e-4 from the tanh form. PyTorch's and nanoGPT's."""
    return F.gelu(x)


def swiglu(x: Float[Tensor, "*any F"]) -> Float[Tensor, "*any half"]:
    """One half gates the other: silu(a)·b (Shazeer 2020). Takes twice the width that it gives."""
    gate, value = x.chunk(2, dim=-1)
    return F.silu(gate) * value


def build_activation(config: ModelConfig) -> Callable[[Tensor], Tensor]:
    """The function that the configuration names."""
    match config.activation:
        case "relu":
            return F.relu
        case "gelu":
            return gelu
        case "gelu_erf":
            return gelu_erf
        case "relu_squared":
            return relu_squared
        case "swiglu":
            return swiglu
        case _:
            assert_never(config.activation)


class FeedForward(nn.Module):
    """Two linear layers with a nonlinearity between them (Vaswani et al. 2017 §3.3)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.up = nn.Linear(config.n_embd, config.up_width, bias=config.bias)
        self.down = nn.Linear(config.hidden, config.n_embd, bias=config.bias)
        self.activation = build_activation(config)

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:
        return self.down(self.activation(self.up(x)))
