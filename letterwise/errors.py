"""Errors: a sentence for a person.

wrong input ──▶ UserError("what was wrong, shown; what to do next") ──▶ the command line prints it, exit code 2
"""

import difflib
import math
from collections.abc import Iterable

LONGEST_SHOWN = 80  # characters of a wrong value


class UserError(Exception):
    """The request or the input was wrong. The message is one sentence that shows the value and the next move.

    `said`: whether another of several processes says it; None where that was not asked.
    """

    said: bool | None = None


class Terminated(BaseException):
    """A signal asks to end: what is half-written is removed on the way out."""

    def __init__(self, number: int) -> None:
        self.signal_number = number


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


def sentence(message: object) -> str:
    """A message, or a part of one, as a whole sentence: with a full stop, unless it ends in a mark already.

    >>> [sentence("it is cut off"), sentence("did you mean 'gpt2'?"), sentence(UserError("Try again."))]
    ['it is cut off.', "did you mean 'gpt2'?", 'Try again.']
    """
    text = str(message)
    return text if text.endswith((".", "?", "!", "…")) else f"{text}."


def clause(message: object) -> str:
    """A message as a part of another sentence, which goes on behind it: without its full stop."""
    return str(message).removesuffix(".")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a sentence, which names the nearest known word, or lists them all: `did you mean 'gpt2'?`."""
    known = list(known)
    near = nearest(word, known)
    return f"did you mean {near!r}?" if near else f"known: {', '.join(known)}."


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant: it begins so, has these initials or this part, or nearly these letters.

    >>> [nearest(word, ["min_lr", "learning_rate", "temperature", "stop"]) for word in ("temp", "lr", "rate", "lerning_rate")]
    ['temperature', 'learning_rate', 'learning_rate', 'learning_rate']
    """
    bare = {name: name.lstrip("-").replace("-", "_").lower() for name in known}
    asked = word.lstrip("-").replace("-", "_").lower()
    if len(asked) > 1:
        tests = (
            lambda name: len(asked) > 2 and name.startswith(asked),
            lambda name: "".join(part[:1] for part in name.split("_")) == asked,
            lambda name: asked in name.split("_"),
        )
        for fits in tests:
            if found := [name for name, plain in bare.items() if fits(plain)]:
                return min(found, key=len)
    near = difflib.get_close_matches(asked, bare.values(), n=1, cutoff=0.6)
    return next((name for name, plain in bare.items() if near == [plain]), None)


def quoted(value: object) -> str:
    """A value as Python spells it, for a sentence; a long one is cut."""
    try:
        said = repr(value)
    except ValueError:  # Python spells no number of more than 4,300 digits
        return "a number of thousands of digits"
    return said if len(said) <= LONGEST_SHOWN else f"{said[:LONGEST_SHOWN]}…{said[-1]}"
