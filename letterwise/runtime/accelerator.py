"""Accelerator: is there a GPU? Answered without PyTorch wherever that is certain.

"auto" | "cuda:1" | … ──device_name──▶ "cpu" | "cuda:0" | "mps"        PyTorch is loaded only if a GPU is named or may be there
"""

import sys
from pathlib import Path

# Files of the drivers: NVIDIA's, on its boards, and under WSL; and AMD's, which PyTorch calls "cuda" too.
DRIVERS = ("/dev/nvidiactl", "/proc/driver/nvidia", "/dev/nvmap", "/dev/nvhost-ctrl", "/dev/dxg", "/dev/kfd")


def device_name(device: str) -> str:
    """The name of a device, "auto" meaning the best that is there. Raises `UserError` when it is not there."""
    if device == "cpu" or (device == "auto" and not accelerator_possible()):
        return "cpu"
    from letterwise.runtime.device import find_device

    return str(find_device(device))


def accelerator_possible() -> bool:
    """False only where PyTorch would find none: on Linux, with no GPU's driver."""
    return sys.platform != "linux" or any(Path(name).exists() for name in DRIVERS)
