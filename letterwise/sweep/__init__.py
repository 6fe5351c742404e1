"""Sweep: which settings learn a text best? Found by trying some, in one process or many."""
