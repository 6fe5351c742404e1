"""Report: what a run came to, in figures, words and a page with charts."""
