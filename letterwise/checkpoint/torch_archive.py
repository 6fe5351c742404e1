"""Torch archive: what `torch.save` wrote, read without running anything that it brings.

path ──zip: nothing unpacks to more──▶ pickle: known names only ──torch.load, weights_only, mapped──▶ containers and tensors
"""

import pickletools
import zipfile
from collections.abc import Collection, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

# How many parts a header or pickle may have: MIN_PARTS in any case, and one for every BYTES_PER_PART of the file.
MIN_PARTS, BYTES_PER_PART = 50_000, 32
# All that tensors in plain containers need. Of these, only the second is ever called.
NAMES = {"collections OrderedDict", "torch._utils _rebuild_tensor_v2"}
NAMES |= {
    f"torch {kind}Storage" for kind in ("Float", "Byte", "Char", "Bool", "Short", "Int", "Long", "Double", "BFloat16", "Half")
}
OPCODES_OF_CODE = ("STACK_GLOBAL", "INST", "OBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4")


class Refused(Exception):
    """What is wrong with a file, as the end of a sentence that begins with its name."""


def load_archive(path: Path, instead: str, records: Mapping[str, type] | None = None) -> Any:
    """The content, whose tensors stay in the mapped file.

    Raises `Refused` when it is damaged, claims more than it holds, or brings code: that message ends in what to use `instead`.
    `records` are classes for foreign ones, by `module name`: their objects' attributes are kept, and nothing is run.
    """
    import torch

    size, records = path.stat().st_size, records or {}
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries) or sum(e.file_size for e in entries) > size:
                raise Refused("is not a model file: what it holds unpacks to more than the file itself")
            pickles = [entry for entry in entries if entry.filename.endswith("data.pkl")]
            if len(pickles) != 1:
                raise Refused("is not a model file, or is damaged: it has no data.pkl")
            check_pickle(archive.read(pickles[0]), size, NAMES | records.keys(), instead)
        known: list[Any] = [(kind, name.replace(" ", ".")) for name, kind in records.items()]
        with torch.serialization.safe_globals(known) if known else nullcontext():
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)  # mapped, a tensor cannot reach outside
    except Refused:
        raise
    except Exception as error:  # whatever torch, pickle or zip object to
        raise Refused(f"is not a model file, or is damaged: {first_line(error)}") from error


def check_pickle(pickled: bytes, size: int, names: Collection[str], instead: str) -> None:
    """Raises `Refused` unless a pickle makes plain containers and tensors only, and not too many, read without running it."""
    max_parts = MIN_PARTS + size // BYTES_PER_PART
    for parts, (opcode, argument, _) in enumerate(pickletools.genops(pickled)):
        if parts > max_parts:
            raise Refused(f"is damaged: {size:,} bytes cannot hold as many parts as it names")
        if opcode.name in OPCODES_OF_CODE or (opcode.name == "GLOBAL" and argument not in names):
            name = str(argument).replace(" ", ".") if opcode.name == "GLOBAL" else opcode.name
            raise Refused(f"contains pickled code ({name[:60]!r}), which Letterwise never runs: {instead}")


def first_line(error: BaseException) -> str:
    """What an error of a library says, without a full stop."""
    return (str(error) or type(error).__name__).splitlines()[0][:200].rstrip(".")
