"""Guest: a library call leaves the process as it found it: threads, random numbers, signals, warnings, folder, environment."""

import importlib
import logging
import os
import signal
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_run import FLAGS

import letterwise
from letterwise.errors import UserError
from letterwise.progress import Progress
from letterwise.training.interruption import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def process_state() -> dict[str, Any]:
    """What belongs to all of the process. (Not Python's own random numbers: beartype, which checks shapes here, draws them.)"""
    return {
        "threads": torch.get_num_threads(),
        "torch's random numbers": torch.get_rng_state().tolist(),
        "numpy's random numbers": str(np.random.get_state()),
        "signals": [signal.getsignal(number) for number in SIGNALS],
        "warnings": list(warnings.filters),
        "numpy's errors": np.geterr(),
        "folder": os.getcwd(),
        "environment": dict(os.environ),
        "logging": (logging.getLogger().level, list(logging.getLogger().handlers)),
        "default dtype": torch.get_default_dtype(),
        "gradients": torch.is_grad_enabled(),
    }


@pytest.fixture
def own_settings(tiny: Any) -> Iterator[None]:
    """A program that has decided all this for itself, otherwise than Letterwise would.

    `tiny` is trained before, so that everything is imported; PyTorch's compiler, too, which PyTorch imports when it likes: it
    sets a variable, and its sympy adds to the filters of warnings.
    """
    importlib.import_module("torch._dynamo")
    threads, handlers = torch.get_num_threads(), {number: signal.getsignal(number) for number in SIGNALS}
    torch.set_num_threads(threads + 2)
    torch.manual_seed(77)
    np.random.seed(77)
    for number in SIGNALS:
        signal.signal(number, lambda *arguments: None)
    yield
    torch.set_num_threads(threads)
    for number, handler in handlers.items():
        signal.signal(number, handler)


class Stopper(Progress):
    """Sends a signal in the middle of the run."""

    def step(self, step: int, *figures: float) -> None:
        os.kill(os.getpid(), signal.SIGINT)


def train(text_file: Path, tmp_path: Path, **options: Any) -> None:
    flags = {**FLAGS, "max_iters": 12, "eval_interval": 6, "threads": 1, "dropout": 0.1, "progress": False}
    letterwise.train(text_file, out=tmp_path / "o", **{**flags, **options})


@pytest.mark.usefixtures("own_settings")
def test_training_leaves_no_trace(text_file: Path, tmp_path: Path) -> None:
    before = process_state()
    train(text_file, tmp_path)
    assert process_state() == before


@pytest.mark.usefixtures("own_settings")
def test_training_that_fails_or_is_stopped_leaves_no_trace(text_file: Path, tmp_path: Path) -> None:
    before = process_state()
    with pytest.raises(UserError, match="counts_order"):
        train(text_file, tmp_path, counts_order=5000)
    assert process_state() == before
    with pytest.raises(Interrupted):
        train(text_file, tmp_path, progress=Stopper())
    assert process_state() == before


def exported(tiny: Any, to: Any) -> None:
    """The model for another program, in a folder that goes at once."""
    with tempfile.TemporaryDirectory() as folder:
        tiny.export(to, f"{folder}/{to}")


CALLS: dict[str, Callable[[Any], object]] = {
    "generate": lambda tiny: tiny.generate("The cat", num_tokens=20),
    "samples": lambda tiny: tiny.samples("The cat", num_tokens=20, num_samples=3, regex="[a-z ]*[.]").texts(),
    "evaluate": lambda tiny: tiny.evaluate(),
    "evaluate online": lambda tiny: tiny.evaluate(protocol="online"),
    "score": lambda tiny: list(tiny.score("The cat sat.")),
    "novelty": lambda tiny: tiny.novelty("The cat sat on the mat."),
    "compress": lambda tiny: tiny.decompress(tiny.compress(b"The cat sat on the mat.")),
    "export": lambda tiny: exported(tiny, "html"),
    "export that traces": lambda tiny: exported(tiny, "onnx"),
    "compress online": lambda tiny: tiny.decompress(tiny.compress(b"The cat sat.", online=True)),
}


@pytest.mark.usefixtures("own_settings")
@pytest.mark.parametrize("name", CALLS)
def test_a_model_leaves_no_trace(tiny: Any, name: str) -> None:
    before = process_state()
    CALLS[name](tiny)
    assert process_state() == before
