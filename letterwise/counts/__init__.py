"""Counts: what counting already knows. N-gram statistics as a model of their own, and as a prior on the logits."""

from letterwise.counts.crossfit import CrossFitted, cross_fit
from letterwise.counts.kneser_ney import ORDER, Counts, learn
from letterwise.counts.reader import Reader

__all__ = ["ORDER", "Counts", "CrossFitted", "Reader", "cross_fit", "learn"]
