"""DFA: what is regular, as a table. A state is all that a text so far says about what may follow.

Characters that nothing tells apart are of one kind, k of K. From state s a character of kind k leads to `goes[s, k]`; `ends[s]`
characters at least are then missing until the text is whole.
So a text of at most n characters never gets stuck: one may follow
if, behind it, what is left reaches to the end. Looking this up costs so little that the kernel draws many characters in a row.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from letterwise.inference.sampling.filters import chosen, compiled

DEAD, START = 0, 1  # states: no text goes on from here; nothing is written yet
FAR = 2**31 - 1  # no number of characters makes the text whole
END = -2  # in place of an id: the text ends


class Automaton(NamedTuple):
    """The table: which kind each character is of, where a kind leads, how many characters are missing until the end."""

    kinds: Int[np.ndarray, "V"]
    goes: Int[np.ndarray, "S K"]
    ends: Int[np.ndarray, "S"]


FREE = Automaton(np.zeros(0, np.int32), np.zeros((0, 0), np.int32), np.zeros(0, np.int32))  # whatever the model says


@compiled
def passed(scores, automaton, state, left, filters, uniform):
    """The next id, from its `scores` (V,), which are used up, and whether it was drawn with `uniform`; or END in its place.

    Where there is no choice nothing is drawn. A whole text ends with the probability of all that may not follow.
    """
    kinds, goes, ends = automaton.kinds, automaton.goes, automaton.ends
    if np.isnan(scores[0]):  # the model's logits were: see `filters.biased`
        return -1, False
    if kinds.size == 0:
        return chosen(scores, filters, uniform), True
    whole, choices, only = ends[state] == 0, 0, END
    for c in range(scores.size):
        if ends[goes[state, kinds[c]]] < left:
            choices, only = choices + 1, c
        elif not whole:
            scores[c] = -np.inf
    if choices == (0 if whole else 1):
        return only, False
    id = chosen(scores, filters, uniform)
    if id >= 0 and ends[goes[state, kinds[id]]] >= left:
        id = END
    return id, True
