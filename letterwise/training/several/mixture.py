"""Mixture: how much each of several models counts where their logits are added.

logits of N models (n, V) each, characters that followed (n,) ──Newton's method──▶ weights (N,), whose sum is 1

p(c) ∝ Π pᵢ(c)^wᵢ with Σ wᵢ = 1, a logarithmic opinion pool (Genest & Zidek 1986; as products of experts, Hinton 2002). Whatever
is added to all logits of a model cancels. The mean surprise is convex in the weights: its gradient is how far the mean of each
model's logits under the mixture is from what followed, its Hessian the covariance of these logits (Boyd & Vandenberghe 2004,
§9.5; the sum is kept as in §10.1.2). A larger sum would make the mixture surer than its members: what text beside that learned
asks for, and other text does not.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

NUMBERS_AT_ONCE = 2**21  # logits that are turned into float64 together
STEPS, ENOUGH = 50, 1e-12  # of Newton's method at most; nats that a step promises to gain, below which it ends
SUFFICIENT, SMALLEST = 1e-4, 2**-20  # of what a step promises it must gain; shares of it that are tried (Armijo)
DEVIATION = 0.3  # of weights from equal ones, that is taken for usual before anything is seen


class Mixture(NamedTuple):
    """Weights (N,), and the mean nats per character of their mixture, and of each model alone, on what they were fitted to."""

    weights: np.ndarray
    nats: float
    each: list[float]


class Slope(NamedTuple):
    """The mean nats of a mixture, their gradient (N,) and Hessian (N, N) in the weights."""

    nats: float
    gradient: np.ndarray
    hessian: np.ndarray


def fit_weights(logits: Sequence[np.ndarray], targets: np.ndarray, between: Callable[[], None] = lambda: None) -> Mixture:
    """The weights under which `targets` (n,) surprise least, given the `logits` (n, V) of each model; the same each time.

    Their sum is 1. Few characters say little of weights: these are held near equal ones, as if they had been drawn around them.
    No model alone is better on these characters than what is found. `between` is called now and then, and may raise to give up.
    """
    size, precision = len(logits), 1 / (DEVIATION**2 * len(targets))
    ways = np.vstack((-np.ones(size - 1), np.eye(size - 1)))  # in which weights may change, so that their sum does not

    def objective(weights: np.ndarray) -> Slope:
        """What is minimized: the mean nats, and what the weights' distance from equal ones adds."""
        at, away = slope(logits, targets, weights, between), weights - 1 / size
        hessian = at.hessian + precision * np.eye(size)
        return Slope(at.nats + precision * float(away @ away) / 2, at.gradient + precision * away, hessian)

    alone = [slope(logits, targets, weights, between).nats for weights in np.eye(size)]
    weights = np.full(size, 1 / size)
    now = objective(weights)
    for _ in range(STEPS):
        step, share = -ways @ np.linalg.solve(ways.T @ now.hessian @ ways, ways.T @ now.gradient), 1.0
        promised = -float(now.gradient @ step)
        while promised > ENOUGH and share > SMALLEST:
            there = objective(weights + share * step)
            if there.nats <= now.nats - SUFFICIENT * share * promised:
                break
            share /= 2
        else:
            break
        weights, now = weights + share * step, there
    nats = slope(logits, targets, weights, between).nats
    if (best := min(alone)) < nats:
        weights, nats = np.eye(size)[alone.index(best)], best
    return Mixture(weights, nats, alone)


def slope(
    logits: Sequence[np.ndarray], targets: np.ndarray, weights: np.ndarray, between: Callable[[], None] = lambda: None
) -> Slope:
    """The mean nats of the mixture of these weights (N,) and how they change with them, in float64."""
    nats, gradient, hessian = 0.0, np.zeros(len(weights)), np.zeros((len(weights),) * 2)
    for some, following in together(logits, targets):
        between()
        mixed = np.einsum("n,ntv->tv", weights, some)
        mixed -= mixed.max(-1, keepdims=True)
        probs = np.exp(mixed)
        total = probs.sum(-1, keepdims=True)
        probs /= total
        place = np.arange(len(following))
        nats += float((np.log(total[:, 0]) - mixed[place, following]).sum())
        means = np.einsum("tv,ntv->tn", probs, some)
        gradient += (means - some[:, place, following].T).sum(0)
        weighted = (some * probs).reshape(len(weights), -1)
        hessian += weighted @ some.reshape(len(weights), -1).T - means.T @ means
    return Slope(nats / len(targets), gradient / len(targets), hessian / len(targets))


def together(logits: Sequence[np.ndarray], targets: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Some characters at a time: logits (N, t, V) in float64, each character's less their mean, and targets (t,)."""
    rows = max(1, NUMBERS_AT_ONCE // (len(logits) * logits[0].shape[1]))
    for start in range(0, len(targets), rows):
        some = np.stack([each[start : start + rows] for each in logits]).astype(np.float64)
        some -= some.mean(-1, keepdims=True)  # it cancels, and large ones would cost digits
        yield some, targets[start : start + rows]
