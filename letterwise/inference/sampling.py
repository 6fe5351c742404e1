"""Sampling: choose the next character from its scores. Each filter is a pure function from logits to logits.

    logits (V,) ──÷ temperature──▶ ──top-k──▶ ──top-p──▶ ──min-p──▶ softmax ──draw──▶ id

A filter removes a character by setting its score to -∞. Ties at a border are kept, so no order among equals is invented.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from letterwise.errors import UserError


def top_k(logits: Float[Tensor, "V"], k: int) -> Float[Tensor, "V"]:
    """Keep the k likeliest (Fan et al. 2018)."""
    if k >= logits.numel():
        return logits
    return logits.masked_fill(logits < logits.topk(k).values[-1], -math.inf)


def top_p(logits: Float[Tensor, "V"], p: float) -> Float[Tensor, "V"]:
    """Keep the likeliest until they hold a probability of p together: the nucleus (Holtzman et al. 2020)."""
    ordered = logits.softmax(-1).sort(descending=True).values
    inside = ordered.cumsum(-1) - ordered < p  # the one that crosses p is still in
    return logits.masked_fill(logits.softmax(-1) < ordered[inside].min(), -math.inf)


def min_p(logits: Float[Tensor, "V"], p: float) -> Float[Tensor, "V"]:
    """Keep those at least p times as likely as the likeliest (Nguyen et al. 2024)."""
    return logits.masked_fill(logits < logits.max() + math.log(p), -math.inf)


@dataclass(frozen=True)
class Sampler:
    """How to choose. Zero, or one for `top_p`, switches a filter off. Raises `UserError` on values without sense."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    greedy: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise UserError(
                f"temperature={self.temperature} must be above 0: --greedy takes the likeliest character every time."
            )
        if self.top_k < 0:
            raise UserError(f"top_k={self.top_k} must be 0 (off) or more.")
        if not 0 < self.top_p <= 1:
            raise UserError(f"top_p={self.top_p} must be above 0 and at most 1 (off).")
        if not 0 <= self.min_p <= 1:
            raise UserError(f"min_p={self.min_p} must be from 0 (off) to 1.")

    def distribution(self, logits: Float[Tensor, "V"]) -> Float[Tensor, "V"]:
        """The probabilities that are drawn from."""
        logits = logits.float() / self.temperature
        if self.top_k:
            logits = top_k(logits, self.top_k)
        if self.top_p < 1:
            logits = top_p(logits, self.top_p)
        if self.min_p:
            logits = min_p(logits, self.min_p)
        return logits.softmax(-1)

    def choose(self, logits: Float[Tensor, "V"], generator: torch.Generator) -> int:
        """The id of the next character. `generator` lives on the CPU, so that every device draws alike."""
        if self.greedy:
            return int(logits.argmax())
        probabilities = self.distribution(logits).cpu()
        if not probabilities.isfinite().all():
            raise UserError(
                "the model's scores are no numbers any more: it has blown up; train it anew with a lower --learning_rate."
            )
        return int(torch.multinomial(probabilities, 1, generator=generator))
