"""Tree: characters as paths of bits, the common ones short (Huffman 1952).

weights (V,) ──huffman──▶ V-1 inner nodes: two children each; for each character its nodes from the root, and its bits
"""

import heapq
from typing import NamedTuple

import numpy as np


class Tree(NamedTuple):
    """A binary tree over V characters: its V-1 inner nodes, parents before children."""

    children: np.ndarray  # (V-1, 2): an inner node, or -1 - id
    path: np.ndarray  # (V, D): the nodes from the root to each character, -1 behind its end
    bits: np.ndarray  # (V, D): the bit there, 0 or 1
    depth: np.ndarray  # (V-1,): nodes above each


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
    depths = np.array([len(above[node]) for node in range(size - 1)], np.int64)
    return Tree(children, path, bits, depths)
