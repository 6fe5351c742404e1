"""llguidance guide: asks the engine at each step what may follow, where there is no table of it.

For grammars the engine does not promise that the text can still be completed in time. So one way to the end is known at each
step, and a character after which no such way is found, short enough, is not taken.
"""

import copy
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from letterwise.errors import UserError
from letterwise.inference.constraints.completion import EFFORT, Exhausted, find
from letterwise.inference.constraints.matching import Place

STEP_EFFORT, STEP_SECONDS = 300, 0.5  # places that are looked at to find out where one character leads; and at most so long


class EngineGuide:
    """Asks the engine at each step, and keeps a way to the end in mind where the engine alone does not promise one."""

    def __init__(self, place: Place, left: int, rest: list[int] | None, phrases: list[list[int]], max_seconds: float) -> None:
        """`rest` completes the text; None where the place alone keeps the promise. `phrases` have to be written, as ids."""
        self.place, self.left, self.rest, self.all_phrases, self.max_seconds = place, left, rest, phrases, max_seconds
        self.phrases = phrases if rest is not None else []  # those not written yet, as far as the search must know
        self.written: list[int] = []

    def fork(self) -> "EngineGuide":
        """Another text that goes its own way from here."""
        twin = copy.copy(self)
        twin.place, twin.written = self.place.fork(), self.written[:]
        return twin

    def allowed(self) -> Bool[np.ndarray, "V"]:
        """Which characters may follow (V,), before `advance` has looked at where they lead."""
        if self.rest and len(self.rest) == self.left:  # only what is known to lead to the end in time
            return np.arange(self.place.size) == self.rest[0]
        return self.place.allowed()

    def is_accepting(self) -> bool:
        """Is the text whole?"""
        return self.place.is_accepting()

    def is_finished(self) -> bool:
        """Is the text whole, and can nothing follow?"""
        return self.place.is_finished()

    def advance(self, id: int) -> bool:
        """Go on by a character that is allowed; False, and nothing is done, when no way is known from there to an end."""
        if self.rest is None:
            self.place.advance(id)
            self.left -= 1
            return True
        place = self.place.fork()
        place.advance(id)
        rest = self.rest[1:] if self.rest[:1] == [id] else self._rest(place)
        if rest is None:
            return False
        self.place, self.rest, self.left = place, rest, self.left - 1
        if self.phrases:
            self._note(id)
        return True

    def _rest(self, place: Place) -> list[int] | None:
        """What completes a text from a place nearby, with one character less left."""
        assert self.rest is not None
        if place.is_accepting():
            return []
        rest = self.rest
        if not place.completes(rest):
            return _found(place, self.left - 1, rest, self.phrases, STEP_EFFORT)
        while place.completes(rest[1:]):  # as after one more letter of a string; after one more digit it may be even less
            rest = rest[1:]
        return rest if len(rest) < self.left else _found(place, self.left - 1, rest, self.phrases, STEP_EFFORT)

    def _note(self, id: int) -> None:
        """Once a phrase is written, the way to the end need not lead through it any more."""
        self.written.append(id)
        missing = [phrase for phrase in self.phrases if self.written[-len(phrase) :] != phrase]
        if len(missing) < len(self.phrases):
            self.phrases = missing
            shorter = _found(self.place, len(self.rest or ()), phrases=missing)
            self.rest = self.rest if shorter is None else shorter

    def step_to_end(self) -> int:
        """One step on the known way to the end."""
        assert self.rest
        id = self.rest[0]
        self.advance(id)
        return id

    def completion(self) -> list[int]:
        """Ids that complete the text, now that there is no more time. Raises `UserError` when none are found."""
        rest = self.rest if self.rest is not None else _found(self.place, self.left, phrases=self.all_phrases)
        if rest is None:
            raise UserError(f"--max_seconds {self.max_seconds:g} ended before a text that matches was whole.")
        return rest


def _found(
    place: Place, most: int, hint: Sequence[int] = (), phrases: Sequence[list[int]] = (), effort: int = EFFORT
) -> list[int] | None:
    """What completes a text, or None when it is not found."""
    try:
        return find(place, most, hint, phrases, effort, seconds=STEP_SECONDS)
    except Exhausted:
        return None
