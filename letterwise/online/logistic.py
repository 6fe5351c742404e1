"""Logistic: probabilities and their logits, the same bits on every processor.

    p ──stretch──▶ ln p/(1-p), within ±12        x ──squash──▶ 1/(1 + e^-x)        hashed: two numbers as one

Exponential and logarithm are made of additions, multiplications and divisions in float64, in an order that is written down, as
compiling/arithmetic.py has them in float32: an archive does not depend on the system's library.
"""

import numpy as np

from letterwise.compiling.arithmetic import EXACT
from letterwise.compiling.entry import entry
from letterwise.compiling.parts import part

DEEPEST = 12.0  # logits are kept within ±this
NEVER = 1e-6  # probabilities are kept so far from 0 and 1
LN2, LOG2_E, SQRT_HALF = 0.6931471805599453, 1.4426950408889634, 0.7071067811865476


@part(**EXACT)
def exp(x):
    """e^x for x within ±700: 2^n times a power series of the rest, which is within ±0.35."""
    n = np.floor(x * LOG2_E + 0.5)
    r = x - n * LN2
    series = 1.0
    for k in range(11, 0, -1):
        series = 1.0 + series * r / k
    return series * np.int64((np.int64(n) + 1023) << 52).view(np.float64)


@part(**EXACT)
def log(x):
    """ln x of a positive, normal number: ln m = 2 artanh((m-1)/(m+1)), m within a factor √2 of 1, and the exponent's share."""
    bits = np.float64(x).view(np.int64)
    e = (bits >> 52) - 1022
    m = np.int64((bits & 0xFFFFFFFFFFFFF) | 0x3FE0000000000000).view(np.float64)
    if m < SQRT_HALF:
        m = m + m
        e -= 1
    s = (m - 1.0) / (m + 1.0)
    square, series = s * s, 0.0
    for k in range(17, 0, -2):
        series = series * square + 1.0 / k
    return 2.0 * s * series + e * LN2


@part(**EXACT)
def stretch(p):
    """The logit of a probability, within ±DEEPEST."""
    return min(max(log(p / (1.0 - p)), -DEEPEST), DEEPEST)


@part(**EXACT)
def squash(x):
    """The probability of a logit."""
    return 1.0 / (1.0 + exp(-min(max(x, -DEEPEST), DEEPEST)))


@part()
def hashed(a, b):
    """A hash of two numbers, uint64."""
    x = (a + np.uint64(0x9E3779B97F4A7C15)) * np.uint64(0xBF58476D1CE4E5B9) ^ (b + np.uint64(1)) * np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(29)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    return x ^ (x >> np.uint64(32))


@entry(waits=True, **EXACT)
def softmax(logits, probabilities):
    """`probabilities` (V,) float64 of `logits` (V,), summed in the order of the characters."""
    highest, total = logits[0], 0.0
    for c in range(len(logits)):
        highest = max(highest, logits[c])
    for c in range(len(logits)):
        probabilities[c] = exp(max(np.float64(logits[c]) - np.float64(highest), -700.0))
        total += probabilities[c]
    for c in range(len(logits)):
        probabilities[c] /= total
