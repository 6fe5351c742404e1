"""Histories: what came after a context before, at a node of the tree, and what that is worth.

    (context, node) ──hash──▶ history ──▶ how often each bit came ──map──▶ logit of bit 1
                                     └──▶ how often bit 1 came, later times for more ──▶ another logit

The map is learned: how often bit 1 came after such a history, in this context (indirect modelling: Mahoney 2005, "Adaptive
weighing of context models for lossless data compression"). It says for itself what one bit that came thrice is worth, or a
count that has just been contradicted. A context's own probability knows more where there is much of it.
"""

from typing import NamedTuple

import numpy as np

from letterwise.compiling.parts import part
from letterwise.online.contexts import CONTEXTS
from letterwise.online.logistic import stretch

SEEN = 2**20
LEVELS = 12  # of a count in a history
STATES = LEVELS * LEVELS
SLOWEST = 1.0 / 250  # how fast the map learns at least
UNSURE = 1e-4  # its probabilities are kept so far from 0 and 1
MOST = 255  # a count is no higher
STEPS = 2**12  # probabilities whose logit is kept
ONE = 2.0**32 - 1  # the probability 1, as a cell has it
TAG, HALF = np.uint64(48), np.uint64(2**31)  # where the key's part begins; the probability of a new history
REPRESENTATIVES = np.array([0, 1, 2, 3, 4, 5.5, 8, 12, 19, 32, 60, 140])  # a count of each level
LEVEL_OF = np.array([int(np.searchsorted([1, 2, 3, 4, 5, 7, 10, 15, 24, 42, 90], count, side="right")) for count in range(256)])


class Histories(NamedTuple):
    """All histories of a text."""

    cells: np.ndarray  # (slots,) uint64: 16 bits of its key, how often 0 and 1 came in 8 each, its probability of 1 in 32
    seen: np.ndarray  # (CONTEXTS, SEEN) uint8: whether a context was there
    map: np.ndarray  # (CONTEXTS, STATES) float64: probability of bit 1 after a history
    logits: np.ndarray  # (CONTEXTS, STATES): of these
    rates: np.ndarray  # (CONTEXTS, STATES): how fast each of these learns
    known: np.ndarray  # (CONTEXTS,) bool: scratch: whether each context was there
    stretched: np.ndarray  # (STEPS,): the logits of probabilities


def no_histories(slots: int) -> Histories:
    """Of a text that has not begun; `slots` is a power of two. The map says what counts alone would."""
    zeros, ones = REPRESENTATIVES[:, None], REPRESENTATIVES[None, :]
    first = ((ones + 0.4) / (zeros + ones + 0.8)).reshape(-1)
    logits = np.array([stretch(p) for p in first.tolist()])
    return Histories(
        np.zeros(slots, np.uint64),
        np.zeros((CONTEXTS, SEEN), np.uint8),
        np.broadcast_to(first, (CONTEXTS, STATES)).copy(),
        np.broadcast_to(logits, (CONTEXTS, STATES)).copy(),
        np.full((CONTEXTS, STATES), 1 / 8.0),
        np.zeros(CONTEXTS, np.bool_),
        np.array([stretch((step + 0.5) / STEPS) for step in range(STEPS)]),
    )


@part()
def tag_of(key):
    """The part of a key that its cell keeps; never 0."""
    return (key >> np.uint64(32)) & np.uint64(0xFFFF) | np.uint64(1)


@part()
def count(cell, bit):
    """How often a bit came, older times for less."""
    return np.int64((cell >> np.uint64(32 if bit else 40)) & np.uint64(0xFF))


@part()
def slot_of(histories, key):
    """Where the history with this key is, or may begin: of two slots the one that is its own, or holds less."""
    slot = np.int64(key & np.uint64(len(histories.cells) - 1))
    tag, other = tag_of(key), slot ^ 1
    here = histories.cells[slot]
    if here >> TAG == tag:
        return slot, True
    there = histories.cells[other]
    if there >> TAG == tag:
        return other, True
    return (slot if count(here, 0) + count(here, 1) <= count(there, 0) + count(there, 1) else other), False


@part()
def state_of(cell):
    """The state of a history: its row in the map."""
    return LEVEL_OF[count(cell, 0)] * LEVELS + LEVEL_OF[count(cell, 1)]


@part()
def own_logit(histories, cell):
    """The logit of its own probability."""
    return histories.stretched[np.int64((cell & np.uint64(0xFFFFFFFF)) >> np.uint64(20))]


@part()
def look(histories, hashes):
    """Which contexts were there before."""
    for c in range(CONTEXTS):
        histories.known[c] = histories.seen[c, np.int64(hashes[c] >> np.uint64(44))] > 0


@part()
def remember_contexts(histories, hashes):
    """Now all of them were."""
    for c in range(CONTEXTS):
        histories.seen[c, np.int64(hashes[c] >> np.uint64(44))] = 1


@part()
def remember_bit(histories, c, key, bit):
    """The map learns from the bit that came in context `c`, then the history holds it."""
    slot, known = slot_of(histories, key)
    cell = histories.cells[slot] if known else HALF
    if known:
        state = state_of(cell)
        rate = histories.rates[c, state]
        p = histories.map[c, state]
        p = min(max(p + rate * (bit - p), UNSURE), 1.0 - UNSURE)
        histories.map[c, state], histories.logits[c, state] = p, stretch(p)
        histories.rates[c, state] = max(SLOWEST, 1.0 / (1.0 / rate + 1.0))
    same, other = count(cell, bit), count(cell, 1 - bit)
    own = np.float64(cell & np.uint64(0xFFFFFFFF)) / ONE
    own += (bit - own) / (min(same + other, MOST) + 1.5)
    same = min(same + 1, MOST)
    if other > 2:
        other = other // 2 + 1
    counts = np.uint64((other << 8) + same if bit else (same << 8) + other)
    histories.cells[slot] = (tag_of(key) << TAG) | (counts << np.uint64(32)) | np.uint64(np.int64(own * ONE))
