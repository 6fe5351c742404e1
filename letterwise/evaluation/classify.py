"""Classify: which of several models finds a text likeliest.

    bits of a text under each model ──÷ temperature──▶ softmax ──▶ probability that each one's kind of text it is

Models are equally likely before the text is read. Characters are no independent evidence, so plain Bayes is far too sure of
itself; one temperature for all, fitted on pieces of text whose model is known, mends that (Guo et al. 2017, §4.2).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from letterwise.checkpoint.text_model import TextModel
from letterwise.evaluation.score import Scorer, score
from letterwise.units import nats

COLDEST, HOTTEST, STEPS = 1.0, 1e4, 400
PIECES = 60  # of each model's own held-out text, to fit the temperature on
SHORTEST, LONGEST = 20, 2000  # characters in one

Cost = Callable[[str], float]  # what a text costs under a model, in bits


@dataclass(frozen=True)
class Verdict:
    """A text under each of M models: what it costs in bits, and the probability that it is of this model's kind."""

    text: str
    bits: list[float]
    probabilities: list[float]

    @property
    def likeliest(self) -> int:
        """Which model finds it likeliest."""
        return int(np.argmin(self.bits))


class Classifier:
    """Several models' judgement. Without held-out text of each, the temperature is 1 and `calibrated` False."""

    def __init__(self, costs: Sequence[Cost], held_out: Sequence[str], length: int) -> None:
        """`held_out` is text of each model's kind that it did not learn from; pieces of it are about `length` characters."""
        self.costs, self.temperature = costs, 1.0
        size = min(max(length, SHORTEST), LONGEST)
        own = [pieces(text, size) for text in held_out]
        self.calibrated = all(own)
        if self.calibrated:
            bits = np.array([[cost(piece) for cost in costs] for each in own for piece in each])
            self.temperature = fitted_temperature(bits, np.repeat(np.arange(len(own)), [len(each) for each in own]))

    def judge(self, text: str) -> Verdict:
        """Which model's kind of text it is."""
        bits = np.array([cost(text) for cost in self.costs])
        return Verdict(text, bits.tolist(), probabilities(bits, self.temperature).tolist())


def pieces(text: str, length: int) -> list[str]:
    """At most 60 pieces of a text, spread evenly over it."""
    starts = range(0, len(text) - length + 1, length)
    chosen = np.linspace(0, len(starts) - 1, min(PIECES, len(starts))).astype(int).tolist()
    return [text[starts[i] : starts[i] + length] for i in chosen]


def cost(model: TextModel, text: str) -> float:
    """What a whole text costs under a model, in bits, after an imagined line break, where the vocabulary has one.

    Each character that the vocabulary lacks costs `OOV_BITS`, and the model reads on as if it were not there.
    """
    vocabulary = model.vocabulary
    before = [vocabulary.line_break] if vocabulary.line_break is not None else []
    scorer = Scorer(model, protocol="sliding", before=before)
    ids = model.encode(text, "skip" if vocabulary.kind == "byte" else "score")
    first = 0.0 if before or not (ids < len(vocabulary)).any() else math.log2(len(vocabulary))
    return first + sum(float(some.bits.sum()) for some in score(scorer, ids))


def probabilities(bits: np.ndarray, temperature: float) -> np.ndarray:
    """The probability of each of M models (..., M), from what the text costs under each, in bits (..., M)."""
    scores = -nats(1.0) * (bits - bits.min(-1, keepdims=True)) / temperature
    weights = np.exp(scores)
    return weights / weights.sum(-1, keepdims=True)


def fitted_temperature(bits: np.ndarray, right: np.ndarray) -> float:
    """The temperature at which pieces that cost `bits` (N, M) are most probably those of the models `right` (N,)."""
    candidates = np.geomspace(COLDEST, HOTTEST, STEPS)
    each = np.arange(len(right))
    return float(min(candidates, key=lambda t: -np.log(probabilities(bits, t)[each, right] + 1e-300).sum()))
