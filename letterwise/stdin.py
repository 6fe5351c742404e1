"""Stdin: all of its bytes, whatever kind of stdin it is.

    a pipe, a file, a socket, non-blocking or not ──opened──▶ a file that is read to its end; closed: one sentence
                                                  ──arriving──▶ pieces, as soon as they come
    the name of a file, or - for stdin ──reading──▶ a file

A program that shares its pipe or terminal with others can leave it non-blocking. Python's own readers then take "nothing there
yet" for the end.
"""

import io
import os
import select
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from letterwise.errors import UserError

CHUNK = 2**16


def opened() -> io.BufferedReader:
    """Stdin as a file, which raises `UserError` where it cannot be read. Raises `UserError` where it is closed."""
    try:
        return io.BufferedReader(_Waiting(sys.stdin.fileno()), CHUNK)
    except (AttributeError, OSError, ValueError):  # started with <&-, or no file of the operating system
        buffer = getattr(sys.stdin, "buffer", None)
    if buffer is None or buffer.closed:
        raise UserError("stdin is closed: leave out <&-, or name a file.")
    return buffer


@contextmanager
def reading(path: str | os.PathLike[str]) -> Generator[BinaryIO]:
    """A file to read, or stdin for "-". Raises `UserError` when it cannot be."""
    said = os.fspath(path)
    try:
        with opened() if said == "-" else open(said, "rb") as file:
            yield file
    except OSError as error:
        raise UserError(f"cannot read {said!r}: {error.strerror or error}. Name a file that is there.") from error
    except ValueError as error:
        if "\0" not in said:
            raise
        raise UserError(f"cannot read {said!r}: no file's name has a NUL. Name a file that is there.") from error


def arriving() -> Iterator[bytes]:
    """What comes in, as soon as it does. Raises `UserError` where stdin is closed or cannot be read."""
    stream = opened()
    while chunk := stream.read1(CHUNK):
        yield chunk


class _Waiting(io.RawIOBase):
    """An open file that is waited for where it has nothing yet. It stays open, since others may read it, too."""

    def __init__(self, handle: int) -> None:
        self.handle = handle

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.handle

    def readinto(self, buffer: Any, /) -> int:
        try:
            while True:
                try:
                    content = os.read(self.handle, len(buffer))
                except BlockingIOError:
                    select.select([self.handle], [], [])
                    continue
                buffer[: len(content)] = content
                return len(content)
        except OSError as error:  # a folder, or a stream to write to
            raise UserError(f"cannot read stdin: {error.strerror or error}. Give it a pipe or a file.") from error
