"""Rounding: weights in fewer bits, and what that costs.

weights ──rounded──▶ arrays as the page holds them ──restored──▶ weights as it computes with them, float32

float16 keeps 11 bits of each number. int8 keeps each row of a matrix as whole numbers from -127 to 127, times a scale of the
row; vectors stay as they are.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, assert_never

import numpy as np

from letterwise.checkpoint import ModelFile
from letterwise.errors import UserError, finite
from letterwise.progress import Note

Weights = Literal["float16", "float32", "int8"]
SCALES = ".scales"
LARGEST = float(np.finfo(np.float16).max)
MEASURED_CHARS = 20_000  # of the validation text, about: both models read the same ones


def rounded(weights: Mapping[str, np.ndarray], kind: Weights) -> dict[str, np.ndarray]:
    """The arrays that stand for the weights. A weight that has a number too large for its kind stays as it is."""
    found: dict[str, np.ndarray] = {}
    for name, weight in weights.items():
        match kind:
            case "float32":
                found[name] = weight
            case "float16":
                found[name] = weight.astype(np.float16) if np.abs(weight).max(initial=0) <= LARGEST else weight
            case "int8":
                found |= _steps(name, weight) if weight.ndim == 2 else {name: weight}
            case _:
                assert_never(kind)
    return found


def _steps(name: str, weight: np.ndarray) -> dict[str, np.ndarray]:
    scales = (np.abs(weight).max(1, initial=0) / 127).astype(np.float32)
    steps = np.rint(weight / np.where(scales > 0, scales, np.float32(1))[:, None])
    return {name: steps.astype(np.int8), name + SCALES: scales}


def restored(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The weights that the page computes with."""
    found = {name: array.astype(np.float32) for name, array in arrays.items() if not name.endswith(SCALES)}
    for name, array in arrays.items():
        if name.endswith(SCALES):
            found[name.removesuffix(SCALES)] *= array[:, None]
    return found


def cost_nats(file: ModelFile, arrays: Mapping[str, np.ndarray], note: Note) -> float | None:
    """How many nats per character the rounded weights lose on the model's own validation text; None where that is gone.

    Raises `Diverged` where the model answers with NaN.
    """
    from letterwise.checkpoint.text_model import text_model  # these load PyTorch
    from letterwise.checkpoint.texts import own_text
    from letterwise.evaluation.evaluate import evaluate

    try:
        ids = own_text(file, note).part("val")
    except UserError:
        return None
    if len(ids) < 2:
        return None
    every = -(-len(ids) // MEASURED_CHARS)
    before, after = (
        evaluate(text_model(each), ids, every=every).nats_per_char for each in (file, replace(file, weights=restored(arrays)))
    )
    return finite(after - before)
