"""Matches: where the last characters were before, and what came then.

the last 5, 8, 14 characters ──hash──▶ an earlier place with the same ones ──▶ its next character, as sure as such
                                                                               matches have been so far
"""

from typing import NamedTuple

import numpy as np

from letterwise.compiling.parts import part
from letterwise.online.contexts import RING, last
from letterwise.online.logistic import hashed

MATCHES = (5, 8, 14)  # a match model each: how many characters must be equal
LONGEST = 31  # longer matches count as this long
POSITIONS = 2**20
RATE = 0.02


class Matches(NamedTuple):
    """Where the last characters were before."""

    positions: np.ndarray  # (matches, POSITIONS) int64: the length of the text then, 0 for never
    found: np.ndarray  # (matches, 2) int64: where the match goes on, its length or 0
    went_on: np.ndarray  # (matches, LONGEST + 1) float64: how often a match of this length did


def no_matches() -> Matches:
    """Of a text that has not begun."""
    first = 1 - 1 / (2.5 + np.arange(LONGEST + 1))
    return Matches(
        np.zeros((len(MATCHES), POSITIONS), np.int64),
        np.zeros((len(MATCHES), 2), np.int64),
        np.broadcast_to(first, (len(MATCHES), LONGEST + 1)).copy(),
    )


@part()
def sure(matches, m):
    """How sure a match is to go on."""
    return matches.went_on[m, min(matches.found[m, 1], LONGEST)]


@part()
def longest_match(matches):
    """The length of the longest match; 0 for none."""
    length = 0
    for m in range(len(MATCHES)):
        length = max(length, matches.found[m, 1])
    return length


@part()
def check(matches, contexts, id):
    """The character that came goes on with a match, or ends it. It is not in the text yet."""
    for m in range(len(MATCHES)):
        length = matches.found[m, 1]
        if length > 0:
            right = contexts.text[matches.found[m, 0] & (RING - 1)] == id
            at = min(length, LONGEST)
            p = matches.went_on[m, at]
            matches.went_on[m, at] = min(max(p + RATE * ((1.0 if right else 0.0) - p), 0.5), 0.9999)
            matches.found[m, 0] += 1
            matches.found[m, 1] = length + 1 if right else 0


@part()
def find(matches, contexts):
    """Where the text's last characters were before, for each model that has no match."""
    length = np.int64(contexts.state[0])
    for m in range(len(MATCHES)):
        if length < MATCHES[m]:
            continue
        key = np.uint64(m)
        for back in range(1, MATCHES[m] + 1):
            key = hashed(key, np.uint64(last(contexts, back)))
        slot = np.int64(key & np.uint64(POSITIONS - 1))
        before = matches.positions[m, slot]
        matches.positions[m, slot] = length
        if matches.found[m, 1] == 0 and before > 0 and length - before < RING - 2 * LONGEST:
            same = 0
            while (
                same < 2 * LONGEST
                and same < before
                and contexts.text[(before - 1 - same) & (RING - 1)] == contexts.text[(length - 1 - same) & (RING - 1)]
            ):
                same += 1
            if same >= MATCHES[m]:
                matches.found[m, 0], matches.found[m, 1] = before, same
