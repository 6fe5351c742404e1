"""Mixing: predictions from the text so far, mixed with a model's. Compiled by numba.

    models' p (M V) ┐ at each node of a binary tree over the characters
    histories ──────┼─▶ logits ──mixer──▶ logit ──maps──▶ p of bit 1 ──all nodes──▶ p (V,)
    matches ────────┘               ▲────────▲── the next character: one step of each ──┘

A character is a path down the tree (tree.py), a bit at each node. What is predicted there comes from contexts (contexts.py)
whose histories say what came after them (histories.py), and from earlier places with the same last characters (matches.py).
These are the methods of PAQ (Mahoney 2013, "Data Compression Explained", 4.3). Of the models one learns as it reads, and
the others stay as they were trained: how far to follow each is learned, too. Nodes that hardly any probability reaches keep
what the first of them predicts. All in float64, one operation after the other: the same numbers on both sides.
"""

from typing import NamedTuple

import numpy as np

from letterwise.compiling.arithmetic import EXACT
from letterwise.compiling.entry import entry
from letterwise.compiling.parts import part
from letterwise.online.contexts import CONTEXTS, LENGTH, STUDIED, Contexts, follow, no_contexts
from letterwise.online.histories import (
    Histories,
    look,
    no_histories,
    own_logit,
    remember_bit,
    remember_contexts,
    slot_of,
    state_of,
)
from letterwise.online.logistic import NEVER, hashed, stretch
from letterwise.online.maps import Maps, corrected, maps_step, straight_maps
from letterwise.online.matches import MATCHES, Matches, check, find, no_matches, sure
from letterwise.online.mixer import (
    CONSTANT,
    FIRST,
    FIRST_MATCH,
    MODEL,
    Mixer,
    choose_rows,
    look_around,
    mix,
    mixer_step,
    new_mixer,
    step_size,
)

BESIDE = 0.7  # of weights that were learned without models
MODELS_BESIDE = 0.5  # of the models' first ones
RARE = 1e-4  # nodes that are reached with less probability keep the model's
SLOTS, MAX_SLOTS = 2**22, 2**24  # of histories: of a text alone, and after a long one


class Past(NamedTuple):
    """All that is learned from the text."""

    contexts: Contexts
    histories: Histories
    matches: Matches
    mixer: Mixer
    maps: Maps
    sums: np.ndarray  # (M, V-1) scratch: how probable each model holds it to pass a node
    reach: np.ndarray  # (V-1,) scratch: how probable that is, mixed


def empty_past(shapes: np.ndarray, shares: np.ndarray, slots: int = SLOTS) -> Past:
    """Of a text of which nothing was read, over characters of these shapes (V,). `shares` (M,): models' first weights."""
    nodes = len(shapes) - 1
    parts = no_contexts(shapes), no_histories(slots), no_matches(), new_mixer(len(shapes), shares), straight_maps()
    return Past(*parts, np.zeros((len(shares), nodes)), np.zeros(nodes))


def copied(past: Past) -> Past:
    """Another one that begins where this one stands."""
    parts = (part.copy() if isinstance(part, np.ndarray) else type(part)(*(array.copy() for array in part)) for part in past)
    return Past._make(parts)


@entry(waits=True, **EXACT)
def predict(tree, past, models, mixed):
    """`mixed` (V,): the next character's probabilities, from the `models`' (M, V) and the past."""
    nodes, sums, reach = len(tree.children), past.sums, past.reach
    for node in range(nodes - 1, -1, -1):  # children come behind their parents
        left, right = tree.children[node]
        for m in range(len(models)):
            below = models[m, -1 - left] if left < 0 else sums[m, left]
            sums[m, node] = below + (models[m, -1 - right] if right < 0 else sums[m, right])
    look(past.histories, past.contexts.hashes)
    look_around(past.mixer, past.contexts, past.histories.known, past.matches)
    reach[0] = 1.0
    for node in range(nodes):
        p1 = (
            at_node(tree, past, models, node, tree.depth[node])
            if reach[node] >= RARE
            else model_bit(tree, past, models, 0, node)
        )
        for bit in range(2):
            child = tree.children[node, bit]
            p = reach[node] * (p1 if bit else 1.0 - p1)
            if child < 0:
                mixed[-1 - child] = p
            else:
                reach[child] = p


@entry(waits=True, **EXACT)
def learn(tree, past, models, id):
    """Learn from the character that came, after `predict`."""
    walk(tree, past, models, id)


@entry(waits=True, **EXACT)
def study(tree, past, none, shares, ids):
    """Learn from a text (N,) int64 that came before, without models: `none` is (0, V).

    The mixer learns what its contexts are worth where they are alone, so part of that is left to them beside models.
    """
    for id in ids:
        look(past.histories, past.contexts.hashes)
        look_around(past.mixer, past.contexts, past.histories.known, past.matches)
        walk(tree, past, none, id)
    weights = past.mixer.weights
    weights *= BESIDE
    for m in range(len(shares)):
        weights[:, MODEL + m] = MODELS_BESIDE * shares[m]
    past.contexts.state[STUDIED] = past.contexts.state[LENGTH]


@part(**EXACT)
def model_bit(tree, past, models, m, node):
    """How probable a model holds bit 1 at a node."""
    right, total = tree.children[node, 1], past.sums[m, node]
    p1 = models[m, -1 - right] if right < 0 else past.sums[m, right]
    return min(max(p1 / total, NEVER), 1.0 - NEVER) if total > 0.0 else 0.5


@part(**EXACT)
def at_node(tree, past, models, node, depth):
    """The probability of bit 1 at a node; `models` is empty where there are none."""
    contexts, histories, matches, mixer = past.contexts, past.histories, past.matches, past.mixer
    inputs, expected = mixer.inputs, -1
    for m in range(len(models)):
        inputs[MODEL + m] = stretch(model_bit(tree, past, models, m, node))
    inputs[CONSTANT] = 0.3
    for c in range(CONTEXTS):
        at = FIRST + 2 * c
        inputs[at] = inputs[at + 1] = 0.0
        if histories.known[c]:
            slot, known = slot_of(histories, hashed(contexts.hashes[c], np.uint64(node)))
            if known:
                cell = histories.cells[slot]
                inputs[at], inputs[at + 1] = histories.logits[c, state_of(cell)], own_logit(histories, cell)
    for m in range(len(MATCHES)):
        inputs[FIRST_MATCH + m] = 0.0
        if matches.found[m, 1] > 0:
            id = contexts.text[matches.found[m, 0] & (len(contexts.text) - 1)]
            if depth < tree.path.shape[1] and tree.path[id, depth] == node:
                expected = tree.bits[id, depth]
                inputs[FIRST_MATCH + m] = stretch(sure(matches, m)) * (1.0 if expected else -1.0)
    choose_rows(mixer, node, depth, expected)
    return min(max(corrected(past.maps, contexts, node, mix(mixer)), NEVER), 1.0 - NEVER)


@part(**EXACT)
def walk(tree, past, models, id):
    """Learn at each node of a character's path, then append it to the text."""
    contexts, histories = past.contexts, past.histories
    step = step_size(np.int64(contexts.state[LENGTH] - contexts.state[STUDIED]))
    for depth in range(tree.path.shape[1]):
        node = tree.path[id, depth]
        if node < 0:
            break
        bit = tree.bits[id, depth]
        at_node(tree, past, models, node, depth)
        mixer_step(past.mixer, bit, step)
        maps_step(past.maps, bit)
        for c in range(CONTEXTS):
            remember_bit(histories, c, hashed(contexts.hashes[c], np.uint64(node)), bit)
    remember_contexts(histories, contexts.hashes)
    check(past.matches, contexts, id)
    follow(contexts, id)
    find(past.matches, contexts)
