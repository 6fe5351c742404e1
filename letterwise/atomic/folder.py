"""Folder: several files that appear together, or not at all.

files ──write beside──▶ name.tmp-RANDOM/ ──fsync each──▶ rename ──▶ name/

As with a single file (file.py), its writer holds a lock on the temporary folder while it lives, so that the next writer of
the same name knows what a killed one left.
"""

import contextlib
import os
import shutil
from collections.abc import Container, Generator
from contextlib import contextmanager
from pathlib import Path

from letterwise.atomic.file import lock, refusals, sync_directory, temporary_name, temporary_names
from letterwise.errors import UserError


@contextmanager
def replacing_folder(path: str | os.PathLike[str], *, replaceable: Container[str] | None = None) -> Generator[Path]:
    """A new folder to write to, which takes the place of `path` when the block ends well, and vanishes when it does not.

    What is at `path` already must be an empty folder, or hold only files whose names, seen from it, are `replaceable`.
    Raises `UserError` where it is not, and when the operating system refuses anything, also in the block.
    """
    said = os.fspath(path)
    with refusals(said):
        place = Path(os.path.realpath(said)) if said else Path("/")
        if place == place.parent:
            raise UserError(f"{said!r} is no folder that can be written: name a new one.")
        _check(said, place, replaceable)
        place.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(place)
        beside = temporary_name(place)
        beside.mkdir()
    try:
        with _locked(beside), refusals(said, (OSError,)):
            yield beside
            _sync(beside)
            _swap(beside, place)
            sync_directory(place.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _check(said: str, place: Path, replaceable: Container[str] | None) -> None:
    """Raises `UserError` unless nothing is lost when a new folder takes this place."""
    if not place.exists():
        return
    if not place.is_dir():
        raise UserError(f"{said!r} is a file, and a folder is to be written: name another place.")
    held = [file.relative_to(place).as_posix() for file in _files(place)]
    if held and replaceable is None:
        raise UserError(f"the folder {said!r} holds files already, like {held[0]!r}: add --overwrite, or name another one.")
    if others := [name for name in held if replaceable is not None and name not in replaceable]:
        raise UserError(f"the folder {said!r} holds {others[0]!r}, which no export wrote: name another folder.")


def _files(folder: Path) -> list[Path]:
    """All that is in a folder and is no folder itself, in order."""
    return sorted(file for file in folder.rglob("*") if file.is_symlink() or not file.is_dir())


def _swap(new: Path, place: Path) -> None:
    """Put a folder where another one may be."""
    if place.exists():
        old = temporary_name(place)
        os.replace(place, old)
        os.replace(new, place)
        shutil.rmtree(old, ignore_errors=True)
    else:
        os.replace(new, place)


def _sync(folder: Path) -> None:
    """Make all files of a folder durable."""
    for file in _files(folder):
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
    for inner in [folder, *(each for each in folder.rglob("*") if each.is_dir())]:
        sync_directory(inner)


@contextmanager
def _locked(folder: Path) -> Generator[None]:
    """While this lasts, others know that the writer of a folder lives. Windows opens no folders, and there is no lock."""
    with contextlib.ExitStack() as stack:
        if os.name == "posix":
            handle = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, handle)
            lock(handle)
        yield


def _remove_leftovers(place: Path) -> None:
    """Remove what killed processes left beside `place`: temporary folders that nobody holds a lock on."""
    for leftover in temporary_names(place):
        if os.name == "posix" and leftover.is_dir() and not leftover.is_symlink():
            handle = os.open(leftover, os.O_RDONLY)
            try:
                if lock(handle):
                    shutil.rmtree(leftover, ignore_errors=True)
            finally:
                os.close(handle)
