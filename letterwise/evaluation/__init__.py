"""Evaluation: how good is a model, and what does it make of a text? In bits per character."""

from letterwise.evaluation.baseline import frequency_bits
from letterwise.evaluation.evaluate import Score, evaluate
from letterwise.evaluation.passes import PROTOCOLS

__all__ = ["PROTOCOLS", "Score", "evaluate", "frequency_bits"]
