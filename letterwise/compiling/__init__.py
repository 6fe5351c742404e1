"""Compiling: Python functions become machine code (numba), are kept on disk, and give the same bits on every processor."""
