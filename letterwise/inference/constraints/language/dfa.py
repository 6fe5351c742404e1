"""DFA: a regular language as a table, and a draw that stays inside it.

    state s, class k ──transitions[s, k]──▶ next state t        distances[t]: characters from t to the nearest accepting state

Characters that the language never distinguishes form one class, k of K: the table has K columns and not V. A character
may follow while the distance behind it is below the number of characters left, so a text of at most n characters never
gets stuck. This check is cheap, so the kernel draws many characters in a row.
"""

from typing import NamedTuple

import numpy as np

from letterwise.inference.sampling.filters import compiled, sample
from letterwise.shapes import Int

START = 1  # the state in which nothing is written yet; after state 0 nothing can follow
UNREACHABLE = 2**31 - 1  # a distance: no accepting state is ahead
END = -2  # in place of an id: the text ends


class DFA(NamedTuple):
    """A deterministic finite automaton over the vocabulary.

    Attributes:
        classes: the class of each character (V,).
        transitions: the next state, for each state and class (S, K).
        distances: characters from each state to the nearest accepting state (S,); 0 in an accepting state.
    """

    classes: Int[np.ndarray, "V"]
    transitions: Int[np.ndarray, "S K"]
    distances: Int[np.ndarray, "S"]


NO_DFA = DFA(np.zeros(0, np.int32), np.zeros((0, 0), np.int32), np.zeros(0, np.int32))  # every character may follow


@compiled
def draw_under_dfa(scores, dfa, state, left, filters, uniform, room):
    """Draw the next id from `scores` (V,), which are overwritten. Returns the id and whether `uniform` was used for it.

    END in place of an id ends the text. Where there is no choice, nothing is drawn. In an accepting state, the text
    ends with the probability of all characters that may not follow.
    """
    classes, transitions, distances = dfa.classes, dfa.transitions, dfa.distances
    if np.isnan(scores[0]):  # the model's logits were: see `filters.biased`
        return -1, False
    if classes.size == 0:
        return sample(scores, filters, uniform, room), True
    accepting, choices, only = distances[state] == 0, 0, END
    for c in range(scores.size):
        if distances[transitions[state, classes[c]]] < left:
            choices, only = choices + 1, c
        elif not accepting:
            scores[c] = -np.inf
    if choices == (0 if accepting else 1):
        return only, False
    id = sample(scores, filters, uniform, room)
    if id >= 0 and distances[transitions[state, classes[id]]] >= left:
        id = END
    return id, True
