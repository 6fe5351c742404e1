"""Report: what a run has reached, in figures, words and a page with curves."""
