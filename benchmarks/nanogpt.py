"""nanoGPT, run from a checkout that the caller names: its own train.py and its own model, unchanged, in a copy."""

import importlib.util
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

CPU_RECIPE = [  # its readme's recipe for a computer without a GPU
    "--device=cpu", "--compile=False", "--eval_iters=20", "--log_interval=100", "--block_size=64", "--batch_size=12",
    "--n_layer=4", "--n_head=4", "--n_embd=128", "--max_iters=2000", "--lr_decay_iters=2000", "--dropout=0.0",
]  # fmt: skip


def model_module(checkout: Path) -> ModuleType:
    """Its model.py."""
    spec = importlib.util.spec_from_file_location("nanogpt_model", checkout / "model.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def prepared(checkout: Path, text: Path, workplace: Path) -> Path:
    """A copy of the checkout with `text` prepared as its character-level data set."""
    copy = workplace / "nanogpt"
    shutil.copytree(checkout, copy, ignore=shutil.ignore_patterns(".git", "assets"))
    shutil.copy(text, copy / "data/shakespeare_char/input.txt")
    subprocess.run([sys.executable, "data/shakespeare_char/prepare.py"], cwd=copy, check=True, capture_output=True)
    return copy


def train(copy: Path) -> tuple[float, float]:
    """Its CPU recipe as one process: seconds from process start to end, and the last validation loss it printed (nats)."""
    began = time.perf_counter()
    told = subprocess.run(
        [sys.executable, "train.py", "config/train_shakespeare_char.py", *CPU_RECIPE], cwd=copy, capture_output=True, text=True
    )
    if told.returncode:
        raise RuntimeError(told.stderr)
    return time.perf_counter() - began, float(re.findall(r"val loss (\d+\.\d+)", told.stdout)[-1])
