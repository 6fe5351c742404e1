"""Schedule: the learning rate as a share of its peak, as pure functions.

    step, share of the run that is done (0 … 1) ──▶ factor (0 … 1)

The share may count steps or seconds: the budget decides which (training/budget.py).
"""

import math
from collections.abc import Callable


def cosine(done: float, floor: float) -> float:
    """Half a wave from 1 down to `floor` (Loshchilov & Hutter 2017, one cycle)."""
    return floor + (1 - floor) * (1 + math.cos(math.pi * done)) / 2


def linear(done: float, floor: float) -> float:
    """A straight line from 1 down to `floor`."""
    return 1 + (floor - 1) * done


def trapezoid(done: float, floor: float, cooldown: float = 0.4) -> float:
    """Flat at 1, then a straight line down to `floor` over the last `cooldown` of the run (Hägele et al. 2024)."""
    return 1.0 if done <= 1 - cooldown else linear((done - 1 + cooldown) / cooldown, floor)


def constant(done: float, floor: float) -> float:
    """1, always."""
    return 1.0


SHAPES: dict[str, Callable[[float, float], float]] = {
    "cosine": cosine,
    "linear": linear,
    "trapezoid": trapezoid,
    "constant": constant,
}


def learning_rate_factor(name: str, step: int, done: float, *, warmup_iters: int, floor: float) -> float:
    """A straight climb over the first `warmup_iters` steps (never zero), then the named shape."""
    if step < warmup_iters:
        return (step + 1) / (warmup_iters + 1)
    return SHAPES[name](min(max(done, 0.0), 1.0), floor)
