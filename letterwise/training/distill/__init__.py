"""Distill: a model that learns what another one predicts (Hinton et al. 2015)."""
