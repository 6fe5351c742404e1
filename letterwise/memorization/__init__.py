"""Memorization: what a text copies from the training text. No model is needed, only the suffix array of the training text."""
