"""Contexts: what counting knows beside n-grams, of words, characters some way back, places in lines, and long repeats.

keys ▸ tables ▸ left_out ▸ fit · reader
"""

from letterwise.ngrams.contexts.keys import KINDS, Alphabet, alphabet
from letterwise.ngrams.contexts.tables import ContextCounts, count_contexts

__all__ = ["KINDS", "Alphabet", "ContextCounts", "alphabet", "count_contexts"]
