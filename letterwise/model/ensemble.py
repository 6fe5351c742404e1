"""Ensemble: several transformers as one, whose logits are the weighted sum of theirs.

    tokens (B T) ──each member──▶ logits (B T V) ──· weight──▶ + ──▶ logits (B T V)

So p(c) ∝ Π pᵢ(c)^wᵢ, a product of experts (Hinton 2002 §1). What counting says is passed to the members that have counts.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from letterwise.config import ModelConfig
from letterwise.model.prior import Prior
from letterwise.model.transformer import Transformer
from letterwise.shapes import Float, Int


class Ensemble(nn.Module):
    """Members over one vocabulary, with one context; those with counts share theirs."""

    def __init__(self, members: Sequence[Transformer], weights: Sequence[float]) -> None:
        super().__init__()
        self.members, self.weights = cast("Sequence[Transformer]", nn.ModuleList(members)), tuple(weights)

    @property
    def first(self) -> Transformer:
        """The first member with counts, or the first: its configuration is the ensemble's."""
        return next((member for member in self.members if member.prior is not None), self.members[0])

    @property
    def config(self) -> ModelConfig:
        """The first member's."""
        return self.first.config

    @property
    def vocab_size(self) -> int:
        """V of all."""
        return self.first.vocab_size

    @property
    def prior(self) -> Prior | None:
        """How the members that have counts read them; None where none has any."""
        return self.first.prior

    @property
    def blocks(self) -> list[nn.Module]:
        """The blocks of all members, in the order in which they compute."""
        return [block for member in self.members for block in member.blocks]

    def forward(self, tokens: Int[Tensor, "B T"], log_prior: Float[Tensor, "B T K E"] | None = None) -> Float[Tensor, "B T V"]:
        """Score the next character after each of the T characters. Arguments and errors as for `Transformer.forward`.

        There is no cache of all: each member is written with by a cache of its own (inference/ensemble.py).
        """
        return self.scores(self.states(tokens, log_prior=log_prior), log_prior)

    def states(self, tokens: Int[Tensor, "B T"], log_prior: Float[Tensor, "B T K E"] | None = None) -> Float[Tensor, "B T S"]:
        """What the members' blocks have made of each character and those before it, one behind the other: S = Σ C."""
        read = [member.states(tokens, log_prior=log_prior if member.prior else None) for member in self.members]
        return torch.cat(read, -1)

    def scores(self, h: Float[Tensor, "B T S"], log_prior: Float[Tensor, "B T K E"] | None = None) -> Float[Tensor, "B T V"]:
        """Each next character's score, from the `states` of all and the prior: added up in the members' order."""
        parts = h.split([member.config.n_embd for member in self.members], -1)
        each = zip(self.members, self.weights, parts, strict=True)
        first, *others = [weight * member.scores(part, log_prior if member.prior else None) for member, weight, part in each]
        return sum(others, first)
