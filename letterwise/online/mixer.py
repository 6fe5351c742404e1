"""Mixer: many predictions of a bit as one, by two layers of logistic regression that learn as they go.

    inputs (I,) logits ───── ──a row of weights of each of 9 sets──▶ 9 logits ──a row of weights of each of 2──▶ p
                                    ▲ which row: what is known of the place                  ▲

Each set takes the row for another property of the place, so that the weight of an input depends on all of them; the second
layer learns which set to listen to. Each row takes a gradient step on its own cost (Mahoney 2013, "Data Compression
Explained", 4.3; Mattern 2012, "Mixing strategies in data compression").
"""

from typing import NamedTuple

import numpy as np

from letterwise.compiling.arithmetic import EXACT
from letterwise.compiling.parts import part
from letterwise.online.contexts import COLUMN, CONTEXTS, LETTERS, ORDERS, SHAPES, last
from letterwise.online.logistic import DEEPEST, hashed, squash
from letterwise.online.matches import MATCHES, longest_match

CONSTANT, FIRST = 0, 1  # inputs: a constant; then contexts, matches, models
FIRST_MATCH = FIRST + 2 * CONTEXTS  # of each context, what the map says of its history, and its own probability
MODEL = FIRST_MATCH + len(MATCHES)  # of the first model; the others' come behind it
REACHES = (len(ORDERS) + 1) * 4  # the longest known context × the longest match
SURE, DEPTHS = 8, 16  # how sure the model is; how deep in the tree
THREE_SHAPES, TWO_SHAPES = 8**3, 2**10  # of the last characters; the latter with the node, hashed
SETS, FINAL = 9, 2  # of the first layer; of the second
# Of the first layer: it falls from one to the other, half way after so many characters.
STEP, STEP_FLOOR, STEP_HALF = 0.01, 0.001, 4000.0
FINAL_STEP = 0.002


class Mixer(NamedTuple):
    """Weights, and scratch."""

    weights: np.ndarray  # (rows of all sets, I); I is a multiple of 8, for the processor
    begins: np.ndarray  # (SETS,) int64: each set's first row
    final: np.ndarray  # (FINAL, rows, SETS)
    inputs: np.ndarray  # (I,): scratch: of a node
    place: np.ndarray  # (SETS,) int64: scratch: the part of each set's row that is the same at all nodes of a character
    rows: np.ndarray  # (SETS + FINAL,) int64: scratch: the rows taken
    logits: np.ndarray  # (SETS,): scratch: of each set
    mixed: np.ndarray  # (FINAL,): scratch: of each row of the second layer


def new_mixer(vocab_size: int, shares: np.ndarray) -> Mixer:
    """All sets alike: models have weights `shares` (M,), each context's map and each match 0.1."""
    sizes = [REACHES, vocab_size, vocab_size, 33, 64, SURE * DEPTHS, (len(ORDERS) + 1) * SURE * 8, THREE_SHAPES, TWO_SHAPES]
    weights = np.zeros((sum(sizes), (MODEL + len(shares) + 7) // 8 * 8))
    weights[:, FIRST:FIRST_MATCH:2] = weights[:, FIRST_MATCH:MODEL] = 0.1
    weights[:, MODEL : MODEL + len(shares)] = shares
    return Mixer(
        weights,
        np.concatenate(([0], np.cumsum(sizes)[:-1])).astype(np.int64),
        np.full((FINAL, max(vocab_size, REACHES), SETS), 1.0 / SETS),
        np.zeros(weights.shape[1]),
        np.zeros(SETS, np.int64),
        np.zeros(SETS + FINAL, np.int64),
        np.zeros(SETS),
        np.zeros(FINAL),
    )


@part()
def look_around(mixer, contexts, known, matches):
    """What chooses the rows at all nodes of the next character."""
    longest, length, place = 0, longest_match(matches), mixer.place
    for c in range(len(ORDERS)):
        if known[c]:
            longest = c + 1
    place[0] = longest * 4 + (0 if length == 0 else 1 if length < 12 else 2 if length < 24 else 3)
    place[2] = last(contexts, 1)
    place[3] = min(length // 2, 15)
    place[4] = min(np.int64(contexts.state[LETTERS]), 7) * 8 + min(np.int64(contexts.state[COLUMN]) // 4, 7)
    place[6] = longest
    place[7] = np.int64(contexts.state[SHAPES] & np.uint64(THREE_SHAPES - 1))


@part()
def choose_rows(mixer, node, depth, bit):
    """The rows at a node; `bit` is what the longest match expects there, or -1."""
    rows, place = mixer.rows, mixer.place
    sure = min(np.int64(abs(mixer.inputs[MODEL]) * 1.5), SURE - 1)
    rows[0], rows[1], rows[2], rows[4] = place[0], node, place[2], place[4]
    rows[3] = 0 if bit < 0 else 1 + bit * 16 + place[3]
    rows[5] = sure * DEPTHS + min(depth, DEPTHS - 1)
    rows[6] = (place[6] * SURE + sure) * 8 + min(depth, 7)
    rows[7] = place[7]
    rows[8] = np.int64(hashed(np.uint64(place[7] & 63), np.uint64(node)) & np.uint64(TWO_SHAPES - 1))
    for s in range(SETS):
        rows[s] += mixer.begins[s]
    rows[SETS], rows[SETS + 1] = node, place[0]


@part(**EXACT)
def dot(weights, inputs):
    """Their product, in eight sums that the processor can take side by side."""
    a = b = c = d = e = f = g = h = 0.0
    for i in range(0, len(weights), 8):
        a += weights[i] * inputs[i]
        b += weights[i + 1] * inputs[i + 1]
        c += weights[i + 2] * inputs[i + 2]
        d += weights[i + 3] * inputs[i + 3]
        e += weights[i + 4] * inputs[i + 4]
        f += weights[i + 5] * inputs[i + 5]
        g += weights[i + 6] * inputs[i + 6]
        h += weights[i + 7] * inputs[i + 7]
    return ((a + e) + (c + g)) + ((b + f) + (d + h))


@part(**EXACT)
def mix(mixer):
    """The logit of all inputs together."""
    for s in range(SETS):
        mixer.logits[s] = min(max(dot(mixer.weights[mixer.rows[s]], mixer.inputs), -DEEPEST), DEEPEST)
    logit = 0.0
    for f in range(FINAL):
        weights, total = mixer.final[f, mixer.rows[SETS + f]], 0.0
        for s in range(SETS):
            total += weights[s] * mixer.logits[s]
        mixer.mixed[f] = total
        logit += total
    return logit / FINAL


@part(**EXACT)
def step_size(length):
    """Of the first layer, after so many characters."""
    return STEP_FLOOR + (STEP - STEP_FLOOR) / (1.0 + length / STEP_HALF)


@part(**EXACT)
def mixer_step(mixer, bit, step):
    """One gradient step of each row on its own cost, of the bit that came."""
    for f in range(FINAL):
        error = FINAL_STEP * (bit - squash(mixer.mixed[f]))
        weights = mixer.final[f, mixer.rows[SETS + f]]
        for s in range(SETS):
            weights[s] += error * mixer.logits[s]
    for s in range(SETS):
        error = step * (bit - squash(mixer.logits[s]))
        weights = mixer.weights[mixer.rows[s]]
        for i in range(len(weights)):
            weights[i] += error * mixer.inputs[i]
