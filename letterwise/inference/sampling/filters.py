"""Filters: which characters may be drawn, and the draw. Pure functions from logits to logits, compiled by numba.

    logits (V,) ──÷ temperature──▶ top-k ▶ top-p ▶ min-p ▶ typical-p ──draw──▶ id

A filter removes a character by setting its score to -∞. Ties at a border are kept, so no order among equals is invented.
Draws invert the cumulative distribution in float64, one uniform number each.
"""

import ctypes
import math
from functools import cache
from typing import NamedTuple

import numpy as np

from letterwise.compiling.parts import part

TIE = 1e-9  # nats: surprises that differ by less are equal

FLOOR = np.float32(-1e30)  # logits are no lower, so that -inf means one thing: it may not be written

compiled = part(_nrt=True)


class Filters(NamedTuple):
    """What is done to scores before a character is drawn: see `sampling.Sampler`."""

    temperature: float
    top_k: int
    top_p: float
    min_p: float
    typical_p: float
    greedy: bool


# the same, for arrays: the filters of several texts
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


@part(python=exp_in_python, _nrt=True)
def exp(x):
    """e^x."""
    return math.exp(x)


@compiled
def sound(logits):
    """Is there a distribution: no NaN, none at +∞, and not all at -∞?"""
    top = -np.inf
    for c in range(len(logits)):
        if math.isnan(logits[c]):
            return False
        top = max(top, logits[c])
    return math.isfinite(top)


@compiled
def biased(logits, bias, scores):
    """Into `scores` (V,): logits, none below `FLOOR`, and `bias` (V,), which is -∞ where nothing may be written.

    All NaN when the logits are no distribution. So a character that may be written is always above one that may not.
    """
    diverged = not sound(logits)
    for c in range(len(logits)):
        scores[c] = np.nan if diverged else max(logits[c], FLOOR) + bias[c]


@compiled
def peak(logits):
    """The largest of them (V,)."""
    found = logits[0]
    for c in range(1, len(logits)):
        found = max(found, logits[c])
    return found


@compiled
def ascending(keys):
    """Their places (V,) from the smallest to the largest, by heapsort (Williams 1964). NumPy's costs 2 s to compile."""
    order = np.empty(len(keys), np.int64)
    for c in range(len(keys)):
        order[c] = c
    start, end = len(keys) // 2, len(keys)
    while end > 1:
        if start > 0:  # make a heap of them, the largest first
            start -= 1
        else:  # and take that away, to the end
            end -= 1
            order[0], order[end] = order[end], order[0]
        above, below = start, 2 * start + 1
        while below < end:
            if below + 1 < end and keys[order[below]] < keys[order[below + 1]]:
                below += 1
            if keys[order[above]] >= keys[order[below]]:
                break
            order[above], order[below] = order[below], order[above]
            above, below = below, 2 * below + 1
    return order


@compiled
def at_least(logits, values, least):
    """`logits` (V,) where `values` (V,) are not below `least`, and -∞ elsewhere."""
    passed = np.empty_like(logits)
    for c in range(len(logits)):
        passed[c] = logits[c] if values[c] >= least else -np.inf
    return passed


@compiled
def top_k(logits, k):
    """Keep the k likeliest (Fan et al. 2018)."""
    if k >= len(logits):
        return logits.copy()
    return at_least(logits, logits, logits[ascending(logits)[len(logits) - k]])


@compiled
def top_p(logits, p):
    """Keep the likeliest until they hold a probability of p together: the nucleus (Holtzman et al. 2020, section 3.1)."""
    probabilities = softmax(logits)
    order = ascending(probabilities)
    held, least = 0.0, probabilities[order[-1]]
    for i in range(len(order) - 1, -1, -1):
        if held >= p:  # the one that crosses p is still in
            break
        least = probabilities[order[i]]
        held += least
    return at_least(logits, probabilities, least)


@compiled
def min_p(logits, p):
    """Keep those at least p times as likely as the likeliest (Nguyen et al. 2024)."""
    least = logits[:1].copy()
    least[0] = np.float64(peak(logits)) + math.log(p)  # rounded as scores are, so that ties at the border are kept
    return at_least(logits, logits, least[0])


@compiled
def typical_p(logits, p):
    """Keep those whose surprise is nearest to the one expected, until they hold p together (Meister et al. 2023)."""
    probabilities = softmax(logits)
    surprise, expected = np.zeros(len(logits)), 0.0
    for c in range(len(logits)):
        if probabilities[c] > 0:
            surprise[c] = -math.log(probabilities[c])
            expected += probabilities[c] * surprise[c]
    oddness = surprise
    for c in range(len(logits)):
        oddness[c] = -abs(surprise[c] - expected) if probabilities[c] > 0 else -np.inf
    order = ascending(oddness)
    held, furthest = 0.0, 0.0
    for i in range(len(order) - 1, -1, -1):
        furthest = oddness[order[i]]
        held += probabilities[order[i]]
        if held >= p:  # the one that reaches p is still in
            break
    return at_least(logits, oddness, furthest - TIE)


@compiled
def softmax(logits):
    """Probabilities (V,), float64."""
    top, weights, total = peak(logits), np.empty(len(logits)), 0.0
    for c in range(len(logits)):
        weights[c] = exp(logits[c] - top)
    for c in range(len(logits)):
        total += weights[c]
    for c in range(len(logits)):
        weights[c] /= total
    return weights


@compiled
def filtered(logits, filters):
    """Scores (V,) after temperature and filters."""
    kept = logits.copy()
    if filters.temperature != 1:
        top = peak(kept)  # taken off first: a low temperature must not carry it beyond the largest float
        for c in range(len(kept)):
            kept[c] = np.float64(kept[c] - top) / filters.temperature
    if filters.top_k:
        kept = top_k(kept, filters.top_k)
    if filters.top_p < 1:
        kept = top_p(kept, filters.top_p)
    if filters.min_p > 0:
        kept = min_p(kept, filters.min_p)
    if filters.typical_p < 1:
        kept = typical_p(kept, filters.typical_p)
    return kept


@compiled
def draw(logits, uniform):
    """The id at `uniform` (0 ≤ u < 1) of the cumulative distribution; -1 when the scores are NaN."""
    if not sound(logits):
        return -1
    top = peak(logits)
    held, total, last = np.empty(len(logits)), 0.0, 0
    for c in range(len(logits)):
        share = exp(logits[c] - top)
        total += share
        held[c] = total
        last = c if share > 0 else last
    for c in range(last):
        if held[c] > uniform * total:
            return c
    return last  # u·total may round up to the total


@compiled
def likeliest(logits):
    """The id with the largest score, the first of equals; -1 when the scores are NaN."""
    if not sound(logits):
        return -1
    found = 0
    for c in range(1, len(logits)):
        found = c if logits[c] > logits[found] else found
    return found


@compiled
def chosen(scores, filters, uniform):
    """The id of the next character; -1 when the scores are NaN."""
    if filters.greedy:
        return likeliest(scores)
    return draw(filtered(scores, filters), uniform)
