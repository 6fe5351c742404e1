"""Memorization: how much of a text is copied. Needs no model."""
