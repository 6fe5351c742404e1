"""DFA tables: the DFAs of several texts in one array, since compiled code takes one array and not a list of tables.

DFAs ──pack──▶ numbers (N,) = classes, transitions, distances of each, one after another ──unpack──▶ a DFA, as views
"""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Int

from letterwise.compiling.parts import part
from letterwise.inference.constraints.language.dfa import DFA

NONE = (-1, 0, 0)  # where the DFA of a text without one stands


class DFATables:
    """DFAs as compiled code reads them; those that were asked for last are kept."""

    def __init__(self) -> None:
        self.numbers, self.places = np.zeros(0, np.int32), {}
        self.dfas: list[DFA] = []  # held, so that no other one takes its id

    def pack(self, dfas: Iterable[DFA | None]) -> tuple[Int[np.ndarray, "N"], list[tuple[int, int, int]]]:
        """All of them as `numbers`, and for each where it begins there and how many states and classes it has."""
        dfas = list(dfas)
        distinct = {id(dfa): dfa for dfa in dfas if dfa is not None}
        if not distinct.keys() <= self.places.keys():
            self._lay_out(list(distinct.values()))
        return self.numbers, [NONE if dfa is None else self.places[id(dfa)] for dfa in dfas]

    def _lay_out(self, dfas: list[DFA]) -> None:
        self.dfas, self.places, begin = dfas, {}, 0
        for dfa in dfas:
            self.places[id(dfa)] = begin, *dfa.transitions.shape
            begin += dfa.classes.size + dfa.transitions.size + dfa.distances.size
        self.numbers = np.concatenate([table.reshape(-1) for dfa in dfas for table in dfa], dtype=np.int32)


@part(_nrt=False)
def unpack(numbers, begin, states, classes, vocab_size):
    """The DFA that begins at `begin`; without any characters where that is below 0."""
    if begin < 0:
        begin, states, classes, vocab_size = 0, 0, 0, 0
    end = begin + vocab_size + states * classes
    transitions = numbers[begin + vocab_size : end].reshape((states, classes))
    return DFA(numbers[begin : begin + vocab_size], transitions, numbers[end : end + states])
