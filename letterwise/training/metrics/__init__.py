"""Metrics: what is written down of a run as it learns."""
