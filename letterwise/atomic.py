"""Atomic files: what reaches the disk is all of it or none of it.

bytes ──write beside──▶ name.tmp-PID ──flush, fsync──▶ rename ──▶ name ──fsync──▶ directory
"""

import contextlib
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from letterwise.errors import UserError


@contextmanager
def replacing(path: str | Path) -> Generator[BinaryIO]:
    """Open a file to write that takes the place of `path` when the block ends well, and vanishes when it does not.

    Raises `UserError` when the operating system refuses (no such directory, no permission, disk full).
    """
    path = Path(path)
    beside = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
        sync_directory(path.parent)
    except OSError as error:
        raise UserError(f"cannot write {str(path)!r}: {error.strerror or error}. Choose another place.") from error
    finally:
        with contextlib.suppress(OSError):  # where nothing could be written, there is nothing to remove
            beside.unlink()


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all."""
    with replacing(path) as file:
        file.write(content)


def sync_directory(directory: Path) -> None:
    """Make a rename inside `directory` durable. A system that cannot open directories (Windows) needs no such step."""
    if os.name != "posix":
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
