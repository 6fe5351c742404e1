"""Stdin: what comes in, all of it, whatever kind of stdin this is.

    a pipe, a file, a socket, non-blocking or not ──opened──▶ a file that is read to its end; closed: one sentence
                                                  ──arriving──▶ pieces, as soon as they come

A program that shares its pipe or terminal with others can leave it non-blocking. Python's own readers then take "nothing there
yet" for the end.
"""

import io
import os
import select
import sys
from collections.abc import Iterator
from typing import Any

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
