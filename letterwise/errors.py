"""Errors: a sentence for a person.

wrong input ──▶ UserError("what was wrong, shown; what to do next") ──▶ the command line prints it, exit code 2
"""

import difflib
import math
from collections.abc import Iterable


class UserError(Exception):
    """The request or the input was wrong. The message is one sentence that shows the value and the next move."""


class Diverged(UserError):
    """A model that answers with NaN. There is one sentence for it, whoever asked."""

    def __init__(self) -> None:
        super().__init__(
            "this model's logits are NaN (not a number): its training diverged, or its file is damaged. "
            "Train it again with a lower --learning_rate."
        )


def finite(value: float) -> float:
    """The value, or the sum of many: raises `Diverged` when it is NaN or infinite."""
    if not math.isfinite(value):
        raise Diverged
    return value


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A half sentence that names the nearest known word, or lists them all: `did you mean 'gpt2'?`."""
    known = list(known)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
