"""Comparison: finished runs, side by side. Nothing here needs PyTorch."""
