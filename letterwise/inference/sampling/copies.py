"""Copies: which characters would complete a run that is too long and stands in the training text.

prompt, written ──the last N──▶ Suffixes ──what stands behind them──▶ scores without these
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from letterwise.data.vocabulary import Vocabulary
from letterwise.errors import UserError

if TYPE_CHECKING:
    from letterwise.data.suffix_array import Suffixes


class Copies:
    """Keeps runs of more than `most` characters of the training text out of what is written behind a prompt."""

    def __init__(self, training: "Suffixes", vocabulary: Vocabulary, most: int, prompt: np.ndarray) -> None:
        """A run may begin in the `prompt` (n,) of ids. Raises `UserError` when runs so long are not kept track of."""
        if most > training.reach:
            raise UserError(f"max_copy={most} is too long for a training text of this size: {training.reach} is the most.")
        self.training, self.vocabulary, self.most = training, vocabulary, most
        self.before: list[int] = prompt[-most:].tolist()

    def without(self, scores: Float[np.ndarray, "V"], written: Sequence[int]) -> Float[np.ndarray, "V"]:
        """Scores (V,), those of characters that would complete too long a run behind what is `written` at -∞."""
        run = written[-self.most :] if len(written) >= self.most else [*self.before, *written][-self.most :]
        if len(run) < self.most:
            return scores
        bars = self.training.following(np.array(run, np.int64), len(scores))
        return np.where(bars, np.float32(-math.inf), scores)

    def refusal(self, written: Sequence[int]) -> UserError:
        """What to say when no character is left to write."""
        last = self.vocabulary.decode([*self.before, *written][-self.most :])
        return UserError(
            f"--max_copy {self.most} leaves no character to write behind {last!r}, after {len(written)} characters: each that "
            "may be written stands behind it in the training text. Raise --max_copy."
        )
