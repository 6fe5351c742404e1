"""Benchmarks: a claim of speed or quality links to a line that one of these printed.

    python -m benchmarks.decode [--nanogpt CHECKOUT] ──▶ JSON lines: figures, commit, hardware, versions, seed

Figures are ratios between contenders that took turns in one run: machines are noisy, and differ.
"""
