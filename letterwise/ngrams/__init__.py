"""Counts: what counting already knows. N-gram statistics as a model of their own, and as a prior on the logits."""

from letterwise.ngrams.cross_fit import CrossFitted, cross_fit
from letterwise.ngrams.kneser_ney import ORDER, Counts, learn

__all__ = ["ORDER", "Counts", "CrossFitted", "cross_fit", "learn"]
