"""DFA tables: the DFAs of several texts in one array, since compiled code takes one array and not a list of tables.

DFAs ──pack──▶ numbers (N,) = classes, transitions, distances of each, one after another ──unpack_dfa──▶ a DFA, as views
"""

from collections.abc import Iterable

import numpy as np

from letterwise.compiling.parts import part
from letterwise.inference.constraints.language.dfa import DFA
from letterwise.inference.cpu.layout import shaped
from letterwise.shapes import Int

NONE = (-1, 0, 0)  # the position of the DFA of a text that has none


class DFATables:
    """DFAs as compiled code reads them; those of the last call are kept."""

    def __init__(self) -> None:
        self.numbers, self.positions = np.zeros(0, np.int32), {}
        self.dfas: list[DFA] = []  # kept alive, so that their ids stay theirs

    def pack(self, dfas: Iterable[DFA | None]) -> tuple[Int[np.ndarray, "N"], list[tuple[int, int, int]]]:
        """All of them as `numbers`, and for each its position there, its states and its classes."""
        dfas = list(dfas)
        distinct = {id(dfa): dfa for dfa in dfas if dfa is not None}
        if not distinct.keys() <= self.positions.keys():
            self._pack(list(distinct.values()))
        return self.numbers, [NONE if dfa is None else self.positions[id(dfa)] for dfa in dfas]

    def _pack(self, dfas: list[DFA]) -> None:
        self.dfas, self.positions, begin = dfas, {}, 0
        for dfa in dfas:
            self.positions[id(dfa)] = begin, *dfa.transitions.shape
            begin += dfa.classes.size + dfa.transitions.size + dfa.distances.size
        self.numbers = np.concatenate([table.reshape(-1) for dfa in dfas for table in dfa], dtype=np.int32)


@part()
def unpack_dfa(numbers, begin, states, classes, vocab_size):
    """The DFA that begins at `begin`; an empty one where that is below 0."""
    if begin < 0:
        begin, states, classes, vocab_size = 0, 0, 0, 0
    end = begin + vocab_size + states * classes
    transitions = shaped(numbers[begin + vocab_size : end], (states, classes))
    return DFA(numbers[begin : begin + vocab_size], transitions, numbers[end : end + states])
