"""Distributed: many processes that train one model. The model, and what it learns from, know nothing of it."""
