"""Output: stdout carries the result and nothing else, character for character, all of it or an error; words go to stderr.

    to_stdout · json_to_stdout ──UTF-8, every byte──▶ stdout ◀──in its encoding── words_to_stdout
    to_stderr ──one printable line──▶ stderr                terminal_safe: text from elsewhere, harmless on a terminal
    what the library logs ──Notes──▶ to_stderr, not amid a text that is on its way on the terminal

A stdout can be closed, full, non-blocking, a notebook's, or a pipe whose reader has gone: each ends in a sentence, or right.
"""

import contextlib
import json
import logging
import os
import select
import sys
import unicodedata
from collections.abc import Generator
from typing import Any, BinaryIO, TextIO

from letterwise.atomic import STDOUT
from letterwise.errors import UserError, sentence
from letterwise.printable import printable

MAX_MESSAGE_CHARS = 2000  # characters: a value of a million is not shown as a whole


class Terminal:
    """What stands on the terminal now: whether its last line, of a text on stdout, is still open."""

    line_is_open = False


class Notes(logging.Handler):
    """What is logged, as a line on stderr."""

    held: list[str] | None = None  # while a text is on its way

    def emit(self, record: logging.LogRecord) -> None:
        """Say it, or keep it for later."""
        if self.held is None:
            to_stderr(record.getMessage())
        else:
            self.held.append(record.getMessage())


NOTES, LOG = Notes(), logging.getLogger("letterwise")


@contextlib.contextmanager
def logged_to_stderr() -> Generator[None]:
    """What the library logs meanwhile becomes words on stderr."""
    LOG.addHandler(NOTES)
    try:
        yield
    finally:
        LOG.removeHandler(NOTES)


@contextlib.contextmanager
def text_on_its_way() -> Generator[None]:
    """A text goes out piece by piece: on a terminal, words about something else wait for its end."""
    NOTES.held = [] if on_terminal() else None
    try:
        yield
        end_line()
    finally:
        held, NOTES.held = NOTES.held or [], None
        for text in held:
            to_stderr(text)


def to_stdout(text: str) -> None:
    """Write text exactly (no newline is added or translated; bytes of a byte vocabulary survive) and at once.

    Raises `UserError` when not all of it can be written, `BrokenPipeError` when nobody reads it any more.
    """
    _put(text, text.encode("utf-8", "surrogateescape"))


def line_to_stdout(text: str) -> None:
    """The same, and a line break."""
    to_stdout(text + "\n")


def json_to_stdout(value: dict[str, Any]) -> None:
    """One JSON object on one line."""
    to_stdout(json.dumps(value) + "\n")


def words_to_stdout(text: str) -> None:
    """Words for a person, in the encoding of stdout: what it lacks is spelled otherwise."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    _put(text, encodable(text, encoding).encode(encoding, "replace"))


def to_stderr(text: str) -> None:
    """One line on stderr, where there is one."""
    if len(text) > MAX_MESSAGE_CHARS:
        text = f"{text[: MAX_MESSAGE_CHARS // 2]} … {text[-MAX_MESSAGE_CHARS // 2 :]}"
    if sys.stderr is None:
        return
    try:
        begin = "\n" if Terminal.line_is_open and sys.stderr.isatty() else ""
        Terminal.line_is_open = False
        sys.stderr.write(begin + encodable(printable(text, one_line=True), sys.stderr.encoding or "ascii") + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):  # full, gone, or closed: nobody reads it any more
        discard(sys.stderr)


def terminal_safe(text: str, *, one_line: bool = True) -> str:
    """Text from elsewhere: as it is, but on a terminal, which would obey some of it."""
    return printable(text, one_line=one_line) if on_terminal() else text


def on_terminal() -> bool:
    """Does a person look at stdout?"""
    try:
        return sys.stdout is not None and sys.stdout.isatty()
    except (AttributeError, ValueError):
        return False


def in_colour() -> bool:
    """Does a person look who wants colours (https://no-color.org), on a terminal that has them?"""
    return on_terminal() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def is_stdout(path: str, flag: str, as_json: bool) -> bool:
    """Does a result that is written to `path` go to stdout? Then words go elsewhere.

    Raises `UserError` where `--json` asks for stdout, too.
    """
    try:
        taken = path == STDOUT or os.path.samestat(os.stat(path), os.fstat(1))
    except OSError:  # there is no such file yet, or no stdout
        taken = False
    if taken and as_json:
        raise UserError(f"{flag} {path} and --json both write to stdout: name a file for one of them.")
    return taken


def end_line() -> None:
    """On a terminal, end the line of an exact text; in a pipe or file, add nothing to it."""
    if on_terminal():
        to_stdout("\n")


def discard(stream: TextIO | None) -> None:
    """Let what is still in a stream's buffer vanish, since Python flushes it once more on exit."""
    if stream is not None:
        with contextlib.suppress(OSError, ValueError, AttributeError):  # it may be no file at all
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def encodable(text: str, encoding: str) -> str:
    """The text with other spellings for what an encoding lacks: `…` becomes `...`."""
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return unicodedata.normalize("NFKD", text).encode("ascii", "replace").decode()
    return text


def _put(text: str, content: bytes) -> None:
    """Write to stdout: bytes, or text where it takes no bytes."""
    out = sys.stdout
    if out is None:
        raise UserError("stdout is closed, and the result has nowhere to go: leave out >&- or redirect it to a file.")
    try:
        if buffer := getattr(out, "buffer", None):
            write_all(buffer, content)
        else:  # a notebook's, or io.StringIO
            out.write(content.decode("utf-8", "replace") if any("\ud800" <= c <= "\udfff" for c in text) else text)
            out.flush()
        Terminal.line_is_open = on_terminal() and not text.endswith("\n") if text else Terminal.line_is_open
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:  # ValueError: it was closed meanwhile
        discard(out)
        why = error.strerror if isinstance(error, OSError) else None
        raise UserError(f"cannot write to stdout, and the result is not complete: {sentence(why or error)}") from error


def write_all(stream: BinaryIO, content: bytes) -> None:
    """Write all, also where a write may take less (without a buffer, as PYTHONUNBUFFERED asks) or must wait (non-blocking)."""
    rest = memoryview(content)
    while rest:
        try:
            taken = stream.write(rest)
        except BlockingIOError as full:
            taken = full.characters_written
        if not taken:
            select.select([], [stream], [])
        rest = rest[taken or 0 :]
    while True:
        try:
            return stream.flush()
        except BlockingIOError:
            select.select([], [stream], [])
