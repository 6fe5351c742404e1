"""Atomic files: what reaches the disk is all of it or none of it.

bytes ──write beside──▶ name.tmp-PID ──flush, fsync──▶ rename ──▶ name ──fsync──▶ directory

A process that is killed leaves what it had before, or what it meant to write, and at most a name.tmp-PID.
"""

import contextlib
import glob
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from letterwise.errors import UserError


@contextmanager
def replacing(path: str | Path, *, previous: Path | None = None) -> Generator[BinaryIO]:
    """Open a file to write that takes the place of `path` when the block ends well, and vanishes when it does not.

    What was at `path` is kept at `previous`, if that is given.

    Raises `UserError` when the operating system refuses (no such directory, no permission, disk full).
    """
    path = Path(path)
    beside = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.unlink(missing_ok=True)  # of a killed process that had this number
        with beside.open("xb") as file:  # a new file, never through a link that someone laid here
            yield file
            file.flush()
            os.fsync(file.fileno())
        if previous and path.exists():
            os.replace(path, previous)
        os.replace(beside, path)
        sync_directory(path.parent)
    except OSError as error:
        raise UserError(
            f"cannot write {str(path)!r}: {error.strerror or error}. Make room there, or choose another place."
        ) from error
    finally:
        with contextlib.suppress(OSError):  # where nothing could be written, there is nothing to remove
            beside.unlink()


def write_bytes(path: str | Path, content: bytes, *, previous: Path | None = None) -> None:
    """Write `content` to `path`, whole or not at all; what was there is kept at `previous`, if that is given."""
    with replacing(path, previous=previous) as file:
        file.write(content)


def remove_leftovers(path: Path) -> None:
    """Remove what killed processes left beside `path`. Only for whoever alone may write it."""
    for leftover in path.parent.glob(f"{glob.escape(path.name)}.tmp-*"):
        with contextlib.suppress(OSError):
            leftover.unlink()


def sync_directory(directory: Path) -> None:
    """Make a rename inside `directory` durable. A system that cannot open directories (Windows) needs no such step."""
    if os.name != "posix":
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
