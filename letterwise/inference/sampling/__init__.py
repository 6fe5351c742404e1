"""Sampling: from logits to the next character.

filters   which characters may be drawn, and the draw: pure functions, compiled
sampler   the options, checked, and the state of one text's sampling: its random numbers and its penalties
copies    which characters would complete a run that is too long and stands in the training text
"""
