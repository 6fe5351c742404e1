"""Evaluation: how good is a model, and what does each character of a text cost? In bits per character."""

from letterwise.evaluation.baseline import baseline_bits, frequency_bits
from letterwise.evaluation.evaluate import Score, evaluate
from letterwise.evaluation.passes import PROTOCOLS

__all__ = ["PROTOCOLS", "Score", "baseline_bits", "evaluate", "frequency_bits"]
