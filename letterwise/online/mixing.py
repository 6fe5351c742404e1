"""Mixing: predictions from the text so far, mixed with a model's. Compiled by numba.

    model's p (V,) ─┐
    contexts ───────┼─▶ at each node of a binary tree over the characters: Σ weight · logit ──squash──▶ p (V,)
    matches ────────┘            ▲──────── the next character: one gradient step ────────────────┘

A character is a path down the tree, a bit at each node. For each node, and each context (the last 1 … 8 characters, the word so
far, …) that was there before, a history holds how often each bit came; a table learns the probability of bit 1 after such a
history, and the mixer its weight. These are the methods of PAQ: logistic mixing, indirect histories
(Mahoney 2005, "Adaptive weighing of context models for lossless data compression"), over the bits of a Huffman tree, so
that common characters take few. All in float64, one operation after the other: the same numbers on both sides.
"""

import heapq
import math
from typing import NamedTuple

import numpy as np

from letterwise.compiling.entry import entry
from letterwise.compiling.parts import part

ORDERS = (1, 2, 3, 4, 5, 6, 8)  # characters in a context; then come: the word, two words, the column
CONTEXTS = len(ORDERS) + 3
MATCHES = (6, 12)  # a match model each: how many characters must be equal
LONGEST_MATCH = 31
INPUTS = 2 + CONTEXTS + len(MATCHES)  # the model, a constant, contexts, matches
SLOTS = 2**22
SEEN = 2**20
POSITIONS = 2**18  # of matches
LEVELS = 12  # of a count in a history
STEP, STEP_FLOOR, STEP_HALF = 0.01, 0.001, 4000.0
MAP_RATE = 1.0 / 250
DEEPEST = 12.0  # logits are kept within ±this


class Tree(NamedTuple):
    """A binary tree over V characters: its V-1 inner nodes, parents before children."""

    children: np.ndarray  # (V-1, 2): an inner node, or -1 - id
    path: np.ndarray  # (V, D): the nodes from the root to each character, -1 behind its end
    bits: np.ndarray  # (V, D): the bit there, 0 or 1


class Past(NamedTuple):
    """All that is learned from the text."""

    tags: np.ndarray  # (SLOTS,): the key's of the history there
    histories: np.ndarray  # (SLOTS, 2): how often each bit came, older times for less
    seen: np.ndarray  # (CONTEXTS, SEEN): whether a context was there
    history_map: np.ndarray  # (CONTEXTS, LEVELS²): probability of bit 1 after a history
    rates: np.ndarray  # (CONTEXTS, LEVELS²): how fast each of these learns
    match_map: np.ndarray  # (matches, LONGEST_MATCH + 1): how often a match of this length went on
    weights: np.ndarray  # (sets, INPUTS): of the mixer, chosen by the longest context and match there is
    node_weights: np.ndarray  # (V-1, INPUTS): added to these, each node's own
    positions: np.ndarray  # (matches, POSITIONS): where the last characters were before
    text: np.ndarray  # (RING,) the last characters
    found: np.ndarray  # (matches, 2): where the match goes on, its length
    state: np.ndarray  # (4 + CONTEXTS,) uint64: length of the text, word, word before, column; contexts' hashes
    nodes: np.ndarray  # (V-1, 2 + INPUTS): scratch: the model's p, mixed p, inputs
    passing: np.ndarray  # (2, V-1): scratch: how probable it is to pass a node, by the model and mixed
    known: np.ndarray  # (CONTEXTS,): scratch: whether each context was there
    kinds: np.ndarray  # (V,): whether a character is part of words (1), ends lines (2), or neither


def huffman(weights: np.ndarray) -> Tree:
    """The tree in which the depth of a character follows its weight."""
    size = len(weights)
    heap = [(float(weight), id, -1 - id) for id, weight in enumerate(weights)]
    heapq.heapify(heap)
    pairs: list[tuple[int, int]] = []
    while len(heap) > 1:
        (a, _, left), (b, _, right) = heapq.heappop(heap), heapq.heappop(heap)
        pairs.append((left, right))
        heapq.heappush(heap, (a + b, size + len(pairs), len(pairs) - 1))
    last = len(pairs) - 1  # the root was made last: number the other way round
    children = np.array([[child if child < 0 else last - child for child in pair] for pair in reversed(pairs)], np.int64)
    children = children.reshape(-1, 2)
    ways: list[list[tuple[int, int]]] = [[] for _ in range(size)]
    above: dict[int, list[tuple[int, int]]] = {0: []}
    for node, pair in enumerate(children.tolist()):
        for bit, child in enumerate(pair):
            way = [*above[node], (node, bit)]
            if child < 0:
                ways[-1 - child] = way
            else:
                above[child] = way
    deep = max(1, max(map(len, ways)))
    path, bits = np.full((size, deep), -1, np.int64), np.zeros((size, deep), np.int64)
    for id, way in enumerate(ways):
        for depth, (node, bit) in enumerate(way):
            path[id, depth], bits[id, depth] = node, bit
    return Tree(children, path, bits)


def empty_past(vocab_size: int, kinds: np.ndarray) -> Past:
    """Of a text of which nothing was read: the model has weight 1, each context 0.1."""
    nodes = vocab_size - 1
    counts = np.array([representative(level) for level in range(LEVELS)])
    first = (counts[None, :] + 0.4) / (counts[None, :] + counts[:, None] + 0.8)
    sets = len(ORDERS) + 1
    weights = np.zeros((sets * 3, INPUTS))
    weights[:, 0] = 1.0
    weights[:, 2:] = 0.1
    return Past(
        np.zeros(SLOTS, np.uint16),
        np.zeros((SLOTS, 2), np.uint8),
        np.zeros((CONTEXTS, SEEN), np.uint8),
        np.broadcast_to(first.reshape(-1), (CONTEXTS, LEVELS * LEVELS)).copy(),
        np.full((CONTEXTS, LEVELS * LEVELS), 1 / 8.0),
        np.broadcast_to(1 - 1 / (2.5 + np.arange(LONGEST_MATCH + 1)), (len(MATCHES), LONGEST_MATCH + 1)).copy(),
        weights,
        np.zeros((nodes, INPUTS)),
        np.full((len(MATCHES), POSITIONS), -1, np.int64),
        np.zeros(2**20, np.int64),
        np.zeros((len(MATCHES), 2), np.int64),
        np.zeros(4 + CONTEXTS, np.uint64),
        np.zeros((nodes, 2 + INPUTS)),
        np.zeros((2, nodes)),
        np.zeros(CONTEXTS, np.bool_),
        kinds,
    )


def representative(level: int) -> float:
    """A count of this level."""
    return (0, 1, 2, 3, 4, 5.5, 8, 12, 19, 32, 60, 140)[level]


LEVEL_OF = np.array([int(np.searchsorted([1, 2, 3, 4, 5, 7, 10, 15, 24, 42, 90], count, side="right")) for count in range(256)])


@part()
def stretch(p):
    """The logit of a probability, within ±DEEPEST."""
    return min(max(math.log(p / (1.0 - p)), -DEEPEST), DEEPEST)


@part()
def squash(x):
    """The probability of a logit."""
    return 1.0 / (1.0 + math.exp(-min(max(x, -DEEPEST), DEEPEST)))


@part()
def hashed(a, b):
    """A hash of two numbers."""
    x = (a + np.uint64(0x9E3779B97F4A7C15)) * np.uint64(0xBF58476D1CE4E5B9) ^ (b + np.uint64(1)) * np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(29)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    return x ^ (x >> np.uint64(32))


@part()
def slot_of(past, key):
    """Where the history with this key is, or may begin: of two slots the one that is its own, or holds less."""
    slot = np.int64(key & np.uint64(SLOTS - 1))
    tag = np.uint16((key >> np.uint64(40)) | np.uint64(1))
    other = slot ^ 1
    if past.tags[slot] == tag:
        return slot, True
    if past.tags[other] == tag:
        return other, True
    held = past.histories[slot, 0] + past.histories[slot, 1]
    rest = past.histories[other, 0] + past.histories[other, 1]
    return (slot if held <= rest else other), False


@entry(waits=True)
def predict(tree, past, model, mixed):
    """`mixed` (V,): the next character's probabilities, from the `model`'s (V,) and the past."""
    nodes, inputs = len(tree.children), past.nodes.shape[1] - 2
    hashes = past.state[4:]
    (sums, reach), seen = past.passing, past.known
    longest = 0
    for c in range(CONTEXTS):
        seen[c] = past.seen[c, np.int64(hashes[c] >> np.uint64(44))] > 0
        if seen[c] and c < len(ORDERS):
            longest = c + 1
    matched = 2 if past.found[1, 1] > 0 else 1 if past.found[0, 1] > 0 else 0
    weights = past.weights[longest * 3 + matched]
    for node in range(nodes - 1, -1, -1):  # children come behind their parents
        left, right = tree.children[node]
        p0 = model[-1 - left] if left < 0 else sums[left]
        p1 = model[-1 - right] if right < 0 else sums[right]
        sums[node] = p0 + p1
        past.nodes[node, 0] = min(max(p1 / (p0 + p1), 1e-6), 1 - 1e-6) if p0 + p1 > 0 else 0.5
    past.nodes[:, 2:] = 0.0
    for m in range(len(MATCHES)):
        length = past.found[m, 1]
        if length > 0:
            id = past.text[past.found[m, 0] & (len(past.text) - 1)]
            sure = stretch(past.match_map[m, min(length, LONGEST_MATCH)])
            for depth in range(tree.path.shape[1]):
                node = tree.path[id, depth]
                if node < 0:
                    break
                past.nodes[node, 2 + 2 + CONTEXTS + m] = sure if tree.bits[id, depth] else -sure
    for node in range(nodes):
        row, x = past.nodes[node], past.nodes[node, 2:]
        x[0] = stretch(row[0])
        x[1] = 0.3
        for c in range(CONTEXTS):
            if seen[c]:
                slot, known = slot_of(past, hashed(hashes[c], np.uint64(node)))
                if known:
                    history = past.histories[slot]
                    x[2 + c] = stretch(past.history_map[c, LEVEL_OF[history[0]] * LEVELS + LEVEL_OF[history[1]]])
        total, own = 0.0, past.node_weights[node]
        for i in range(inputs):
            total += (weights[i] + own[i]) * x[i]
        row[1] = squash(total)
    reach[0] = 1.0
    for node in range(nodes):
        p1 = past.nodes[node, 1]
        for bit in range(2):
            child = tree.children[node, bit]
            p = reach[node] * (p1 if bit else 1.0 - p1)
            if child < 0:
                mixed[-1 - child] = p
            else:
                reach[child] = p


@entry(waits=True)
def learn(tree, past, id):
    """Learn from the character that came, after `predict`."""
    hashes = past.state[4:]
    longest = 0
    for c in range(len(ORDERS)):
        if past.seen[c, np.int64(hashes[c] >> np.uint64(44))] > 0:
            longest = c + 1
    matched = 2 if past.found[1, 1] > 0 else 1 if past.found[0, 1] > 0 else 0
    weights = past.weights[longest * 3 + matched]
    length = np.int64(past.state[0])
    step = STEP_FLOOR + (STEP - STEP_FLOOR) / (1.0 + length / STEP_HALF)
    for depth in range(tree.path.shape[1]):
        node = tree.path[id, depth]
        if node < 0:
            break
        bit = tree.bits[id, depth]
        row, x, own = past.nodes[node], past.nodes[node, 2:], past.node_weights[node]
        error = bit - row[1]
        for i in range(len(x)):
            change = step * error * x[i]
            weights[i] += change
            own[i] += 0.2 * change
        for c in range(CONTEXTS):
            key = hashed(hashes[c], np.uint64(node))
            slot, known = slot_of(past, key)
            history = past.histories[slot]
            if not known:
                past.tags[slot] = np.uint16((key >> np.uint64(40)) | np.uint64(1))
                history[0] = history[1] = 0
            else:
                at = LEVEL_OF[history[0]] * LEVELS + LEVEL_OF[history[1]]
                rate = past.rates[c, at]
                past.history_map[c, at] += rate * (bit - past.history_map[c, at])
                past.history_map[c, at] = min(max(past.history_map[c, at], 1e-4), 1 - 1e-4)
                past.rates[c, at] = max(MAP_RATE, 1.0 / (1.0 / rate + 1.0))
            if history[bit] < 255:
                history[bit] += 1
            if history[1 - bit] > 2:
                history[1 - bit] = history[1 - bit] // 2 + 1
    for c in range(CONTEXTS):
        past.seen[c, np.int64(hashes[c] >> np.uint64(44))] = 1
    move(past, id)


@part()
def move(past, id):
    """Append the character to the text, and update contexts and matches."""
    length, ring = np.int64(past.state[0]), len(past.text) - 1
    for m in range(len(MATCHES)):
        if past.found[m, 1] > 0:
            right = past.text[past.found[m, 0] & ring] == id
            at = min(past.found[m, 1], LONGEST_MATCH)
            past.match_map[m, at] += 0.02 * ((1.0 if right else 0.0) - past.match_map[m, at])
            past.match_map[m, at] = min(max(past.match_map[m, at], 0.5), 0.9999)
            if right:
                past.found[m, 0] += 1
                past.found[m, 1] += 1
            else:
                past.found[m, 1] = 0
    past.text[length & ring] = id
    length += 1
    past.state[0] = length
    kind = past.kinds[id]
    if kind == 1:
        past.state[1] = hashed(past.state[1], np.uint64(id))
    elif past.state[1] != 0:
        past.state[2] = past.state[1]
        past.state[1] = 0
    past.state[3] = np.uint64(0) if kind == 2 else past.state[3] + np.uint64(1)
    key, at = np.uint64(0), 0
    for back in range(1, ORDERS[-1] + 1):
        key = hashed(key, np.uint64(past.text[(length - back) & ring] + 1) if back <= length else np.uint64(0))
        if back == ORDERS[at]:
            past.state[4 + at] = hashed(key, np.uint64(at))
            at += 1
    last = np.uint64(id)
    past.state[4 + at] = hashed(hashed(past.state[1], last), np.uint64(101))
    past.state[4 + at + 1] = hashed(hashed(past.state[1], past.state[2]), hashed(last, np.uint64(102)))
    above = np.uint64(past.text[(length - 1 - 1) & ring]) if length > 1 else np.uint64(0)
    past.state[4 + at + 2] = hashed(hashed(min(past.state[3], np.uint64(15)), above), np.uint64(103))
    for m in range(len(MATCHES)):
        if length < MATCHES[m]:
            continue
        key = np.uint64(m)
        for back in range(1, MATCHES[m] + 1):
            key = hashed(key, np.uint64(past.text[(length - back) & ring]))
        slot = np.int64(key & np.uint64(POSITIONS - 1))
        before = past.positions[m, slot]
        past.positions[m, slot] = length
        if past.found[m, 1] == 0 and before > 0 and length - before < ring:
            same = 0
            while (
                same < LONGEST_MATCH
                and same < before
                and past.text[(before - 1 - same) & ring] == past.text[(length - 1 - same) & ring]
            ):
                same += 1
            if same >= MATCHES[m]:
                past.found[m, 0], past.found[m, 1] = before, same
