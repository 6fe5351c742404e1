"""Tree: characters as paths of bits, the common ones short, and like characters side by side.

    weights (V,) in code-point order ──cut into halves of about equal weight, and these again──▶ V-1 inner nodes

A code that keeps an order (Fano 1949) is hardly longer than Huffman's, and its first bits mean something: in code-point order
they tell punctuation, capitals and small letters apart, which is easier to predict than how common a character is.
docs/log.md has the bytes.
"""

from typing import NamedTuple

import numpy as np


class Tree(NamedTuple):
    """A binary tree over V characters: its V-1 inner nodes, parents before children."""

    children: np.ndarray  # (V-1, 2): an inner node, or -1 - id
    path: np.ndarray  # (V, D): the nodes from the root to each character, -1 behind its end
    bits: np.ndarray  # (V, D): the bit there, 0 or 1
    depth: np.ndarray  # (V-1,): nodes above each


def balanced(weights: np.ndarray) -> Tree:
    """The tree whose nodes each cut a range of characters (V > 1) into halves of about equal weight."""
    before = np.concatenate(([0.0], np.cumsum(weights)))
    ranges, above, children = [(0, len(weights))], [list[tuple[int, int]]()], list[list[int]]()
    ways = [list[tuple[int, int]]() for _ in weights]
    for node, (begin, end) in enumerate(ranges):  # which grows meanwhile
        inside = before[begin + 1 : end]
        cut = begin + 1 + int(np.abs(2 * inside - before[begin] - before[end]).argmin())
        children.append([])
        for bit, (first, last) in enumerate(((begin, cut), (cut, end))):
            way = [*above[node], (node, bit)]
            if last - first == 1:
                ways[first] = way
                children[node].append(-1 - first)
            else:
                children[node].append(len(ranges))
                ranges.append((first, last))
                above.append(way)
    deep = max(map(len, ways))
    path, bits = np.full((len(ways), deep), -1, np.int64), np.zeros((len(ways), deep), np.int64)
    for id, way in enumerate(ways):
        path[id, : len(way)], bits[id, : len(way)] = np.array(way).T
    return Tree(np.array(children, np.int64), path, bits, np.array([len(way) for way in above], np.int64))
