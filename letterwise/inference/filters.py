"""Filters: which characters may be drawn, and the draw. Pure functions from logits to logits, compiled by numba.

    logits (V,) ──÷ temperature──▶ top-k ▶ top-p ▶ min-p ▶ typical-p ──draw──▶ id

A filter removes a character by setting its score to -∞. Ties at a border are kept, so no order among equals is invented.
Draws invert the cumulative distribution in float64, one uniform number each.
"""

import math
from typing import NamedTuple

import numpy as np

from letterwise.jit import njit

TIE = 1e-9  # nats: surprises that differ by less are equal

FLOOR = np.float32(-1e30)  # logits are no lower, so that -inf means one thing: it may not be written

compiled = njit()


class Filters(NamedTuple):
    """What is done to scores before a character is drawn: see `sampling.Sampler`."""

    temperature: float
    top_k: int
    top_p: float
    min_p: float
    typical_p: float
    greedy: bool


@compiled
def sound(logits):
    """Is there a distribution: no NaN, none at +∞, and not all at -∞?"""
    peak = -np.inf
    for c in range(len(logits)):
        if np.isnan(logits[c]):
            return False
        peak = max(peak, logits[c])
    return np.isfinite(peak)


@compiled
def biased(logits, bias, scores):
    """Into `scores` (V,): logits, none below `FLOOR`, and `bias` (V,), which is -∞ where nothing may be written.

    All NaN when the logits are no distribution. So a character that may be written is always above one that may not.
    """
    diverged = not sound(logits)
    for c in range(len(logits)):
        scores[c] = np.nan if diverged else max(logits[c], FLOOR) + bias[c]


@compiled
def only(logits, kept):
    """`logits` (V,) where `kept` (V,), and -∞ elsewhere."""
    passed = logits.copy()
    for c in range(len(logits)):
        if not kept[c]:
            passed[c] = -np.inf
    return passed


@compiled
def top_k(logits, k):
    """Keep the k likeliest (Fan et al. 2018)."""
    if k >= len(logits):
        return logits.copy()
    return only(logits, logits >= np.partition(logits, len(logits) - k)[len(logits) - k])


@compiled
def top_p(logits, p):
    """Keep the likeliest until they hold a probability of p together: the nucleus (Holtzman et al. 2020, section 3.1)."""
    probabilities = softmax(logits)
    ordered = np.sort(probabilities)
    held, least = 0.0, ordered[-1]
    for i in range(len(ordered) - 1, -1, -1):
        if held >= p:  # the one that crosses p is still in
            break
        least = ordered[i]
        held += least
    return only(logits, probabilities >= least)


@compiled
def min_p(logits, p):
    """Keep those at least p times as likely as the likeliest (Nguyen et al. 2024)."""
    least = logits[:1].copy()
    least[0] = logits.max() + math.log(p)  # rounded as scores are, so that ties at the border are kept
    return only(logits, logits >= least[0])


@compiled
def typical_p(logits, p):
    """Keep those whose surprise is nearest to the one expected, until they hold p together (Meister et al. 2023)."""
    probabilities = softmax(logits)
    surprise, expected = np.zeros(len(logits)), 0.0
    for c in range(len(logits)):
        if probabilities[c] > 0:
            surprise[c] = -math.log(probabilities[c])
            expected += probabilities[c] * surprise[c]
    oddness = np.abs(surprise - expected)
    for c in range(len(logits)):
        if probabilities[c] == 0:
            oddness[c] = np.inf
    held, furthest = 0.0, 0.0
    for c in np.argsort(oddness):
        furthest = oddness[c]
        held += probabilities[c]
        if held >= p:  # the one that reaches p is still in
            break
    return only(logits, oddness <= furthest + TIE)


@compiled
def softmax(logits):
    """Probabilities (V,), float64."""
    peak, weights = logits.max(), np.empty(len(logits))
    for c in range(len(logits)):
        weights[c] = math.exp(float(logits[c] - peak))
    return weights / weights.sum()


@compiled
def filtered(logits, filters):
    """Scores (V,) after temperature and filters."""
    kept = logits.copy()
    if filters.temperature != 1:
        peak = kept.max()  # taken off first: a low temperature must not carry it beyond the largest float
        for c in range(len(kept)):
            kept[c] = (kept[c] - peak) / filters.temperature
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
    peak = logits.max()
    held, total, last = np.empty(len(logits)), 0.0, 0
    for c in range(len(logits)):
        share = math.exp(float(logits[c] - peak))
        total += share
        held[c] = total
        last = c if share > 0 else last
    for c in range(last):
        if held[c] > uniform * total:
            return c
    return last  # u·total may round up to the total


@compiled
def chosen(scores, filters, uniform):
    """The id of the next character; -1 when the scores are NaN."""
    if filters.greedy:
        return int(scores.argmax()) if sound(scores) else -1
    return draw(filtered(scores, filters), uniform)
