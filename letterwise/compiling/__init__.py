"""Compiling: Python functions become machine code (numba), are kept on disk, and calculate alike on every processor."""
