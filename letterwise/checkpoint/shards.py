"""Shards: the arrays of a training state in several files, each with the parts that one of several processes has.

shares ──save_shares──▶ shards-1a2b3c4d/*.safetensors, named by state.safetensors ──Shards──▶ whole arrays, one by one

PyTorch's distributed checkpoint writes them (distributed/sharded.py). Reading takes neither PyTorch nor as many processes, and
runs no code that they bring.
"""

import hashlib
import json
import math
import os
import re
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from letterwise.checkpoint.container import DTYPES, Damaged, read_header
from letterwise.errors import UserError

PLACES = "DCP_SHARDING_INFO"  # in the metadata of a file: where its parts begin in the whole arrays
FOLDER = "shards-"
NAME = re.compile(FOLDER + r"[0-9a-f]{8}/[\w-]+\.safetensors")


class Part(NamedTuple):
    """A part of an array: `shape` at `offsets` of the whole, `start` bytes after the begin of a file."""

    path: Path
    start: int
    dtype: str
    shape: tuple[int, ...]
    offsets: tuple[int, ...]

    def read(self) -> np.ndarray:
        """Its numbers."""
        count = math.prod(self.shape)
        return np.fromfile(self.path, self.dtype, count, offset=self.start).reshape(self.shape)

    def rows(self, first: int, end: int) -> "Part":
        """Those of its rows that are from the `first` to before the `end` of the whole; none, perhaps."""
        size, at = math.prod(self.shape[1:]) * np.dtype(self.dtype).itemsize, self.offsets[0]
        first, end = (min(max(row - at, 0), self.shape[0]) for row in (first, end))
        shape, offsets = (max(0, end - first), *self.shape[1:]), (at + first, *self.offsets[1:])
        return self._replace(start=self.start + first * size, shape=shape, offsets=offsets)


class Shards(Mapping[str, np.ndarray]):
    """Whole arrays by name, each put together when it is asked for."""

    def __init__(self, parts: dict[str, list[Part]]) -> None:
        self.parts = parts

    def __getitem__(self, name: str) -> np.ndarray:
        parts = self.parts[name]
        whole = np.empty(whole_shape(parts), parts[0].dtype)
        for part in parts:
            whole[tuple(slice(at, at + n) for at, n in zip(part.offsets, part.shape, strict=True))] = part.read()
        return whole

    def rows(self, name: str, rows: slice) -> np.ndarray:
        """Some rows of an array, of which alone they are read."""
        parts = self.parts[name]
        shape = whole_shape(parts)
        first, end, _ = rows.indices(shape[0])
        found = np.empty((end - first, *shape[1:]), parts[0].dtype)
        for part in (part.rows(first, end) for part in parts):
            places = zip((part.offsets[0] - first, *part.offsets[1:]), part.shape, strict=True)
            if part.shape[0]:
                found[tuple(slice(at, at + n) for at, n in places)] = part.read()
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)

    def under(self, prefix: str) -> "Shards":
        """Those whose names begin so, without that beginning."""
        return Shards({name.removeprefix(prefix): parts for name, parts in self.parts.items() if name.startswith(prefix)})


def whole_shape(parts: list[Part]) -> tuple[int, ...]:
    """The shape of the array that parts are of."""
    ends = [[at + n for at, n in zip(part.offsets, part.shape, strict=True)] for part in parts]
    return tuple(max(end) for end in zip(*ends, strict=True))


def shape_of(arrays: Mapping[str, np.ndarray], name: str) -> tuple[int, ...]:
    """An array's shape, for which it is not read."""
    return whole_shape(arrays.parts[name]) if isinstance(arrays, Shards) else arrays[name].shape


def rows_of(arrays: Mapping[str, np.ndarray], name: str, rows: slice) -> np.ndarray:
    """Some rows of an array, or all of it: `slice(None)`."""
    if rows == slice(None):
        return arrays[name]
    return arrays.rows(name, rows) if isinstance(arrays, Shards) else arrays[name][rows]


def new_folder(home: Path) -> Path:
    """A folder that is not there yet, for the shards of one state of the run in `home`."""
    return home / f"{FOLDER}{uuid.uuid4().hex[:8]}"


def digests(folder: Path, files: Iterable[Path]) -> dict[str, str]:
    """Name, with the folder's, and sha256 of each file."""
    found = {}
    for path in files:
        with path.open("rb") as file:
            found[f"{folder.name}/{path.name}"] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def open_shards(home: Path, named: Mapping[str, str]) -> Shards:
    """The arrays in the files that a state in `home` names. Raises `Damaged` where a file's digest is not the one named."""
    parts: dict[str, list[Part]] = {}
    for name, digest in sorted(named.items()):
        path = home / name
        if not NAME.fullmatch(name):
            raise Damaged(f"it names {name[:60]!r}")
        try:
            if digests(path.parent, [path])[name] != digest:
                raise Damaged(f"{str(path)!r} is not what was once written there")
            for array, part in _parts(path):
                parts.setdefault(array, []).append(part)
        except OSError as error:
            raise Damaged(f"{str(path)!r} cannot be read: {error.strerror}") from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise Damaged(f"{str(path)!r} does not say where its parts belong") from error
    for array, some in parts.items():
        kinds = {(part.dtype, len(part.shape)) for part in some}
        if len(kinds) > 1 or math.prod(whole_shape(some)) != sum(math.prod(part.shape) for part in some):
            raise Damaged(f"parts of {array[:60]!r} are missing, or do not fit together")
    return Shards(parts)


def _parts(path: Path) -> Iterator[tuple[str, Part]]:
    """The parts of tensors that a process wrote, by name. Raises `ValueError` for what is not all there."""
    places, named = read_header(path, PLACES)
    with path.open("rb") as file:
        begin = 8 + int.from_bytes(file.read(8), "little")
    for name, about in named.items():
        offsets, shape = tuple(places[name]["saved_offsets"]), tuple(about["shape"])
        first, last = about["data_offsets"]
        dtype = np.dtype(DTYPES[about["dtype"]])
        numbers = (first, last, *offsets, *shape)
        if any(type(number) is not int or number < 0 for number in numbers) or len(offsets) != len(shape):
            raise ValueError(f"{name[:40]!r} lies nowhere")
        if last - first != math.prod(shape) * dtype.itemsize or begin + last > os.path.getsize(path):
            raise ValueError(f"{name[:40]!r} is not all there")
        yield name, Part(path, begin + first, dtype.str, shape, offsets)


def remove_unnamed(home: Path, states: Iterable[Path]) -> None:
    """Remove the shards that none of the states in `home` names: they are of earlier ones, or were never all written."""
    folders = [path for path in home.glob(f"{FOLDER}*") if path.is_dir()]
    if not folders:
        return
    named: set[str] = set()
    for state in states:
        if state.exists():
            try:
                header = read_header(state)[0]
                named |= {name.split("/")[0] for name in header.get("shards", {})}
            except (UserError, AttributeError, json.JSONDecodeError):
                return  # it is damaged: nobody knows what it named
    for folder in folders:
        if folder.name not in named:
            shutil.rmtree(folder, ignore_errors=True)
