"""Arithmetic: functions for compiled code that give the same bits on every processor.

    exp · log · tanh · normal_cdf of a float32        normalize: a vector at unit length

A compressed file can only be decompressed where the same probabilities come out again, to the last bit. Additions,
multiplications, divisions and roots are exactly rounded by every processor (IEEE 754); what differs is whether a
multiplication is fused with an addition, the order of sums, and the system's exp and log. So `exact` allows the compiler
neither of the former, sums are taken here in an order that is written down, and exp and log are made of such steps
(docs/log.md has the cost).
"""

from typing import Any

import numpy as np

from letterwise.compiling.parts import part

EPSILON = np.float32(1e-5)
LOG2_E, LN2_HIGH, LN2_LOW = np.float32(1.4426950408889634), np.float32(0.693359375), np.float32(-2.12194440e-4)
MIN_EXP, MAX_EXP = np.float32(-87.0), np.float32(88.0)  # exp of less is 0 in float32, of more infinity
SQRT_HALF, MIN_NORMAL, MAX_FLOAT = np.float32(0.70710678), np.float32(1.17549435e-38), np.float32(3.4028235e38)

EXACT: dict[str, Any] = dict(error_model="numpy")  # no check before divisions: it costs
exact = part(**EXACT)


@exact
def exp(x):
    """e^x within 2 units in the last place, in steps that a compiler can do for many numbers at once (Cephes' expf)."""
    x = min(max(x, MIN_EXP), MAX_EXP)
    n = np.floor(x * LOG2_E + np.float32(0.5))
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    power = (np.int32(n) + np.int32(127)) << np.int32(23)  # 2^n, as a float32 is written in bits
    return (p * r * r + r + np.float32(1)) * np.int32(power).view(np.float32)


@exact
def log(x):
    """ln x within 2 units in the last place, of a probability; of less than the smallest normal number, that one's (Cephes)."""
    bits = np.float32(min(max(x, MIN_NORMAL), MAX_FLOAT)).view(np.int32)
    e = np.float32((bits >> np.int32(23)) - np.int32(126))  # x = m · 2^e, m from 1/2 to 1
    m = np.int32((bits & np.int32(0x7FFFFF)) | np.int32(0x3F000000)).view(np.float32)
    below = m < SQRT_HALF
    e = e - np.float32(1) if below else e
    r = (m + m if below else m) - np.float32(1)
    p = np.float32(7.0376836292e-2)
    p = p * r - np.float32(1.1514610310e-1)
    p = p * r + np.float32(1.1676998740e-1)
    p = p * r - np.float32(1.2420140846e-1)
    p = p * r + np.float32(1.4249322787e-1)
    p = p * r - np.float32(1.6668057665e-1)
    p = p * r + np.float32(2.0000714765e-1)
    p = p * r - np.float32(2.4999993993e-1)
    p = p * r + np.float32(3.3333331174e-1)
    square = r * r
    return (r + (p * r * square + e * LN2_LOW - np.float32(0.5) * square)) + e * LN2_HIGH


@exact
def tanh(x):
    """The hyperbolic tangent, by way of `exp`."""
    return np.float32(1) - np.float32(2) / (exp(np.float32(2) * x) + np.float32(1))


@exact
def normal_cdf(x):
    """Φ(x), the share of a standard normal distribution below x, within 3e-7 (Abramowitz & Stegun 1964, 26.2.17)."""
    t = np.float32(1) / (np.float32(1) + np.float32(0.2316419) * abs(x))
    p = np.float32(1.330274429)
    p = p * t - np.float32(1.821255978)
    p = p * t + np.float32(1.781477937)
    p = p * t - np.float32(0.356563782)
    p = p * t + np.float32(0.319381530)
    tail = p * t * (np.float32(0.3989422804) * exp(np.float32(-0.5) * x * x))
    return tail if x < np.float32(0) else np.float32(1) - tail


@exact
def sum_of(x, center, squared):
    """The sum of x, or of the squares of x - center: eight sums side by side, added up at the end, and then the rest."""
    a = b = c = d = e = f = g = h = np.float32(0)
    whole = x.size // 8 * 8
    if squared:
        for i in range(0, whole, 8):
            a += (x[i] - center) * (x[i] - center)
            b += (x[i + 1] - center) * (x[i + 1] - center)
            c += (x[i + 2] - center) * (x[i + 2] - center)
            d += (x[i + 3] - center) * (x[i + 3] - center)
            e += (x[i + 4] - center) * (x[i + 4] - center)
            f += (x[i + 5] - center) * (x[i + 5] - center)
            g += (x[i + 6] - center) * (x[i + 6] - center)
            h += (x[i + 7] - center) * (x[i + 7] - center)
    else:
        for i in range(0, whole, 8):
            a += x[i]
            b += x[i + 1]
            c += x[i + 2]
            d += x[i + 3]
            e += x[i + 4]
            f += x[i + 5]
            g += x[i + 6]
            h += x[i + 7]
    total = ((a + e) + (c + g)) + ((b + f) + (d + h))
    for i in range(whole, x.size):
        total += (x[i] - center) * (x[i] - center) if squared else x[i]
    return total


@exact
def normalize(x, rms, y):
    """y = x at unit length: by deviation from the mean, or by root mean square.

    Where squares overflow, deviations are NaN and the others 0, as PyTorch has them.
    """
    size, mean = np.float32(x.size), np.float32(0)
    if not rms:
        mean = sum_of(x, mean, False) / size
    squares = sum_of(x, mean, True)
    scale = np.float32(1) / np.sqrt(squares / size + EPSILON)
    if not rms:
        scale += squares - squares  # 0, or NaN
    for i in range(x.size):
        y[i] = (x[i] - mean) * scale
