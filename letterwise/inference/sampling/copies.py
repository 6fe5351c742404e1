"""Copies: keeps long verbatim copies of the training text out of what is written (`--max_copy`).

prompt + written ──the last N──▶ Suffixes ──what follows them in the training text──▶ scores without these characters
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from letterwise.data.vocabulary import Vocabulary
from letterwise.errors import UserError
from letterwise.shapes import Float

if TYPE_CHECKING:
    from letterwise.data.suffix_array import Suffixes


class CopyLimit:
    """Allows copies of at most `max_copy` characters, those of the `prompt` (n,) of ids included."""

    def __init__(self, training: "Suffixes", vocabulary: Vocabulary, max_copy: int, prompt: np.ndarray) -> None:
        """Raises `UserError` for a limit longer than what is found everywhere in the training text."""
        if max_copy > training.reach:
            raise UserError(f"max_copy={max_copy} is too long for a training text of this size: {training.reach} is the most.")
        self.training, self.vocabulary, self.max_copy = training, vocabulary, max_copy
        self.before: list[int] = prompt[-max_copy:].tolist()

    def masked(self, scores: Float[np.ndarray, "V"], written: Sequence[int]) -> Float[np.ndarray, "V"]:
        """Scores (V,), with −∞ for characters that would make a copy too long behind what is `written`."""
        last = self._last(written)
        if len(last) < self.max_copy:
            return scores
        following = self.training.following(np.array(last, np.int64), len(scores))
        return np.where(following, np.float32(-math.inf), scores)

    def refusal(self, written: Sequence[int]) -> UserError:
        """What to say when no character is left to write."""
        last = self.vocabulary.decode(self._last(written))
        return UserError(
            f"--max_copy {self.max_copy} leaves no character to write behind {last!r}, after {len(written)} characters: each "
            "that may be written follows it in the training text. Raise --max_copy."
        )

    def _last(self, written: Sequence[int]) -> list[int]:
        """The last `max_copy` ids of prompt and text."""
        if len(written) >= self.max_copy:
            return list(written[-self.max_copy :])
        return [*self.before, *written][-self.max_copy :]
