"""Maps: the mixed probability, corrected by what came of such probabilities before (secondary estimation).

    logit, context ──▶ between two of 33 knots of that context's curve ──▶ p       half the mixed p, half the mean of three maps

A curve for each node, one for each node after each last character, and after the last two (Mahoney 2013, "Data Compression
Explained", 4.3: APM, SSE).
"""

from typing import NamedTuple

import numpy as np

from letterwise.compiling.arithmetic import EXACT
from letterwise.compiling.parts import part
from letterwise.online.contexts import last
from letterwise.online.logistic import hashed, squash

MAPS, ROWS, KNOTS = 3, 2**16, 33
WIDEST = 8.0  # logits of the outer knots
RATE = 0.02


class Maps(NamedTuple):
    """Curves, and scratch."""

    curves: np.ndarray  # (MAPS, ROWS, KNOTS): probabilities, less the logits' own
    straight: np.ndarray  # (KNOTS,): those
    rows: np.ndarray  # (MAPS,) int64: scratch: the curves at a node
    nearest: np.ndarray  # (1,) int64: scratch: the knot that is learned from


def straight_maps() -> Maps:
    """They change nothing yet."""
    straight = np.array([squash(logit) for logit in np.linspace(-WIDEST, WIDEST, KNOTS).tolist()])
    return Maps(np.zeros((MAPS, ROWS, KNOTS)), straight, np.zeros(MAPS, np.int64), np.zeros(1, np.int64))


@part(**EXACT)
def corrected(maps, contexts, node, logit):
    """The final probability of bit 1."""
    one, at = hashed(np.uint64(last(contexts, 1)), np.uint64(node)), np.uint64(ROWS - 1)
    maps.rows[0] = node & (ROWS - 1)
    maps.rows[1] = np.int64(one & at)
    maps.rows[2] = np.int64(hashed(one, np.uint64(last(contexts, 2))) & at)
    where = (min(max(logit, -WIDEST), WIDEST) + WIDEST) * ((KNOTS - 1) / (2 * WIDEST))
    below = min(np.int64(where), KNOTS - 2)
    above, total = where - below, 0.0
    for a in range(MAPS):
        curve = maps.curves[a, maps.rows[a]]
        total += (maps.straight[below] + curve[below]) * (1.0 - above)
        total += (maps.straight[below + 1] + curve[below + 1]) * above
    maps.nearest[0] = below + 1 if above > 0.5 else below
    return 0.5 * squash(logit) + 0.5 * (total / MAPS)


@part(**EXACT)
def maps_step(maps, bit):
    """The nearest knot of each curve moves towards the bit that came."""
    knot = maps.nearest[0]
    for a in range(MAPS):
        curve = maps.curves[a, maps.rows[a]]
        curve[knot] += RATE * (bit - maps.straight[knot] - curve[knot])
