"""Loading: what a run learns from, step by step, ready before it is needed."""
