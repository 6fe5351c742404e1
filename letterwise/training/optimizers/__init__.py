"""Optimizers: which rule steps which weights, how fast, and by what loss beside the model's own."""
