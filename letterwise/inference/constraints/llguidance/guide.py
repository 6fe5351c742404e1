"""llguidance guide: one text under a grammar, for which llguidance is asked at each step.

Of a grammar llguidance does not promise that a text can still be completed in time. So one completion is known at each
step, and a character after which none is found, short enough, is refused.
"""

import copy
from collections.abc import Sequence

import numpy as np

from letterwise.errors import UserError
from letterwise.inference.constraints.llguidance.completion import MAX_STEPS, BudgetSpent, find_completion
from letterwise.inference.constraints.llguidance.matcher import Matcher
from letterwise.shapes import Bool

STEPS_AHEAD, SECONDS_AHEAD = 300, 0.5  # budget of the search for where one character leads


class LLGuidanceGuide:
    """A place in grammars, how many characters are left, and one way to the end."""

    def __init__(
        self, matcher: Matcher, left: int, rest: list[int] | None, phrases: list[list[int]], max_seconds: float
    ) -> None:
        """`rest` completes the text; None where every allowed character leads to an end.

        `phrases` (ids) have to be written. `max_seconds` is named when there is no more time.
        """
        self.matcher, self.left, self.rest, self.all_phrases, self.max_seconds = matcher, left, rest, phrases, max_seconds
        self.phrases = phrases if rest is not None else []  # those not written yet, as far as the search must know
        self.written: list[int] = []

    def fork(self) -> "LLGuidanceGuide":
        """A copy that goes its own way from here."""
        twin = copy.copy(self)
        twin.matcher, twin.written = self.matcher.fork(), self.written[:]
        return twin

    def allowed(self) -> Bool[np.ndarray, "V"]:
        """Which characters may follow (V,). `advance` may still refuse one of them."""
        if self.rest and len(self.rest) == self.left:  # only what is known to lead to the end in time
            return np.arange(self.matcher.vocab_size) == self.rest[0]
        return self.matcher.allowed()

    def is_accepting(self) -> bool:
        """Does the text match as it stands?"""
        return self.matcher.is_accepting()

    def is_finished(self) -> bool:
        """Does the text match, and can nothing follow?"""
        return self.matcher.is_finished()

    def advance(self, id: int) -> bool:
        """Read an allowed character. False, and nothing is changed, when no way is known from there to an end."""
        if self.rest is None:
            self.matcher.advance(id)
            self.left -= 1
            return True
        matcher = self.matcher.fork()
        matcher.advance(id)
        rest = self.rest[1:] if self.rest[:1] == [id] else self._rest_from(matcher)
        if rest is None:
            return False
        self.matcher, self.rest, self.left = matcher, rest, self.left - 1
        if self.phrases:
            self._drop_written_phrases(id)
        return True

    def _rest_from(self, matcher: Matcher) -> list[int] | None:
        """What completes a text one character on."""
        assert self.rest is not None
        if matcher.is_accepting():
            return []
        rest = self.rest
        if not matcher.completed_by(rest):
            return _found(matcher, self.left - 1, rest, self.phrases, STEPS_AHEAD)
        while matcher.completed_by(rest[1:]):  # one more letter of a string changes nothing; one more digit may save some
            rest = rest[1:]
        return rest if len(rest) < self.left else _found(matcher, self.left - 1, rest, self.phrases, STEPS_AHEAD)

    def _drop_written_phrases(self, id: int) -> None:
        """Once a phrase is written, the way to the end need not write it any more."""
        self.written.append(id)
        missing = [phrase for phrase in self.phrases if self.written[-len(phrase) :] != phrase]
        if len(missing) < len(self.phrases):
            self.phrases = missing
            shorter = _found(self.matcher, len(self.rest or ()), phrases=missing)
            self.rest = self.rest if shorter is None else shorter

    def step_to_end(self) -> int:
        """Read one character on the known way to the end, and return it."""
        assert self.rest
        id = self.rest[0]
        self.advance(id)
        return id

    def completion(self) -> list[int]:
        """Ids that complete the text. Raises `UserError` when none are found."""
        rest = self.rest if self.rest is not None else _found(self.matcher, self.left, phrases=self.all_phrases)
        if rest is None:
            raise UserError(
                f"--max_seconds {self.max_seconds:g} ended before the text matched, and no end was found: give it more time."
            )
        return rest


def _found(
    matcher: Matcher, max_ids: int, hint: Sequence[int] = (), phrases: Sequence[list[int]] = (), max_steps: int = MAX_STEPS
) -> list[int] | None:
    """What completes a text, or None when it is not found."""
    try:
        return find_completion(matcher, max_ids, hint, phrases, max_steps, max_seconds=SECONDS_AHEAD)
    except BudgetSpent:
        return None
