"""DFA guide: a text on its way through an automaton. The guide of all that is regular."""

import numpy as np
from jaxtyping import Bool

from letterwise.inference.constraints.language.dfa import START, Automaton


class Walk:
    """A text on its way through an automaton, with so many characters left at most."""

    def __init__(self, automaton: Automaton, left: int, state: int = START) -> None:
        self.automaton, self.left, self.state = automaton, left, state

    def fork(self) -> "Walk":
        """Another text that goes its own way from here."""
        return Walk(self.automaton, self.left, self.state)

    def allowed(self) -> Bool[np.ndarray, "V"]:
        """Which characters may follow (V,)."""
        kinds, goes, ends = self.automaton
        return (ends[goes[self.state]] < self.left)[kinds]

    def may_end(self) -> bool:
        """Is the text whole?"""
        return bool(self.automaton.ends[self.state] == 0)

    def over(self) -> bool:
        """Is the text whole, and can nothing follow?"""
        return self.may_end() and not self.allowed().any()

    def take(self, id: int) -> bool:
        """Go on by a character that is allowed."""
        self.state, self.left = int(self.automaton.goes[self.state, self.automaton.kinds[id]]), self.left - 1
        return True

    def on(self) -> int:
        """One step on the shortest way to the end."""
        kinds, goes, ends = self.automaton
        id = int(ends[goes[self.state]][kinds].argmin())
        self.take(id)
        return id

    def finish(self) -> list[int]:
        """The shortest way to the end: ids that complete the text."""
        walk = self.fork()
        return [walk.on() for _ in range(self.automaton.ends[self.state])]
