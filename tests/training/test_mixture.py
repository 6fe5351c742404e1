"""Mixture: known weights are found again; no model alone is better; models that are alike do no harm."""

import itertools

import numpy as np
import pytest

from letterwise.training.several import mixture
from letterwise.training.several.mixture import fit_weights, slope


def made(chars: int, models: int, size: int, seed: int = 0) -> list[np.ndarray]:
    """Logits (n, V) of several models, in float32."""
    draw = np.random.default_rng(seed)
    common = draw.normal(size=(chars, size))
    return [(common + draw.normal(size=(chars, size))).astype(np.float32) for _ in range(models)]


def drawn(logits: list[np.ndarray], weights: list[float], seed: int = 1) -> np.ndarray:
    """A character (n,) for each place, from the mixture."""
    mixed = sum(weight * each.astype(np.float64) for weight, each in zip(weights, logits, strict=True))
    noise = np.random.default_rng(seed).gumbel(size=logits[0].shape)
    return np.argmax(mixed + noise, -1)


def plain_nats(logits: list[np.ndarray], targets: np.ndarray, weights: np.ndarray) -> float:
    """The mean surprise, a character after another."""
    nats = []
    for t, target in enumerate(targets):
        scores = sum(float(w) * each[t].astype(np.float64) for w, each in zip(weights, logits, strict=True))
        nats.append(np.log(np.exp(scores).sum()) - scores[target])
    return float(np.mean(nats))


@pytest.mark.parametrize("weights", [[0.8, 0.2], [0.6, -0.1, 0.5], [0.2, 0.2, 0.2, 0.4], [1.0]])
def test_known_weights_are_found_again(weights: list[float]) -> None:
    logits = made(40_000, len(weights), 5)
    found = fit_weights(logits, drawn(logits, weights))
    assert found.weights == pytest.approx(weights, abs=0.03)  # four standard errors or so
    assert found.nats <= min(found.each)


def test_the_gradient_and_the_hessian_are_those_of_the_mean_surprise() -> None:
    logits, weights = made(60, 3, 4), np.array([0.5, -0.2, 0.9])
    targets = drawn(logits, [1.0, 0.0, 0.0])
    at = slope(logits, targets, weights)
    assert at.nats == pytest.approx(plain_nats(logits, targets, weights), abs=1e-12)
    step = 1e-4
    for i, j in itertools.product(range(3), repeat=2):
        ahead, behind = weights.copy(), weights.copy()
        ahead[i] += step
        behind[i] -= step
        rise = plain_nats(logits, targets, ahead) - plain_nats(logits, targets, behind)
        assert at.gradient[i] == pytest.approx(rise / 2 / step, abs=1e-7)
        bend = slope(logits, targets, ahead).gradient[j] - slope(logits, targets, behind).gradient[j]
        assert at.hessian[i, j] == pytest.approx(bend / 2 / step, abs=1e-6)


def test_nothing_near_is_better_and_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = made(300, 3, 6)
    targets = drawn(logits, [0.4, 0.4, 0.4])  # surer than any weights may be
    found = fit_weights(logits, targets)

    def total(weights: np.ndarray) -> float:
        """Nats of all, and the logarithm of how likely such weights are beforehand."""
        return 300 * plain_nats(logits, targets, weights) + float(np.square((weights - 1 / 3) / mixture.DEVIATION).sum()) / 2

    assert found.weights.sum() == pytest.approx(1)
    for change in itertools.permutations((-0.01, 0.0, 0.01)):  # the sum stays
        assert total(found.weights + change) >= total(found.weights) - 1e-9
    monkeypatch.setattr(mixture, "NUMBERS_AT_ONCE", 7 * 3 * 6)
    again = fit_weights(logits, targets)
    assert again.weights == pytest.approx(found.weights, abs=1e-9)


def test_no_model_alone_is_better_whatever_they_are() -> None:
    """Also on few characters, of models far too sure, and of one that is always wrong."""
    for seed in range(20):
        logits = [20 * each for each in made(12, 3, 4, seed)]
        logits[1] *= 5
        targets = np.random.default_rng(seed).integers(4, size=12)
        found = fit_weights(logits, targets)
        assert np.isfinite(found.weights).all()
        assert found.nats <= min(found.each) + 1e-12


def test_models_that_are_alike_share_one_weight() -> None:
    (one, other) = made(40_000, 2, 5)
    targets = drawn([one, other], [0.6, 0.4])
    two = fit_weights([one, other], targets)
    three = fit_weights([one, one + 3, other], targets)  # what is added to all logits of a model cancels
    assert three.weights[0] == pytest.approx(three.weights[1], abs=1e-5)
    assert [three.weights[:2].sum(), three.weights[2]] == pytest.approx(two.weights.tolist(), abs=1e-3)
    assert three.nats == pytest.approx(two.nats, abs=1e-6)


def test_few_characters_say_little() -> None:
    """A model that knows next to nothing would get a huge weight, by chance."""
    good, poor = made(50, 2, 5)
    targets = drawn([good, poor], [1.0, 0.0])
    found = fit_weights([good, poor / 1000], targets)
    assert np.abs(found.weights - 0.5).max() < 1


def test_it_can_be_given_up() -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_weights(made(10, 2, 3), np.zeros(10, int), stop)
