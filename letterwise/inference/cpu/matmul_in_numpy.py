"""Matmul in NumPy: what Python runs while matmul.py is being compiled. The same sums in the same order: the same bits.

    sums ◀── fma(numbers of the matrix, numbers of x, sums) ──pairwise──▶ y

The processor multiplies and adds in one rounding. In float64 a product of two float32 is exact, and the sum is rounded to 53
bits: to go on to 24 bits from there is to round twice, which differs where the 53 bits stand halfway between two float32. There
what was lost in the first rounding decides (Boldo and Melquiond 2008: round to odd).
"""

import numpy as np

LANES, OUTPUTS, ACCUMULATORS = 16, 8, 8  # as in simd.py and matmul.py
BELOW, HALFWAY = np.int64(2**29 - 1), np.int64(2**28)  # the bits of a float64 below those of a float32
SMALLEST = np.float64(2.0**-126).view(np.uint64) - np.uint64(1)  # smaller float32 have fewer bits


def matmul(matrix, x, count, y, thread):
    """`matmul.matmul`, by the only thread."""
    steps = x.shape[1] // LANES
    tiles = matrix.reshape(-1, steps, OUTPUTS, LANES).astype(np.float64)
    inputs = x[:count].reshape(count, 1, steps, 1, LANES).astype(np.float64)
    sums = np.zeros((count, len(tiles), OUTPUTS, LANES))
    for k in range(steps):
        sums = fma(tiles[:, k], inputs[:, :, k], sums)
    outputs = len(tiles) * OUTPUTS
    y[:count, :outputs] = pairwise(sums).reshape(count, outputs)


def dot_keys(keys, q, seen, y):
    """`matmul.dot_keys`."""
    tiles, whole = -(-seen // OUTPUTS), -(-q.size // LANES) * LANES
    inputs = np.zeros((1, whole), np.float32)
    inputs[0, : q.size] = q
    matmul(keys[: tiles * OUTPUTS * whole], inputs, 1, y.reshape(1, -1), None)


def weighted_sum(values, weights, seen, y):
    """`matmul.weighted_sum`."""
    steps = -(-seen // ACCUMULATORS)
    strips = values[: y.size * (-(-weights.size // LANES) * LANES)].reshape(y.size // LANES, -1, LANES)[
        :, : steps * ACCUMULATORS
    ]
    vectors = strips.reshape(len(strips), steps, ACCUMULATORS, LANES).astype(np.float64)
    each = weights[: steps * ACCUMULATORS].reshape(steps, ACCUMULATORS, 1).astype(np.float64)
    sums = np.zeros((len(strips), ACCUMULATORS, LANES))
    for t in range(steps):
        sums = fma(vectors[:, t], each[t], sums)
    sums = sums.astype(np.float32)
    while sums.shape[1] > 1:
        sums = sums[:, ::2] + sums[:, 1::2]
    y[:] = sums.reshape(-1)


def fma(a, b, c):
    """a · b + c, rounded once to float32. All are float32 numbers, held in float64."""
    product = a * b
    total = product + c
    bits = total.view(np.int64)
    halfway = (bits & BELOW) == HALFWAY
    short = ((bits & np.int64(2**63 - 1)) - 1).view(np.uint64) < SMALLEST  # and not zero
    if (halfway | short).any():
        other = total - product
        lost = (product - (total - other)) + (c - other)
        even = np.isfinite(lost) & (lost != 0) & (bits & 1 == 0)
        bits += np.where(even, np.where((lost > 0) == (total > 0), 1, -1), 0)
    return total.astype(np.float32).astype(np.float64)


def pairwise(sums):
    """The sum of 16 numbers each, float32: neighbours first."""
    sums = sums.astype(np.float32)
    while sums.shape[-1] > 1:
        sums = sums[..., ::2] + sums[..., 1::2]
    return sums[..., 0]
