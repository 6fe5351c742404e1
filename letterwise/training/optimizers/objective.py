"""Objective: a model's loss on a batch, as one forward pass: what shares work among processes watches that.

inputs, targets (B, T) ──model──▶ logits ──▶ nats of the targets      + what a teacher and multi-token prediction ask ──▶ loss
"""

from collections.abc import Callable

from torch import Tensor, nn

from letterwise.loss import cross_entropy, soft_cross_entropy
from letterwise.model import Transformer
from letterwise.shapes import Float, Int
from letterwise.training.optimizers.multi_token import MultiTokenHead

TEACHER_WEIGHT = 0.9  # of a teacher's predictions in the loss, beside characters that really follow: those have the rest


class Objective(nn.Module):
    """A model and its loss. `multi_token` is a second head that only training needs.

    With `shrinkage`, the loss takes logits / (1 - shrinkage), so the model's own become smaller: what fits the training text is
    too sure of new text, above all after many readings. That is temperature scaling (Guo et al. 2017, §4.2) by a temperature
    that is given, and learned with.
    """

    def __init__(
        self,
        model: Transformer,
        multi_token: MultiTokenHead | None,
        shrinkage: float = 0.0,
        teacher_weight: float = TEACHER_WEIGHT,
    ) -> None:
        super().__init__()
        self.model, self.multi_token, self.shrinkage, self.teacher_weight = model, multi_token, shrinkage, teacher_weight

    def forward(
        self,
        inputs: Int[Tensor, "B T"],
        targets: Int[Tensor, "B T"],
        log_prior: Float[Tensor, "B T K E"] | None,
        taught: Float[Tensor, "B T V"] | None,
        lookahead: float,
        check: Callable[[], None],
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """The loss, and the mean nats of the targets, without what a teacher's predictions (`taught`) and `lookahead` add.

        `check` is called in the middle, and may raise to give up.
        """
        h = self.model.states(inputs, log_prior=log_prior)
        check()
        logits = self.model.scores(h, log_prior)
        loss = nats = cross_entropy(logits, targets)
        if self.shrinkage:
            loss = cross_entropy(logits / (1 - self.shrinkage), targets)
        if taught is not None:
            loss = self.teacher_weight * soft_cross_entropy(logits, taught, targets) + (1 - self.teacher_weight) * loss
        if self.multi_token:
            loss = loss + lookahead * self.multi_token(h, targets)
        return loss, nats.detach()

    def calling(self, do: Callable[[], None]) -> None:
        """`do()`: where weights are in shares, that is a forward pass, too (distributed/sharded.py)."""
        do()
