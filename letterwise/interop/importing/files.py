"""Files: what other programs wrote, read so that it can do no harm.

path ──regular──▶ read_json · safe_tensors (.safetensors) · archive (.pt, .bin) ──▶ Tensors: float32 by name
"""

import hashlib
import json
import os
import stat
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from letterwise.checkpoint.container import ARCHIVE, copied
from letterwise.checkpoint.torch_archive import Refused, first_line, load_archive
from letterwise.errors import UserError, sentence

MAX_DESCRIPTION = 2**26  # bytes of a JSON file or a pickle: the largest tokenizers have 2**25
SAVE_AGAIN = "save its weights alone, with `torch.save(model.state_dict(), …)`"


class Tensors(Mapping[str, np.ndarray]):
    """Weights by their names there, as float32 arrays made when they are asked for. `used` are the names of those."""

    def __init__(self, tensors: Mapping[str, Any]) -> None:
        self.tensors, self.used = dict(tensors), set[str]()

    def __getitem__(self, name: str) -> np.ndarray:
        tensor = self.tensors[name]
        self.used.add(name)
        if type(tensor) is not Tensor or not tensor.is_floating_point():
            raise Refused(f"has no plain numbers in {name[:60]!r}: a quantized model cannot be imported")
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise Refused(f"is damaged: {name[:60]!r} has more numbers than the file holds")
        return tensor.detach().float().numpy()

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a weight. Raises `Refused` where there is none of that name."""
        tensor = self.tensors.get(name)
        if type(tensor) is not Tensor:
            raise Refused(f"has no weight {name!r}")
        return tuple(tensor.shape)

    def renamed(self, names: Mapping[str, str]) -> "Tensors":
        """The same with other names for some."""
        return Tensors({names.get(name, name): tensor for name, tensor in self.tensors.items()})


def regular(path: Path) -> Path:
    """The path, if it is a file's that can be read twice. Raises `UserError` otherwise."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UserError(f"cannot read {str(path)!r}: {sentence(why)}") from error
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
        raise UserError(f"{str(path)!r} is {kind}, not a file: name a file.")
    return path


@contextmanager
def about(path: Path) -> Generator[None]:
    """What is wrong with a file becomes a sentence that begins with its name."""
    try:
        yield
    except Refused as refused:
        raise UserError(f"{str(path)!r} {sentence(refused)}") from refused
    except OSError as error:
        raise UserError(f"cannot read {str(path)!r}: {sentence(error.strerror or error)}") from error


def read_description(path: Path) -> bytes:
    """A small file. Raises `UserError` when it cannot be read, `Refused` when it is too large to be one."""
    with regular(path).open("rb") as file:
        content = file.read(MAX_DESCRIPTION + 1)
    if len(content) > MAX_DESCRIPTION:
        raise Refused(f"is larger than {MAX_DESCRIPTION // 2**20} MiB: it describes no model")
    return content


def read_json(path: Path) -> dict[str, Any]:
    """A file that holds one JSON object. Raises `UserError` otherwise."""
    with about(path):
        try:
            found = json.loads(read_description(path))
        except (ValueError, RecursionError) as error:
            raise Refused(f"is not JSON: {first_line(error)}") from error
        if not isinstance(found, dict):
            raise Refused("is not a JSON object")
    return found


@contextmanager
def archive(path: Path, records: Mapping[str, type] | None = None) -> Generator[Any]:
    """What `torch.save` wrote; `records` as for `load_archive`. Raises `UserError` or `Refused` for what it is not."""
    with regular(path).open("rb") as file:
        start = file.read(len(ARCHIVE))
        if start != ARCHIVE:
            old = "PyTorch before 1.6 wrote it, or it is damaged: load it there, and save it again"
            raise Refused(f"is no file that `torch.save` writes today: {old}" if start else "is empty")
        with copied(file, start) as copy:
            yield load_archive(copy, SAVE_AGAIN, records)


def safe_tensors(path: Path) -> Tensors:
    """The weights in a .safetensors file. Raises `Refused` when it is damaged."""
    try:
        return Tensors(safetensors.torch.load(regular(path).read_bytes()))
    except (safetensors.SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise Refused(f"is damaged, or no .safetensors: {first_line(error)}") from error


def digest(paths: list[Path]) -> str:
    """sha256 of a file, or of the digests of several, in hexadecimal."""
    digests = list[str]()
    for path in paths:
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def total_size(paths: list[Path]) -> int:
    """Bytes of all files."""
    return sum(os.stat(path).st_size for path in paths)


def is_tensor(value: Any) -> bool:
    """Is it a plain tensor?"""
    return type(value) is torch.Tensor
