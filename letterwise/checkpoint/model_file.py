"""Model file: one self-contained file that speaks.

    weights + counts + configuration + vocabulary + data record + history ──▶ model.safetensors | model.pth ──▶ the same, back

It is data: loading it runs no code. docs/formats.md describes both forms on one page. Saving the same model twice under
one name gives the same bytes.
"""

import io
import json
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from letterwise.atomic import write_bytes
from letterwise.config import Config, config_from_json
from letterwise.counts import Counts
from letterwise.counts.storage import from_arrays, to_arrays
from letterwise.data.vocabulary import Vocabulary
from letterwise.errors import UserError
from letterwise.model import Transformer, build

FORMAT, VERSION = "letterwise-model", 2  # 2: counts
KEY = "letterwise"  # one metadata key: safetensors writes several in random order
COUNTS = "counts."  # names of the tensors that hold counts begin so
EXTENSIONS = (".safetensors", ".pth")


@dataclass(frozen=True)
class ModelFile:
    """Everything a model file holds.

    `data` records the text it learned: fingerprint, sources, bounds, baselines. `history` has a row per validation. `counts`
    is there when the model learned beside them (`counts_order`).
    """

    config: Config
    vocabulary: Vocabulary
    weights: dict[str, Tensor]
    data: dict[str, Any]
    history: list[dict[str, Any]]
    counts: Counts | None = None

    def header(self) -> dict[str, Any]:
        """All but weights and counts, in plain containers."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "config": self.config.to_json(),
            "vocabulary": self.vocabulary.to_json(),
            "data": self.data,
            "history": self.history,
        }


def check_extension(path: str | Path) -> Path:
    """The path, if its extension names a form that can be written. Raises `UserError` otherwise."""
    path = Path(path)
    if path.suffix not in EXTENSIONS:
        raise UserError(f"--model_path {str(path)!r} must end in {' or '.join(EXTENSIONS)}.")
    return path


def weights_of(model: Transformer) -> dict[str, Tensor]:
    """The trained numbers of `model` by name, each once (a tied head is the embedding), copied to the CPU."""
    tied = {"head.weight"} if model.config.tied else set()
    return {name: w.detach().cpu().clone().contiguous() for name, w in model.state_dict().items() if name not in tied}


def save_model(path: str | Path, file: ModelFile) -> None:
    """Write `file`, whole or not at all, in the form that the extension names."""
    path = check_extension(path)
    counts = {COUNTS + name: torch.from_numpy(array) for name, array in to_arrays(file.counts).items()} if file.counts else {}
    tensors = {**file.weights, **counts}
    if path.suffix == ".safetensors":
        header = json.dumps(file.header(), ensure_ascii=True)
        write_bytes(path, safetensors.torch.save(tensors, metadata={KEY: header}))
    else:
        content = io.BytesIO()  # torch writes a file's own name into it; a nameless one makes the bytes repeatable
        torch.save({KEY: file.header(), "weights": tensors}, content)
        write_bytes(path, content.getvalue())


def load_model(path: str | Path) -> ModelFile:
    """Read a model file of either form.

    Raises `UserError` when it is missing, is no model, is damaged, is from a newer format, or carries code.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"there is no model file {str(path)!r}: train one with `letterwise train --model_path {path}`.")
    if path.is_dir():
        raise UserError(
            f"{str(path)!r} is a folder, not a model file: name the file inside it, like {path / 'model.safetensors'}."
        )
    try:
        header, tensors = _read_pth(path) if zipfile.is_zipfile(path) else _read_safetensors(path)
    except OSError as error:
        raise UserError(f"cannot read the model file {str(path)!r}: {error.strerror or error}.") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise UserError(f"{str(path)!r} is not a Letterwise model: `letterwise train` writes one.")
    if not isinstance(header.get("version"), int) or header["version"] > VERSION:
        raise UserError(
            f"{str(path)!r} has model format {header.get('version')}, newer than format {VERSION} that this Letterwise reads: "
            "upgrade Letterwise."
        )
    try:
        if header["version"] == 1:
            header["config"]["model"]["counts_order"] = 0
        config = config_from_json(header["config"])
        vocabulary = Vocabulary.from_json(header["vocabulary"])
        weights = {name: tensor for name, tensor in tensors.items() if not name.startswith(COUNTS)}
        arrays = {name.removeprefix(COUNTS): _array(tensor) for name, tensor in tensors.items() if name.startswith(COUNTS)}
        counts = from_arrays(arrays, len(vocabulary)) if config.model.counts_order else None
        if counts and counts.order != config.model.counts_order:
            raise UserError(f"counts are of order {counts.order}, not counts_order={config.model.counts_order}")
        file = ModelFile(config, vocabulary, weights, dict(header["data"]), list(header["history"]), counts)
        _check_weights(file)
    except (KeyError, TypeError, ValueError, AttributeError, UserError) as error:
        raise UserError(f"the model file {str(path)!r} is damaged: {error}. Restore it from a copy, or train again.") from error
    return file


def restore(file: ModelFile, device: torch.device | str = "cpu") -> Transformer:
    """The transformer that `file` holds, ready to predict."""
    model = build(file.config.model, len(file.vocabulary), device)
    load_weights(model, file.weights)
    return model.eval()


def load_weights(model: Transformer, weights: dict[str, Tensor]) -> None:
    """The inverse of `weights_of`, in place."""
    tied = {"head.weight": weights["tokens.weight"]} if model.config.tied else {}
    model.load_state_dict({**weights, **tied})


def _read_safetensors(path: Path) -> tuple[Any, dict[str, Tensor]]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get(KEY, "null"))
            return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (safetensors.SafetensorError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{str(path)!r} is not a model file, or is damaged: {error}.") from error


def _read_pth(path: Path) -> tuple[Any, dict[str, Tensor]]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{str(path)!r} contains pickled code, which Letterwise never runs: "
            "use a model file that Letterwise wrote, best a .safetensors."
        ) from error
    except (RuntimeError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{str(path)!r} is not a model file, or is damaged: {str(error).splitlines()[0]}.") from error
    if not isinstance(content, dict) or not isinstance(content.get("weights"), dict):
        return None, {}
    return content.get(KEY), content["weights"]


def _array(tensor: Any) -> np.ndarray:
    if not isinstance(tensor, Tensor):
        raise UserError("counts are not made of numbers")
    return tensor.numpy()


def _check_weights(file: ModelFile) -> None:
    """Names, shapes and kinds against the configuration, and every number finite."""
    with torch.device("meta"):
        expected = weights_shapes(Transformer(file.config.model, len(file.vocabulary)))
    if missing := expected.keys() ^ file.weights.keys():
        raise UserError(f"weights {sorted(missing)[:3]} are missing or unexpected")
    for name, weight in file.weights.items():
        if not isinstance(weight, Tensor) or tuple(weight.shape) != expected[name]:
            raise UserError(f"weight {name!r} has shape {tuple(getattr(weight, 'shape', ()))}, not {expected[name]}")
        if weight.dtype != torch.float32 or not weight.isfinite().all():
            raise UserError(f"weight {name!r} is not made of finite float32 numbers")


def weights_shapes(model: Transformer) -> dict[str, tuple[int, ...]]:
    """Name and shape of what `weights_of` gives."""
    return {name: tuple(w.shape) for name, w in model.state_dict().items() if not (model.config.tied and name == "head.weight")}
