"""Record: one JSON line per figure, with all that is needed to believe it."""

import argparse
import json
import platform
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import torch

from letterwise.compiling import entry

entry.MEANWHILE = False  # speeds are those of compiled code

ROOT = Path(__file__).parent.parent


def flags(about: str) -> argparse.ArgumentParser:
    """The flags that all benchmarks share."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--nanogpt", type=Path, help="a checkout of nanoGPT, to run beside")
    parser.add_argument("--text", type=Path, help="text file to train on (default: the embedded python-docs)")
    parser.add_argument("--rounds", type=int, default=3, help="how often the contenders take turns")
    parser.add_argument("--append", type=Path, help="also append the lines to this file")
    return parser


def record(append: Path | None, **figures: Any) -> None:
    """Print (and keep) a line of figures with commit, hardware and versions."""
    line = json.dumps({**figures, "commit": commit(), "hardware": hardware(), "versions": versions()})
    print(line, flush=True)
    if append:
        with append.open("a") as file:
            file.write(line + "\n")


def commit() -> str:
    """The commit of this tree, with a + when files were changed since."""
    told = subprocess.run(["git", "describe", "--always", "--dirty=+"], cwd=ROOT, capture_output=True, text=True)
    return told.stdout.strip() or "unknown"


def hardware() -> str:
    """GPU, processor and threads."""
    gpu = f"{torch.cuda.get_device_name()}; " if torch.cuda.is_available() else ""
    has = torch.cpu.get_capabilities()
    best = next((name for name in ("avx512_bf16", "avx512_f", "avx2") if has.get(name)), "")
    return f"{gpu}{has.get('cpu_name') or platform.processor() or platform.machine()} {best}, {torch.get_num_threads()} threads"


def versions() -> dict[str, str]:
    """What ran."""
    return {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__}
