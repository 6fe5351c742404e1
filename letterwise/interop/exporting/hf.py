"""Hugging Face: a folder that transformers loads without custom code: `AutoModelForCausalLM`, `AutoTokenizer`, `pipeline`.

ModelFile ──architecture──▶ descriptions (JSON) ──weight_names──▶ model.safetensors ──▶ README.md
"""

from pathlib import Path
from typing import Literal, assert_never

import safetensors.numpy

from letterwise.checkpoint.model_file import ModelFile
from letterwise.errors import UserError
from letterwise.interop.architecture import Architecture, nearest
from letterwise.interop.exporting.descriptions import write_descriptions
from letterwise.interop.exporting.model_card import model_card
from letterwise.interop.exporting.plain import fitting_heads, require_plain
from letterwise.interop.weight_names import HF_GPT2, HF_LLAMA, HF_OPT, Format, to_theirs
from letterwise.progress import Note


def write(file: ModelFile, folder: Path, *, weights: Literal["float32", "float16"] = "float32", note: Note) -> None:
    """Write the folder's files. Raises `UserError` where the model is none that transformers has, or its vocabulary is odd."""
    require_plain(file.config.model, "transformers")
    if weights not in ("float32", "float16"):
        raise UserError(f"--to hf has no --weights {weights}: float32 or float16.")
    write_descriptions(file, folder, weights)
    arrays, config = fitting_heads(file)
    theirs = to_theirs(arrays, config, weight_format(nearest(config)))
    theirs = {name: array.astype(weights) for name, array in theirs.items()}
    (folder / "model.safetensors").write_bytes(safetensors.numpy.save(theirs, metadata={"format": "pt"}))
    (folder / "README.md").write_text(model_card(file, note), encoding="utf-8", errors="backslashreplace")


def weight_format(target: Architecture) -> Format:
    """How transformers spells and lays the weights of an architecture."""
    match target:
        case "gpt2":
            return HF_GPT2
        case "llama":
            return HF_LLAMA
        case "opt":
            return HF_OPT
        case _:
            assert_never(target)
