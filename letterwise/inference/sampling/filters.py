"""Filters: which characters may be drawn, and the draw. Functions that change scores in place, compiled by numba.

    scores (V,) ──÷ temperature──▶ top-k ▶ top-p ▶ min-p ▶ typical-p ──draw──▶ id

A filter removes a character by setting its score to -∞. What it computes is in a `Room`. Ties at a border are kept, so no
order among equals is invented. Draws invert the cumulative distribution in float64, one uniform number each.
"""

import ctypes
import math
from functools import cache
from typing import NamedTuple

import numpy as np

from letterwise.compiling.parts import part

TIE = 1e-9  # nats: surprisals that differ by less are equal
FLOOR = np.float32(-1e30)  # logits are no lower, so that -∞ means one thing: it may not be written
compiled = part()


class Filters(NamedTuple):
    """What is done to scores before a character is drawn: the options of `SamplerConfig`."""

    temperature: float
    top_k: int
    top_p: float
    min_p: float
    typical_p: float
    greedy: bool


class Room(NamedTuple):
    """Room for what filters compute."""

    order: np.ndarray  # (V,), int64
    probabilities: np.ndarray  # (V,), float64
    typicality: np.ndarray  # (V,), float64


def room_for(vocab_size: int) -> Room:
    """Room for so many characters."""
    return Room(np.zeros(vocab_size, np.int64), np.zeros(vocab_size), np.zeros(vocab_size))


# the same as an array's type: the filters of several texts
FILTERS = np.dtype((np.record, np.dtype([*Filters.__annotations__.items()], align=True)))


def exp_in_python(x):
    """What `exp` compiles to: the C library's function for this kind of number. NumPy has another of its own."""
    return expf()(x) if isinstance(x, np.float32) else math.exp(x)


@cache
def expf():
    """The C library's e^x of a float32."""
    found = ctypes.CDLL(None).expf
    found.argtypes, found.restype = [ctypes.c_float], ctypes.c_float
    return found


@part(python=exp_in_python)
def exp(x):
    """e^x."""
    return math.exp(x)


@compiled
def is_distribution(logits):
    """Are they logits of a distribution: no NaN, none at +∞, and not all at -∞?"""
    top = -np.inf
    for c in range(len(logits)):
        if math.isnan(logits[c]):
            return False
        top = max(top, logits[c])
    return math.isfinite(top)


@compiled
def biased(logits, bias, scores):
    """Into `scores` (V,): logits, none below `FLOOR`, and `bias` (V,), which is -∞ where nothing may be written.

    All NaN when the logits are those of no distribution. So a character that may be written is always above one that may not.
    """
    diverged = not is_distribution(logits)
    for c in range(len(logits)):
        scores[c] = np.nan if diverged else max(logits[c], FLOOR) + bias[c]


@compiled
def maximum(logits):
    """The largest of them (V,)."""
    top = logits[0]
    for c in range(1, len(logits)):
        top = max(top, logits[c])
    return top


@compiled
def argsort(keys, order):
    """Into `order` (V,): their indices, smallest first, by heapsort (Williams 1964). NumPy's takes 2 s to compile."""
    for c in range(len(keys)):
        order[c] = c
    start, end = len(keys) // 2, len(keys)
    while end > 1:
        if start > 0:  # build a heap, the largest first
            start -= 1
        else:  # and move the largest to the end
            end -= 1
            order[0], order[end] = order[end], order[0]
        parent, child = start, 2 * start + 1
        while child < end:
            if child + 1 < end and keys[order[child]] < keys[order[child + 1]]:
                child += 1
            if keys[order[parent]] >= keys[order[child]]:
                break
            order[parent], order[child] = order[child], order[parent]
            parent, child = child, 2 * child + 1


@compiled
def keep_from(threshold, values, logits):
    """Remove what is below a threshold in `values` (V,)."""
    for c in range(len(logits)):
        if not values[c] >= threshold:
            logits[c] = -np.inf


@compiled
def top_k(logits, k, room):
    """Keep the k likeliest (Fan et al. 2018)."""
    if k < len(logits):
        argsort(logits, room.order)
        keep_from(logits[room.order[len(logits) - k]], logits, logits)


@compiled
def top_p(logits, p, room):
    """Keep the likeliest until they hold a probability of p together: the nucleus (Holtzman et al. 2020, section 3.1)."""
    probabilities, order = room.probabilities, room.order
    softmax(logits, probabilities)
    argsort(probabilities, order)
    total, threshold = 0.0, probabilities[order[-1]]
    for i in range(len(order) - 1, -1, -1):
        if total >= p:  # the one that crosses p is still in
            break
        threshold = probabilities[order[i]]
        total += threshold
    keep_from(threshold, probabilities, logits)


@compiled
def min_p(logits, p):
    """Keep those at least p times as likely as the likeliest (Nguyen et al. 2024)."""
    first = logits[0]
    logits[0] = np.float64(maximum(logits)) + math.log(p)  # rounded as scores are, so that ties at the border are kept
    threshold, logits[0] = logits[0], first
    keep_from(threshold, logits, logits)


@compiled
def typical_p(logits, p, room):
    """Keep those whose surprisal is nearest to the entropy, until they hold p together (Meister et al. 2023)."""
    order, probabilities, typicality = room
    softmax(logits, probabilities)
    entropy = 0.0
    for c in range(len(logits)):
        if probabilities[c] > 0:
            typicality[c] = -math.log(probabilities[c])  # its surprisal, so far
            entropy += probabilities[c] * typicality[c]
    for c in range(len(logits)):
        typicality[c] = -abs(typicality[c] - entropy) if probabilities[c] > 0 else -np.inf
    argsort(typicality, order)
    total, threshold = 0.0, 0.0
    for i in range(len(order) - 1, -1, -1):
        threshold = typicality[order[i]]
        total += probabilities[order[i]]
        if total >= p:  # the one that reaches p is still in
            break
    keep_from(threshold - TIE, typicality, logits)


@compiled
def softmax(logits, probabilities):
    """`probabilities` (V,), float64."""
    top, total = maximum(logits), 0.0
    for c in range(len(logits)):
        probabilities[c] = exp(logits[c] - top)
    for c in range(len(logits)):
        total += probabilities[c]
    for c in range(len(logits)):
        probabilities[c] /= total


@compiled
def apply(filters, logits, room):
    """Temperature and filters."""
    if filters.temperature != 1:
        top = maximum(logits)  # subtracted first: a low temperature must not make it infinite
        for c in range(len(logits)):
            logits[c] = np.float64(logits[c] - top) / filters.temperature
    if filters.top_k:
        top_k(logits, filters.top_k, room)
    if filters.top_p < 1:
        top_p(logits, filters.top_p, room)
    if filters.min_p > 0:
        min_p(logits, filters.min_p)
    if filters.typical_p < 1:
        typical_p(logits, filters.typical_p, room)


@compiled
def draw(logits, uniform, cumulative):
    """The id at `uniform` (0 ≤ u < 1) of the `cumulative` distribution (V,), which it computes; -1 when the scores are NaN."""
    if not is_distribution(logits):
        return -1
    top = maximum(logits)
    total, last = 0.0, 0
    for c in range(len(logits)):
        weight = exp(logits[c] - top)
        total += weight
        cumulative[c] = total
        last = c if weight > 0 else last
    for c in range(last):
        if cumulative[c] > uniform * total:
            return c
    return last  # uniform · total may round up to the total


@compiled
def argmax(logits):
    """The id with the largest score, the first of equals; -1 when the scores are NaN."""
    if not is_distribution(logits):
        return -1
    best = 0
    for c in range(1, len(logits)):
        best = c if logits[c] > logits[best] else best
    return best


@compiled
def sample(scores, filters, uniform, room):
    """The id of the next character; -1 when the scores are NaN. They are overwritten."""
    if filters.greedy:
        return argmax(scores)
    apply(filters, scores, room)
    return draw(scores, uniform, room.probabilities)
