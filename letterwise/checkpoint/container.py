"""Container: arrays by name, one header and a checksum, in a file that is data and nothing else.

    header, arrays ──pack──▶ bytes of a .safetensors or a .pth ──unpack──▶ header, arrays      or one sentence

What is read may be damaged, or made to do harm. So what a file claims is compared with its own size before
anything is built from it: reading takes no more memory than about twice the file, and runs nothing that the file brings.
Only a .pth needs PyTorch, which is loaded when one is read or written.
"""

import hashlib
import io
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import safetensors.numpy

from letterwise.checkpoint.torch_archive import BYTES_PER_PART, MIN_PARTS, Refused, first_line, load_archive
from letterwise.errors import UserError, sentence

KEY = "letterwise"  # one metadata key: safetensors writes several in random order
WEIGHTS = "weights"  # beside it, in a .pth, the tensors
CHECKSUM = "checksum"
ARCHIVE = b"PK\x03\x04"  # a .pth begins so
EXTENSIONS = (".safetensors", ".pth")
# How many tensors a file may name: MIN_… in any case, and one for every BYTES_PER_… of the file.
MIN_TENSORS, BYTES_PER_TENSOR = 2_000, 1_024
MAX_HEADER = 100_000_000  # bytes: more, the safetensors library does not read
ALIGNED = 64  # bytes: a line of the processor's cache
# The dtypes that both forms and NumPy know, as safetensors spells them.
DTYPES = {
    "BOOL": "?",
    "U8": "u1",
    "I8": "i1",
    "I16": "<i2",
    "I32": "<i4",
    "I64": "<i8",
    "F16": "<f2",
    "F32": "<f4",
    "F64": "<f8",
}
BEGINNING = 16  # bytes that show the form
NEITHER = "is not a model file, or is damaged: it is neither .safetensors nor .pth, or not all there"
COPIES = 2  # of all weights, that are made when a .safetensors is put together
STRING = re.compile(r'"(?:[^"\\]|\\.)*"')  # in JSON
OURS = "use a model file that Letterwise wrote, best a .safetensors"


def pack(header: dict[str, Any], arrays: dict[str, np.ndarray], form: str) -> bytes:
    """The file's content, in the form that an extension names. The same header and arrays give the same bytes."""
    text = json.dumps({**header, CHECKSUM: checksum(header, arrays)}, ensure_ascii=True)  # ASCII survives every reader
    if form == ".safetensors":
        size = sum(array.nbytes for array in arrays.values())
        np.empty(COPIES * size, np.uint8)  # MemoryError here, where the library's Rust would panic
        return safetensors.numpy.save(arrays, metadata={KEY: text})
    import torch

    content = io.BytesIO()  # torch writes a file's own name into it; a nameless one makes the bytes repeatable
    torch.save({KEY: text, WEIGHTS: {name: torch.from_numpy(array) for name, array in arrays.items()}}, content)
    return content.getvalue()


def unpack(path: Path, newest: int | None = None) -> tuple[Any, dict[str, np.ndarray]]:
    """Header (None where there is none) and arrays of a file of either form, distinguished by content.

    The arrays are in memory: what becomes of the file then does not matter. A header without a checksum is given as it is:
    files from before there were any have none. Of a version above `newest` no checksum is known, and none is checked: the
    caller says that it is newer, not that it is damaged. Raises `UserError` when the file cannot be read, is neither form,
    claims more than it holds, brings code, or has another checksum than it says.
    """
    try:
        with path.open("rb") as file:
            start = file.read(BEGINNING)
            regular, is_archive = stat.S_ISREG(os.fstat(file.fileno()).st_mode), start.startswith(ARCHIVE)
            if not regular and not is_archive and start[8:10] != b'{"':  # a device can be endless
                raise Refused(NEITHER)
            if regular and not is_archive:
                header, arrays = _read_safetensors(path)
            else:
                with copied(file, start) as copy:
                    header, arrays = _read_pth(copy) if is_archive else _read_safetensors(copy)
    except OSError as error:
        raise UserError(f"cannot read {str(path)!r}: {error.strerror or error}.") from error
    except Refused as refused:
        raise Damaged(f"{str(path)!r} {sentence(refused)}") from refused
    has_checksum = isinstance(header, dict) and CHECKSUM in header and not _is_newer(header.get("version"), newest)
    if has_checksum and header[CHECKSUM] != checksum(header, arrays):
        raise Damaged(f"{str(path)!r} is damaged: its content is not what its checksum says. Restore it from a copy.")
    return header, arrays


def read_header(path: Path, key: str = KEY) -> tuple[Any, dict[str, Any]]:
    """Header of a .safetensors file, and what it says of its arrays, by name: of a large file the beginning.

    The header is what its metadata has under `key`. The arrays are not read, so that no checksum is compared. Raises
    `UserError` where there is no such file, or a damaged one.
    """
    try:
        with path.open("rb") as file:
            named, header = _safetensors_header(file, os.fstat(file.fileno()).st_size, key)
    except OSError as error:
        raise UserError(f"cannot read {str(path)!r}: {error.strerror or error}.") from error
    except Refused as refused:
        raise Damaged(f"{str(path)!r} {sentence(refused)}") from refused
    return header, named


@contextmanager
def copied(file: IO[bytes], start: bytes) -> Generator[Path]:
    """A copy of a file whose `start` was read. A pipe brings it once, and a .pth is mapped into memory to be read.

    Where somebody else cuts short what is mapped, the system ends this process without a word. Nobody else has the copy.
    """
    with ExitStack() as stack:
        try:
            kept = stack.enter_context(tempfile.NamedTemporaryFile())
            kept.write(start)
            shutil.copyfileobj(file, kept)
            kept.flush()
        except OSError as error:
            raise UserError(
                f"{str(file.name)!r} is copied to a temporary folder while it is read, which fails ({error.strerror}): "
                "make room there, or set TMPDIR to another folder."
            ) from error
        yield Path(kept.name)


def _is_newer(version: Any, newest: int | None) -> bool:
    return newest is not None and type(version) is int and version > newest


def checksum(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> str:
    """sha256 of header (but for the checksum itself) and arrays, in either form. Dtypes are spelled as PyTorch does."""
    digest = hashlib.sha256(json.dumps({**header, CHECKSUM: ""}, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"\n{name} torch.{array.dtype} {array.shape}\n".encode("utf-8", "surrogatepass"))
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


class Damaged(UserError):
    """What is in the file is not what was once written there, or never was such a file."""


def _read_safetensors(path: Path) -> tuple[Any, dict[str, np.ndarray]]:
    """By NumPy alone: the library would map the file into memory, as `copied` tells."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        named, header = _safetensors_header(file, size)
        content = _aligned(size - file.tell())
        if file.readinto(content.data) != len(content) or file.read(1):
            raise Refused("changed while it was read: wait until it is written")
    try:
        arrays = {name: _array(content, name, **place) for name, place in named.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Refused(f"is not a model file, or is damaged: {first_line(error)}") from error
    return header, arrays


def _safetensors_header(file: IO[bytes], size: int, key: str = KEY) -> tuple[dict[str, Any], Any]:
    """Where the arrays of a file of `size` bytes lie, by name, and its header. The file then stands at their begin."""
    length = int.from_bytes(file.read(8), "little")
    if not 0 < length <= min(size - 8, MAX_HEADER):
        raise Refused(NEITHER)
    header_json = file.read(length)
    if header_json.count(b'"data_offsets"') > MIN_TENSORS + size // BYTES_PER_TENSOR:
        raise Refused(f"is damaged: {size:,} bytes cannot hold as many tensors as it names")
    try:
        named = parsed(header_json.decode(), size)
        header = parsed(named.pop("__metadata__", {}).get(key, "null"))
        ends = [0, *sorted(place["data_offsets"][1] for place in named.values())]
        if ends[:-1] != sorted(place["data_offsets"][0] for place in named.values()) or ends[-1] != size - file.tell():
            raise ValueError("its tensors leave gaps, or overlap")
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise Refused(f"is not a model file, or is damaged: {first_line(error)}") from error
    return named, header


def _aligned(size: int) -> np.ndarray:
    """`size` bytes of memory that begin at a multiple of 64: arrays of any dtype can lie in it."""
    memory = np.empty(size + ALIGNED, np.uint8)
    start = -memory.ctypes.data % ALIGNED
    return memory[start : start + size]


def _array(content: np.ndarray, name: str, dtype: str, shape: list[int], data_offsets: list[int]) -> np.ndarray:
    """The part of `content` (bytes) that a safetensors header names."""
    if dtype not in DTYPES:
        raise Refused(f"is damaged: {name[:40]!r} has dtype {str(dtype)[:40]}")
    first, last = data_offsets
    if any(type(number) is not int or number < 0 for number in (first, last, *shape)):
        raise ValueError(f"{name[:40]!r} lies nowhere")
    return np.require(content[first:last].view(DTYPES[dtype]).reshape(shape), requirements="A")


def _read_pth(path: Path) -> tuple[Any, dict[str, np.ndarray]]:
    """Header and arrays of a `.pth` file; no header where it is not ours. Raises `Refused` where it is damaged."""
    import torch

    size, content = path.stat().st_size, load_archive(path, OURS)
    if not isinstance(content, dict) or not isinstance(content.get(WEIGHTS), dict):
        return None, {}
    header, arrays = content.get(KEY), {}
    for name, tensor in content[WEIGHTS].items():
        if not isinstance(name, str) or type(tensor) is not torch.Tensor or not tensor.is_contiguous():
            raise Refused(f"is damaged: {str(name)[:40]!r} is not a tensor")
        if tensor.dtype == torch.bfloat16:
            raise Refused(f"is damaged: {name[:40]!r} has dtype bfloat16")
        arrays[name] = tensor.detach().numpy().copy()  # out of the mapped file
    return (parsed(header) if isinstance(header, str) else _plain_header(header, size)), arrays


def _plain_header(header: Any, size: int) -> Any:
    """A header from before format 3, in containers. Raises `Refused` when its parts, shared ones each time, are too many."""
    left, max_parts = [header], MIN_PARTS + size // BYTES_PER_PART
    for seen in range(max_parts + 1):
        if not left:
            return {name: value for name, value in header.items() if name != CHECKSUM} if isinstance(header, dict) else None
        node = left.pop()
        left += [*node, *node.values()] if isinstance(node, dict) else node if isinstance(node, list | tuple) else []
        if seen + len(left) > max_parts or not isinstance(node, dict | list | tuple | str | int | float | None):
            break
    raise Refused("is damaged: its header has too many parts, or parts that are not plain containers")


def parsed(text: str, size: int = 0) -> Any:
    """JSON as plain containers. Raises `Refused` on what is none, or would unfold to far more than its length, or `size`."""
    outside = STRING.sub("", text)
    if sum(map(outside.count, ",[{")) > MIN_PARTS + max(size, len(text)) // BYTES_PER_PART:
        raise Refused(f"is damaged: a header of {len(text):,} characters cannot hold as many parts")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused(f"is damaged: its header is not JSON: {first_line(error)}") from error
