"""Plain: a model of bricks that other programs have, as they have it.

ModelFile ──require_plain──▶ itself, or a sentence that names what it has and they have not ──fitting_heads──▶ weights, shape
"""

from collections.abc import Sequence

import numpy as np

from letterwise.checkpoint.model_file import ModelFile
from letterwise.config import ModelConfig
from letterwise.errors import UserError
from letterwise.interop.architecture import nearest, obstacles
from letterwise.interop.weight_names import heads_written_out


def require_plain(config: ModelConfig, program: str, lacks: Sequence[str] = ()) -> None:
    """Raises `UserError` that names the parts of a model that a program has not; `lacks` are those that are known already."""
    if parts := list(dict.fromkeys((*obstacles(config), *lacks))):
        listed = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
        raise UserError(
            f"{program} has no model with {listed}: add --distill MINUTES for a plain model that learns what this one "
            "predicts, or take --to html or onnx, which have room for all."
        )


def fitting_heads(file: ModelFile) -> tuple[dict[str, np.ndarray], ModelConfig]:
    """The weights, and their configuration, with as many key/value heads as its architecture can have."""
    config = file.config.model
    return (file.weights, config) if nearest(config) == "llama" else heads_written_out(file.weights, config)
