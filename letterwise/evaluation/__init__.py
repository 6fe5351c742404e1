"""Evaluation: how good is it? In nats and bits per character, on text it has not learned from."""

from letterwise.evaluation.baseline import frequency_bits
from letterwise.evaluation.evaluate import PROTOCOLS, Score, evaluate

__all__ = ["PROTOCOLS", "Score", "evaluate", "frequency_bits"]
