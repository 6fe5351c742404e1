"""File: written whole, or not at all.

bytes ──write beside──▶ name.tmp-RANDOM ──flush, fsync──▶ rename ──▶ name ──fsync──▶ directory

A process that is killed leaves what it had before, or what it meant to write, and at most a name.tmp-RANDOM. Its writer holds
a lock on that file while it lives, so that the next writer of the same name knows what to remove. A link is followed, and its
target replaced; a device, a pipe or stdout is written to, since nothing can take its place.
"""

import contextlib
import glob
import os
import secrets
import stat
import zlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from letterwise.errors import UserError, sentence

try:
    import fcntl
except ImportError:  # Windows: what is left there by a killed process stays
    fcntl = None

STREAMS = ("/dev/", "/proc/")  # /dev/stdout is the open file itself, and not whatever bears its name
STDOUT = "-"
LONGEST_NAME = 255  # bytes, in nearly every file system
RANDOM_BYTES = 8  # of a temporary file's name


@contextmanager
def replacing(path: str | os.PathLike[str], *, previous: Path | None = None) -> Generator[BinaryIO]:
    """Open a file to write that takes the place of `path` when the block ends well, and vanishes when it does not.

    It has the mode of what was at `path`, which is kept at `previous`, if that is given. Errors of the block are its own.
    `-` is stdout, which is written to as it is.

    Raises `UserError` when the operating system refuses (no such directory, no permission, disk full).
    """
    said = os.fspath(path)
    with refusals(said):
        direct, place = _destination(said)
    if direct:
        with _closing(said, lambda: open(1, "wb", closefd=False) if said == STDOUT else open(said, "wb")) as file:
            yield file
            with refusals(said):
                file.flush()
        return
    with refusals(said):
        place.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(place)
    beside = None
    try:
        with _closing(said, lambda: _own(place)) as file:
            beside = Path(file.name)
            yield file
            with refusals(said):
                _like(file.fileno(), place)
                file.flush()
                os.fsync(file.fileno())
                if not fcntl:
                    file.close()  # Windows renames no open file
                if previous and place.exists():
                    os.replace(place, previous)
                os.replace(beside, place)  # while the lock is held
        with refusals(said):
            sync_directory(place.parent)
    finally:
        if beside:
            with contextlib.suppress(OSError):  # where nothing could be written, there is nothing to remove
                beside.unlink()


def write_bytes(path: str | os.PathLike[str], content: bytes, *, previous: Path | None = None) -> None:
    """Write `content` to `path`, whole or not at all; what was there is kept at `previous`, if that is given."""
    with replacing(path, previous=previous) as file:
        file.write(content)


@contextmanager
def refusals(path: str, kinds: tuple[type[Exception], ...] = (OSError, ValueError)) -> Generator[None]:
    """Turns what the operating system refuses while `path` is written into a `UserError`."""
    try:
        yield
    except kinds as error:  # ValueError: a name that is none, like one with a NUL in it
        why = error.strerror if isinstance(error, OSError) else None
        raise UserError(f"cannot write {path!r}: {sentence(why or error)} Make room there, or choose another place.") from error


def _destination(said: str) -> tuple[bool, Path]:
    """Is it written to as it is? Else the regular file, there or not, that is to be replaced, links followed."""
    if not said:
        raise UserError("the output file's name is empty: name a file.")
    if said == STDOUT:
        return True, Path(said)
    try:
        mode = os.stat(said).st_mode
    except FileNotFoundError:
        mode = None
    if (mode is not None and stat.S_ISDIR(mode)) or os.path.basename(said) in ("", ".", ".."):
        raise UserError(f"cannot write {said!r}: it is a folder. Name a file in it.")
    direct = mode is not None and (not stat.S_ISREG(mode) or os.path.abspath(said).startswith(STREAMS))
    return direct, Path(os.path.realpath(said))


class _Written:
    """A file whose writing, and nothing else, fails as `refusals` says."""

    def __init__(self, file: BinaryIO, path: str) -> None:
        self._file, self._path = file, path

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, content: Any) -> int:
        """As the file does."""
        with refusals(self._path):
            return self._file.write(content)


@contextmanager
def _closing(said: str, opened: Callable[[], BinaryIO]) -> Generator[BinaryIO]:
    with refusals(said):
        file = opened()
    try:
        yield cast(BinaryIO, _Written(file, said))
    finally:
        with contextlib.suppress(OSError):  # it flushes what could not be written, once more
            file.close()


def _own(place: Path) -> BinaryIO:
    """A new file beside `place`, never through a link that someone laid here, with a lock that says its writer lives."""
    while True:
        file = temporary_name(place).open("xb")
        if lock(file.fileno()) and os.fstat(file.fileno()).st_nlink:
            return file
        file.close()  # somebody took it for a leftover, between two lines


def lock(handle: int) -> bool:
    """Get the lock of an open file or folder. A file system without locks gives it to everyone."""
    if fcntl:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # there are no locks
            pass
    return True


def _like(handle: int, old: Path) -> None:
    """Give an open file the owner and the mode of the one that it replaces."""
    try:
        known = os.stat(old)
    except FileNotFoundError:
        return
    if hasattr(os, "fchown"):
        with contextlib.suppress(OSError):  # only root may
            os.fchown(handle, known.st_uid, known.st_gid)
    if hasattr(os, "fchmod"):
        os.fchmod(handle, stat.S_IMODE(known.st_mode))


def temporary_name(place: Path) -> Path:
    """A new name beside `place`, for what is to take its place."""
    return place.with_name(f"{_stem(place.name)}.tmp-{secrets.token_hex(RANDOM_BYTES)}")


def temporary_names(place: Path) -> Generator[Path]:
    """What is there under such names, and nothing else, like out.tmp-notes."""
    yield from place.parent.glob(f"{glob.escape(_stem(place.name))}.tmp-{'[0-9a-f]' * 2 * RANDOM_BYTES}")


def _stem(name: str) -> str:
    """What the names of temporary files begin with: the name, shortened where it would leave them no room."""
    if len(os.fsencode(name)) + len(".tmp-") + 2 * RANDOM_BYTES <= LONGEST_NAME:
        return name
    return f"{zlib.crc32(os.fsencode(name)):08x}"


def remove_leftovers(path: Path) -> None:
    """Remove what killed processes left beside `path`: the temporary files that nobody holds a lock on."""
    if not fcntl:
        return
    for leftover in temporary_names(path):
        with contextlib.suppress(OSError):  # another process was faster, or it is another user's: it stays
            if leftover.is_symlink():
                leftover.unlink()
                continue
            handle = os.open(leftover, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails where a writer lives, or there are no locks
                leftover.unlink()
            finally:
                os.close(handle)


def sync_directory(directory: Path) -> None:
    """Make a rename inside `directory` durable. A system that cannot open directories (Windows) needs no such step."""
    if os.name != "posix":
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
