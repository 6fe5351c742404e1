"""Where it runs: device, arithmetic, threads; found once, then handed along as a value."""

from letterwise.runtime.device import Runtime, find_runtime

__all__ = ["Runtime", "find_runtime"]
