"""Source: bytes that can be read again and again, and the characters they spell.

    Source(name, pieces) ──recognized──▶ Source(…, encoding, skip) ──code_points──▶ arrays, a few MiB at a time
                                                                   ──digest───────▶ sha256

Text is kept exactly: no newline is translated, nothing is normalized. Only a byte order mark at the start is dropped.
"""

import codecs
import hashlib
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NoReturn

import numpy as np

from letterwise.data.vocabulary import code_points as code_points_of
from letterwise.errors import UserError
from letterwise.progress import Note
from letterwise.text_encoding import SNIFFED, WIDE, decided, require_characters

# Bytes read at once: arrays of larger ones come fresh from the kernel each time, and take two to three times as long.
CHUNK = 2**18
DAMAGE = (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError, RuntimeError, ValueError)  # of unpackers
WHOLE_CHARACTERS = ("utf-8", "ascii", "iso8859-1", *WIDE)  # encodings that spell no half of a surrogate pair


@dataclass(frozen=True)
class Source:
    """Bytes that can be read from the start, as often as needed. `name` is what a person knows them by."""

    name: str
    pieces: Callable[[], Iterator[bytes]]
    encoding: str | None = None  # None: bytes are the characters
    skip: int = 0  # bytes at the start that are no text: a byte order mark
    remark: str = ""  # what there is to say about its encoding
    file: Path | None = None  # whose one content this is, unpacked
    known: tuple[str, int] | None = None  # its digest, where that is known

    def chunks(self) -> Iterator[bytes]:
        """The bytes, some at a time. Raises `UserError` when they cannot be read or unpacked."""
        try:
            yield from self.pieces()
        except OSError as error:
            if error.errno is not None:
                refuse(self.name, error)
            raise damaged_archive(self.name, error) from error  # bz2 says so of its content, with no number
        except DAMAGE as error:
            raise damaged_archive(self.name, error) from error

    def start(self) -> bytes:
        """The first 64 KiB; all of a shorter one."""
        return next(_with_whole_start(self.chunks(), SNIFFED))[:SNIFFED]

    def digest(self, max_bytes: float = float("inf")) -> tuple[str, int]:
        """sha256 of the bytes, and how many they are. Raises `UserError` when they are more than `max_bytes`."""
        sha256, size = hashlib.sha256(), self.known[1] if self.known else 0
        for chunk in () if self.known else self.chunks():
            size += len(chunk)
            if size > max_bytes:
                break
            sha256.update(chunk)
        if size > max_bytes:
            raise UserError(f"{self.name!r} is far larger than the text that this model learned")
        return self.known or (sha256.hexdigest(), size)

    def code_points(self, note: Note = lambda text: None) -> Iterator[np.ndarray]:
        """Code points in order: uint8 arrays for chunks that are ASCII (or all, for bytes), uint16 or uint32 for others.

        Raises `UserError` that names file and byte offset where the bytes do not spell text.
        """
        return (points for points, _ in self.decoded(note))

    def decoded(self, note: Note = lambda text: None) -> Iterator[tuple[np.ndarray, int | None]]:
        """`code_points`, and with each array how many bytes to `skip` to go on behind it; None where that cannot be."""
        if self.remark:
            note(self.remark)
        decoder, utf8 = codecs.getincrementaldecoder(self.encoding or "latin-1")("strict"), self.encoding == "utf-8"
        offset, held, state = 0, b"", 0
        for chunk in self.chunks():
            begin, offset = max(offset, self.skip), offset + len(chunk)
            chunk = chunk if begin + len(chunk) == offset else chunk[len(chunk) + begin - offset :]
            if not chunk:
                continue
            if self.encoding is None or (utf8 and not held and chunk.isascii()):
                points = np.frombuffer(chunk, np.uint8)
            else:
                points = _points(self._decode(decoder.decode, chunk, begin - len(held), held))
                held, state = decoder.getstate()
            yield points, None if state else offset - len(held)
        if tail := self._decode(partial(decoder.decode, final=True), b"", offset - len(held), held):
            yield _points(tail), offset

    def _decode(self, decode: Callable[[bytes], str], chunk: bytes, offset: int, held: bytes) -> str:
        """The characters of a chunk, at this offset; `held` is what the decoder kept of the one before. Raises `UserError`."""
        try:
            text = decode(chunk)
        except UnicodeError as error:
            begin = error.start if isinstance(error, UnicodeDecodeError) else 0
            around = (held + chunk)[max(0, begin - SNIFFED) : begin + SNIFFED]
            looks = " It looks like binary data." if b"\0" in around and self.encoding not in WIDE else ""
            raise UserError(
                f"{self.name!r} is not {self.encoding} text at byte offset {offset + begin}.{looks} "
                "Name its encoding with --encoding, or take any bytes with --vocab byte."
            ) from error
        if self.encoding not in WHOLE_CHARACTERS:
            require_characters(text, self.name, str(self.encoding))
        return text


def _points(text: str) -> np.ndarray:
    """Its code points, as uint16 where they fit: Python writes these six times as fast."""
    wide = text.encode("utf-16-le", "surrogatepass")
    return np.frombuffer(wide, np.uint16) if len(wide) == 2 * len(text) else code_points_of(text)


def recognized(source: Source, start: bytes, asked: str | None) -> Source:
    """The source as text, in the encoding that was `asked` for, or that its first bytes show: see text_encoding.py."""
    spelling = decided(source.name, start, asked)
    return replace(source, encoding=spelling.encoding, skip=spelling.skip, remark=spelling.remark)


def read(path: str | Path) -> Iterator[bytes]:
    """The bytes of a file, some at a time."""
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def damaged_archive(name: str, error: Exception) -> UserError:
    """The sentence about an archive that cannot be unpacked."""
    return UserError(f"{name!r} is a damaged or unreadable archive ({error}): unpack it, or make it anew.")


def refuse(name: str, error: Exception) -> NoReturn:
    """Raises `UserError` about a file that cannot be read."""
    reason = (isinstance(error, OSError) and error.strerror) or error
    raise UserError(f"cannot read {name!r}: {reason}. Check the file and its permissions.") from error


def _with_whole_start(chunks: Iterator[bytes], length: int) -> Iterator[bytes]:
    """The same bytes, where the first chunk has at least `length` of them, if there are as many."""
    start = b""
    for chunk in chunks:
        start += chunk
        if len(start) >= length:
            break
    yield start
    yield from chunks
