"""Multi-token prediction: in training, the model also predicts the character after the next (Gloeckle et al. 2024).

h (B T C) ──linear──▶ logits (B T V) of the second character on ──▶ nats

What helps to predict two characters ahead helps to predict one. The second head is no part of the model file.
"""

import torch
from torch import Tensor, nn

from letterwise.loss import cross_entropy
from letterwise.model import Transformer
from letterwise.shapes import Float, Int


class MultiTokenHead(nn.Module):
    """A second head, beside the model's own. It starts at zero: all characters are equally likely."""

    def __init__(self, model: Transformer) -> None:
        super().__init__()
        self.head = nn.Linear(model.config.n_embd, model.vocab_size, bias=False, device=model.head.weight.device)
        self.fill()

    def fill(self) -> None:
        """Where it starts."""
        nn.init.zeros_(self.head.weight)

    def forward(self, h: Float[Tensor, "B T C"], targets: Int[Tensor, "B T"]) -> Float[Tensor, ""]:
        """Mean loss, in nats, of each target's successor; zero where a window is too short to have one."""
        if targets.size(1) < 2:
            return torch.zeros((), device=h.device)
        return cross_entropy(self.head(h[:, :-1]), targets[:, 1:])
