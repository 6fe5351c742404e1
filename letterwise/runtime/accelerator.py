"""Accelerator: is a GPU there to be asked for? Said without PyTorch wherever that is certain.

"auto" | "cuda:1" | … ──device_name──▶ "cpu" | "cuda:0" | "mps"        PyTorch is loaded only if a GPU is named or may be there
"""

import sys
from pathlib import Path

# What a driver leaves: NVIDIA's, on its boards, and under WSL; and AMD's, which PyTorch calls "cuda" too.
DRIVERS = ("/dev/nvidiactl", "/proc/driver/nvidia", "/dev/nvmap", "/dev/nvhost-ctrl", "/dev/dxg", "/dev/kfd")


def device_name(asked: str) -> str:
    """The device that `asked` names, "auto" meaning the best that is there. Raises `UserError` when it is not there."""
    if asked == "cpu" or (asked == "auto" and not accelerator_possible()):
        return "cpu"
    from letterwise.runtime.device import find_device

    return str(find_device(asked))


def accelerator_possible() -> bool:
    """False only where PyTorch would find none: on Linux, with no GPU's driver."""
    return sys.platform != "linux" or any(Path(name).exists() for name in DRIVERS)
