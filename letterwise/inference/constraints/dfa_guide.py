"""DFA guide: a text on its way through an automaton. The guide of all that is regular."""

import numpy as np
from jaxtyping import Bool

from letterwise.inference.constraints.language.dfa import DFA, START


class DFAGuide:
    """A text on its way through an automaton, with so many characters left at most."""

    def __init__(self, dfa: DFA, left: int, state: int = START) -> None:
        self.dfa, self.left, self.state = dfa, left, state

    def fork(self) -> "DFAGuide":
        """Another text that goes its own way from here."""
        return DFAGuide(self.dfa, self.left, self.state)

    def allowed(self) -> Bool[np.ndarray, "V"]:
        """Which characters may follow (V,)."""
        classes, transitions, distances = self.dfa
        return (distances[transitions[self.state]] < self.left)[classes]

    def is_accepting(self) -> bool:
        """Is the text whole?"""
        return bool(self.dfa.distances[self.state] == 0)

    def is_finished(self) -> bool:
        """Is the text whole, and can nothing follow?"""
        return self.is_accepting() and not self.allowed().any()

    def advance(self, id: int) -> bool:
        """Go on by a character that is allowed."""
        self.state, self.left = int(self.dfa.transitions[self.state, self.dfa.classes[id]]), self.left - 1
        return True

    def step_to_end(self) -> int:
        """One step on the shortest way to the end."""
        classes, transitions, distances = self.dfa
        id = int(distances[transitions[self.state]][classes].argmin())
        self.advance(id)
        return id

    def completion(self) -> list[int]:
        """The shortest way to the end: ids that complete the text."""
        walk = self.fork()
        return [walk.step_to_end() for _ in range(self.dfa.distances[self.state])]
