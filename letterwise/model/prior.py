"""Prior: what counting already knows comes in at both ends, so that the blocks need only learn the rest.

    ln p (B T V) ──exp, linear──▶ (B T C), added to the embedding
    h (B T C) ──linear──▶ gate (B T 1)
    logits = head(h) + (1 + gate) · ln p

With nothing learned yet (head and gate at zero) the model says exactly what the counts say. Where p comes from is not
known here: it arrives with the tokens.
"""

from jaxtyping import Float
from torch import Tensor, nn

from letterwise.config import ModelConfig


class Prior(nn.Module):
    """The transformer's residual over a given distribution of the next character."""

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        super().__init__()
        self.read = nn.Linear(vocab_size, config.n_embd, bias=False)
        self.gate = nn.Linear(config.n_embd, 1)

    def feature(self, log_prior: Float[Tensor, "B T V"]) -> Float[Tensor, "B T C"]:
        """What the prior expects, as a vector beside the character's own."""
        return self.read(log_prior.exp())

    def mix(
        self, logits: Float[Tensor, "B T V"], h: Float[Tensor, "B T C"], log_prior: Float[Tensor, "B T V"]
    ) -> Float[Tensor, "B T V"]:
        """The model's scores upon the prior's, trusted more or less as the gate says."""
        return logits + (1 + self.gate(h)) * log_prior
