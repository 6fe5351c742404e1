"""Prior: predictions of counts, added to the embedding and to the logits: the blocks need only learn the rest.

    ln p (B T K V+1): K distributions of the next character, by each kind of context (ngrams/contexts), then by n-grams of
                      up to 1, 2, … characters; and the escape: how much of it was left to shorter ones, which shows how
                      sure they are
    p of the longest, escapes of all ──linear──▶ (B T C), added to the embedding
    h (B T C) ──linear──▶ gates (B T K)
    logits = head(h) + Σ_k gate_k · ln p_k

With nothing learned yet (head at zero, gates at 0, …, 0, 1) the model predicts exactly what the longest n-grams, the last of
the K, predict. Where p comes from is not known here: it is passed with the tokens.
"""

import torch
from torch import Tensor, nn

from letterwise.config import ModelConfig
from letterwise.shapes import Float


class Prior(nn.Module):
    """The transformer's residual over given distributions of the next character. `orders` is K, E is V + 1."""

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        super().__init__()
        self.orders = config.mixed_counts(vocab_size)
        self.read = nn.Linear(vocab_size + self.orders, config.n_embd, bias=False)
        self.gates = nn.Linear(config.n_embd, self.orders)

    def feature(self, log_prior: Float[Tensor, "B T K E"]) -> Float[Tensor, "B T C"]:
        """What the prior expects, and how surely, as a vector beside the character's own."""
        return self.read(torch.cat((log_prior[:, :, -1, :-1], log_prior[..., -1]), dim=-1).exp())

    def mix(
        self, logits: Float[Tensor, "B T V"], h: Float[Tensor, "B T C"], log_prior: Float[Tensor, "B T K E"]
    ) -> Float[Tensor, "B T V"]:
        """The model's scores upon the prior's, each order trusted as its gate says."""
        return logits + (self.gates(h).unsqueeze(-1) * log_prior[..., :-1]).sum(
            -2
        )  # not a product of matrices: ln p stays float32
