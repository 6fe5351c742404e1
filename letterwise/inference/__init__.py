"""Inference: what comes next? Predictor answers, sampling chooses, stream turns the choices into text."""
