"""DFA guide: one text in a regular language, by table look-up."""

import numpy as np

from letterwise.inference.constraints.language.dfa import DFA, START
from letterwise.shapes import Bool


class DFAGuide:
    """A state of a DFA, and how many characters are left."""

    def __init__(self, dfa: DFA, left: int, state: int = START) -> None:
        self.dfa, self.left, self.state = dfa, left, state

    def fork(self) -> "DFAGuide":
        """A copy that goes its own way from here."""
        return DFAGuide(self.dfa, self.left, self.state)

    def allowed(self) -> Bool[np.ndarray, "V"]:
        """Which characters may follow (V,)."""
        classes, transitions, distances = self.dfa
        return (distances[transitions[self.state]] < self.left)[classes]

    def is_accepting(self) -> bool:
        """Does the text match as it stands?"""
        return bool(self.dfa.distances[self.state] == 0)

    def is_finished(self) -> bool:
        """Does the text match, and can nothing follow?"""
        return self.is_accepting() and not self.allowed().any()

    def advance(self, id: int) -> bool:
        """Read an allowed character."""
        self.state, self.left = int(self.dfa.transitions[self.state, self.dfa.classes[id]]), self.left - 1
        return True

    def step_to_end(self) -> int:
        """Read one character on the shortest way to the end, and return it."""
        classes, transitions, distances = self.dfa
        id = int(distances[transitions[self.state]][classes].argmin())
        self.advance(id)
        return id

    def completion(self) -> list[int]:
        """The shortest ids that complete the text."""
        guide = self.fork()
        return [guide.step_to_end() for _ in range(self.dfa.distances[self.state])]
