"""Classify: the right model wins, and its probability is as sure as it is right."""

import math

import numpy as np
import pytest

import letterwise
from letterwise.errors import UserError
from letterwise.evaluation.classify import Classifier, fitted_temperature, pieces, probabilities
from letterwise.evaluation.score import OOV_BITS


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list:
    """Two models of two little languages."""
    folder, draw = tmp_path_factory.mktemp("languages"), np.random.default_rng(0)
    made = []
    for name, syllables in (("ka", ["ka", "to", "mi", "ra", "no "]), ("el", ["el", "ith", "or", "an ", "wen"])):
        (folder / name).write_text("".join(draw.choice(syllables, 4000)) + "\n")
        made.append(letterwise.train(folder / name, out=folder / f"{name}-run", preset="counts"))
    return made


def test_the_right_model_wins(models: list) -> None:
    ka, el = letterwise.classify(models, ["katomira no kara", "elithor an wenor"])
    assert (ka.likeliest, el.likeliest) == (0, 1)
    assert ka.probabilities[0] > 0.95 < el.probabilities[1]
    assert sum(ka.probabilities) == pytest.approx(1)


def test_bits_are_those_of_the_text_after_a_line_break(models: list) -> None:
    (line,) = list(models[0].score("\nkato", protocol="sliding"))[1:]
    assert models[0].cost("kato") == pytest.approx(line.bits)


def test_strangers_have_a_price_and_leave_the_rest_alone(models: list) -> None:
    assert models[0].cost("kaξto") == pytest.approx(models[0].cost("kato") + OOV_BITS)
    assert models[0].cost("ξξ") == pytest.approx(2 * OOV_BITS)
    assert models[0].cost("") == 0


def test_one_model_has_no_rival(models: list) -> None:
    with pytest.raises(UserError, match="1 model has nothing to be compared with"):
        list(letterwise.classify(models[:1], ["ka"]))


def test_probabilities_are_bayes_at_temperature_one() -> None:
    assert probabilities(np.array([3.0, 5.0]), 1.0) == pytest.approx([4 / 5, 1 / 5])
    assert probabilities(np.array([1e6, 1e6 + 2e4]), 1.0) == pytest.approx([1, 0])
    assert probabilities(np.array([3.0, 5.0]), math.inf) == pytest.approx([0.5, 0.5])


def test_the_temperature_makes_probabilities_as_sure_as_they_are_right() -> None:
    """Evidence that is counted eight times over is taken for what it is."""
    draw = np.random.default_rng(0)
    right = draw.integers(0, 2, 4000)
    evidence = (np.where(right == 0, 1, -1) + draw.normal(size=4000)) * 2 / math.log(2)  # of two normals
    bits = np.stack((np.zeros(4000), 8 * evidence), -1)
    assert fitted_temperature(bits, right) == pytest.approx(8, rel=0.15)


def test_pieces_are_spread_over_the_text() -> None:
    assert pieces("abcdefgh", 3) == ["abc", "def"]
    assert pieces("ab", 3) == []
    many = pieces("x" * 10_000, 20)
    assert len(many) == 60


def test_without_text_to_fit_on_it_says_so() -> None:
    judge = Classifier([len, lambda text: 2.0 * len(text)], ["", "abc"], 5)
    assert not judge.calibrated
    assert judge.judge("ab").probabilities == pytest.approx([0.8, 0.2])
