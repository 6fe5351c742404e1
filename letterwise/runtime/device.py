"""Device: which processor, and which arithmetic is native to it.

RuntimeConfig ──find_runtime──▶ Runtime(device, dtype) ──▶ training wraps its forward pass in `runtime.autocast()`
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from letterwise.config import RuntimeConfig
from letterwise.errors import UserError
from letterwise.machine import processors


@dataclass(frozen=True)
class Runtime:
    """A processor and the arithmetic chosen for training on it. Weights, validation and writing stay in float32."""

    device: torch.device
    dtype: torch.dtype
    threads: int = 0  # to begin with: training takes fewer while other programs need the processors
    processes: int = 1  # that train together, each with as many threads, or a GPU

    def autocast(self) -> AbstractContextManager:
        """A context in which matrix products run in `dtype`."""
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)

    def seed(self, number: int) -> None:
        """Set PyTorch's random numbers. Without a GPU only the processor's: asking after each kind of GPU takes 0.9 ms."""
        seeding = torch.default_generator.manual_seed if self.device.type == "cpu" else torch.manual_seed
        seeding(number)

    def __str__(self) -> str:
        where = f"{self.threads} CPU threads" if self.device.type == "cpu" else str(self.device)
        if self.device.type == "cuda":
            where = f"{self.device} ({torch.cuda.get_device_name(self.device)})"
        together = f"{self.processes} processes of " if self.processes > 1 else ""
        return f"{together}{where}, {str(self.dtype).removeprefix('torch.')}"


def find_runtime(config: RuntimeConfig) -> Runtime:
    """The device and arithmetic that the configuration asks for, `auto` meaning the best that is there.

    Raises `UserError` when the device is not there.
    """
    device, threads = find_device(config.device), config.threads or min(torch.get_num_threads(), processors())
    if config.dtype == "auto":
        return Runtime(device, torch.bfloat16 if native_bfloat16(device) else torch.float32, threads)
    return Runtime(device, getattr(torch, config.dtype), threads)


def native_bfloat16(device: torch.device) -> bool:
    """Whether the hardware multiplies bfloat16 itself. Emulation can be 30 times slower than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        has = torch.cpu.get_capabilities()
        return bool(has.get("avx512_bf16") or has.get("amx_bf16"))
    return False


def find_device(name: str) -> torch.device:
    """The device of that name, `auto` meaning the best that is there. Raises `UserError` when it is not there."""
    there = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    there += ["mps"] if torch.backends.mps.is_available() else []
    there += ["cpu"]
    name = {"auto": there[0], "cuda": "cuda:0"}.get(name, name)
    if name not in there:
        raise UserError(
            f"device {name!r} is not on this machine: it has {', '.join(there)}. Without --device the best is chosen."
        )
    return torch.device(name)
