"""Evaluation: how good is a model, and what does each character of a text cost? In bits per character."""
