"""N-grams: counts of a text, as a model of its own, and as a prior on the logits."""

from letterwise.ngrams.adapt import adapt
from letterwise.ngrams.kneser_ney import ORDER, Counts, count_ngrams

__all__ = ["ORDER", "Counts", "adapt", "count_ngrams"]
