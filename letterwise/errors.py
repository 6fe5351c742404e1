"""Errors: a sentence for a person.

wrong input ──▶ UserError("what was wrong, shown; what to do next") ──▶ the command line prints it, exit code 2
"""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """The request or the input was wrong. The message is one sentence that shows the value and the next move."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A half sentence that names the nearest known word, or lists them all: `did you mean 'gpt2'?`."""
    known = list(known)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
