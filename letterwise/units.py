"""Units: surprise in nats, as models compute it, and in bits, as people compare it.

nats per character ──÷ ln 2──▶ bits per character
"""

import math


def bits(nats: float) -> float:
    """Nats in bits: a factor of 1/ln 2."""
    return nats / math.log(2)


def nats(bits: float) -> float:
    """Bits in nats."""
    return bits * math.log(2)
