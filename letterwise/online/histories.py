"""Histories: what came after a context before, at a node of the tree, and what that is worth.

    (context, node) ──hash──▶ history: how often each bit came ──map──▶ probability of bit 1

The map is learned: how often bit 1 came after such a history, in this context (indirect modelling: Mahoney 2005, "Adaptive
weighing of context models for lossless data compression"). It says for itself what one bit that came thrice is worth, or a
count that has just been contradicted.
"""

from typing import NamedTuple

import numpy as np

from letterwise.compiling.parts import part
from letterwise.online.contexts import CONTEXTS

SEEN = 2**20
LEVELS = 12  # of a count in a history
STATES = LEVELS * LEVELS
SLOWEST = 1.0 / 250  # how fast the map learns at least
UNSURE = 1e-4  # its probabilities are kept so far from 0 and 1
REPRESENTATIVES = np.array([0, 1, 2, 3, 4, 5.5, 8, 12, 19, 32, 60, 140])  # a count of each level
LEVEL_OF = np.array([int(np.searchsorted([1, 2, 3, 4, 5, 7, 10, 15, 24, 42, 90], count, side="right")) for count in range(256)])


class Histories(NamedTuple):
    """All histories of a text."""

    tags: np.ndarray  # (slots,) uint16: the key's of the history there
    held: np.ndarray  # (slots, 2) uint8: how often each bit came, older times for less
    seen: np.ndarray  # (CONTEXTS, SEEN) uint8: whether a context was there
    map: np.ndarray  # (CONTEXTS, STATES) float64: probability of bit 1 after a history
    rates: np.ndarray  # (CONTEXTS, STATES): how fast each of these learns
    known: np.ndarray  # (CONTEXTS,) bool: scratch: whether each context was there


def no_histories(slots: int) -> Histories:
    """Of a text that has not begun; `slots` is a power of two. The map says what counts alone would."""
    zeros, ones = REPRESENTATIVES[:, None], REPRESENTATIVES[None, :]
    first = ((ones + 0.4) / (zeros + ones + 0.8)).reshape(-1)
    return Histories(
        np.zeros(slots, np.uint16),
        np.zeros((slots, 2), np.uint8),
        np.zeros((CONTEXTS, SEEN), np.uint8),
        np.broadcast_to(first, (CONTEXTS, STATES)).copy(),
        np.full((CONTEXTS, STATES), 1 / 8.0),
        np.zeros(CONTEXTS, np.bool_),
    )


@part()
def slot_of(histories, key):
    """Where the history with this key is, or may begin: of two slots the one that is its own, or holds less."""
    slot = np.int64(key & np.uint64(len(histories.tags) - 1))
    tag = np.uint16((key >> np.uint64(40)) | np.uint64(1))
    other = slot ^ 1
    if histories.tags[slot] == tag:
        return slot, True
    if histories.tags[other] == tag:
        return other, True
    here = np.int64(histories.held[slot, 0]) + np.int64(histories.held[slot, 1])
    there = np.int64(histories.held[other, 0]) + np.int64(histories.held[other, 1])
    return (slot if here <= there else other), False


@part()
def state_of(held):
    """The state of a history (2,): its row in the map."""
    return LEVEL_OF[held[0]] * LEVELS + LEVEL_OF[held[1]]


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
    held = histories.held[slot]
    if known:
        state = state_of(held)
        rate, p = histories.rates[c, state], histories.map[c, state]
        histories.map[c, state] = min(max(p + rate * (bit - p), UNSURE), 1.0 - UNSURE)
        histories.rates[c, state] = max(SLOWEST, 1.0 / (1.0 / rate + 1.0))
    else:
        histories.tags[slot] = np.uint16((key >> np.uint64(40)) | np.uint64(1))
        held[:] = 0
    held[bit] = min(np.int64(held[bit]) + 1, 255)
    if held[1 - bit] > 2:
        held[1 - bit] = held[1 - bit] // 2 + 1
