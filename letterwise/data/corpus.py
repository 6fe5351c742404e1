"""Corpus: where text comes from, as streams of code points.

    files, folders, globs, stdin, archives, named texts ──▶ [Source, …] ──code_points──▶ arrays, a few MiB at a time

Text is kept exactly: no newline is translated, nothing is normalized, files are joined with nothing between them. Only a
byte order mark at the start of a UTF-8 file is dropped, with a note.
"""

import codecs
import difflib
import glob
import hashlib
import lzma
import shutil
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from letterwise.config import DataConfig
from letterwise.data.datasets import DATASETS, dataset_text
from letterwise.data.vocabulary import code_points as code_points_of
from letterwise.errors import UserError, did_you_mean

CHUNK = 4 * 2**20
SNIFFED = 64 * 2**10  # a folder's file is text if this much of it is
Note = Callable[[str], None]


@dataclass(frozen=True)
class Source:
    """Bytes that can be read from the start, as often as needed. `name` is what a person knows them by."""

    name: str
    open: Callable[[], BinaryIO]
    encoding: str | None  # None: bytes are the characters

    def chunks(self) -> Iterator[bytes]:
        """The bytes, a chunk at a time. Raises `UserError` when they cannot be read or decompressed."""
        try:
            with self.open() as file:
                while chunk := file.read(CHUNK):
                    yield chunk
        except (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError, ValueError) as error:
            raise UserError(
                f"{self.name!r} is a damaged or unreadable archive ({error}): unpack it, or make it anew."
            ) from error
        except OSError as error:
            raise UserError(
                f"cannot read {self.name!r}: {error.strerror or error}. Check the file and its permissions."
            ) from error

    def digest(self) -> str:
        """sha256 of the bytes."""
        told = hashlib.sha256()
        for chunk in self.chunks():
            told.update(chunk)
        return told.hexdigest()

    def code_points(self, note: Note = lambda text: None) -> Iterator[np.ndarray]:
        """Code points in order: uint8 arrays for chunks that are ASCII (or all, for bytes), uint32 for others.

        Raises `UserError` that names file and byte offset where the bytes do not spell text.
        """
        if self.encoding is None:
            yield from (np.frombuffer(chunk, np.uint8) for chunk in self.chunks())
            return
        decoder, utf8 = codecs.getincrementaldecoder(self.encoding)("strict"), is_utf8(self.encoding)
        offset, held = 0, b""
        for chunk in _with_whole_start(self.chunks(), len(codecs.BOM_UTF8)):
            if offset == 0 and utf8 and chunk.startswith(codecs.BOM_UTF8):
                note(f"{self.name!r} starts with a byte order mark, which is dropped.")
                offset, chunk = 3, chunk[3:]
            if utf8 and not held and chunk.isascii():
                yield np.frombuffer(chunk, np.uint8)
            else:
                yield code_points_of(self._decode(decoder.decode, chunk, offset - len(held), held))
            held = decoder.getstate()[0]
            offset += len(chunk)
        if tail := self._decode(partial(decoder.decode, final=True), b"", offset - len(held), held):
            yield code_points_of(tail)

    def _decode(self, decode: Callable[[bytes], str], chunk: bytes, offset: int, held: bytes) -> str:
        try:
            return decode(chunk)
        except UnicodeDecodeError as error:
            around = (held + chunk)[max(0, error.start - SNIFFED) : error.start + SNIFFED]
            looks = " It looks like binary data." if b"\0" in around else ""
            raise UserError(
                f"{self.name!r} is not {self.encoding} text at byte offset {offset + error.start}.{looks} "
                "Name its encoding with --encoding, or take any bytes with --vocab byte."
            ) from error


@dataclass(frozen=True)
class Corpus:
    """The text to learn and, where one was named, the text to validate on; `percent` is a data set's own split."""

    sources: list[Source]
    val_sources: list[Source]
    names: tuple[str, ...]
    percent: tuple[int, int, int] | None = None


def open_corpus(config: DataConfig, note: Note) -> Corpus:
    """Find everything that the configuration names, without reading it through. Raises `UserError` where it cannot."""
    encoding = None if config.vocab == "byte" else config.encoding
    if encoding:
        _require_codec(encoding)
    val_sources = [source for name in config.val_file for source in find_sources(name, encoding, note)]
    if config.input_file:
        sources = [source for name in config.input_file for source in find_sources(name, encoding, note)]
        names = tuple(name if name == "-" else str(Path(name).absolute()) for name in config.input_file)
        return Corpus(sources, val_sources, names)
    name = config.dataset or "python-docs"
    if name not in DATASETS:
        raise UserError(f"dataset {name!r} is not known: {did_you_mean(name, DATASETS)}")
    if name == "enwik8" and config.vocab == "char":
        note("enwik8: published figures are bits per byte; --vocab byte gives figures to compare with them.")
    opened = dataset_text(name, note)
    source = Source(name, opened, None if encoding is None else "utf-8")
    return Corpus([source], val_sources, (f"dataset:{name}",), DATASETS[name].percent)


def find_sources(name: str, encoding: str | None, note: Note) -> list[Source]:
    """The sources that one input names: a file's, a folder's, an archive's members', a glob's matches'."""
    if name == "-":
        return [_spooled("stdin", sys.stdin.buffer, encoding)]
    path = Path(name)
    try:
        if path.is_dir():
            return _folder(path, encoding, note)
        if path.is_file():
            return _file(path, encoding, note)
        if path.exists():  # a pipe or device, which can be read only once
            with path.open("rb") as pipe:
                return [_spooled(name, pipe, encoding)]
    except OSError as error:
        raise UserError(f"cannot read {name!r}: {error.strerror or error}. Check the file and its permissions.") from error
    if glob.has_magic(name):
        matches = sorted(match for match in glob.glob(name, recursive=True) if Path(match).is_file())
        if not matches:
            raise UserError(f"no file matches {name!r}: check the pattern (quote it, so that the shell leaves it alone).")
        return _texts(matches, encoding, note, name)
    raise UserError(f"there is no file {name!r}{_nearest(path)}.")


def is_utf8(encoding: str) -> bool:
    """Whether a codec's name is one of UTF-8's."""
    return codecs.lookup(encoding).name == "utf-8"


def _folder(path: Path, encoding: str | None, note: Note) -> list[Source]:
    found, seen = [], set()
    for entry in sorted(path.rglob("*")):
        hidden = any(part.startswith(".") for part in entry.relative_to(path).parts)
        if not hidden and entry.is_file() and (real := entry.resolve()) not in seen:
            seen.add(real)
            found.append(str(entry))
    return _texts(found, encoding, note, str(path))


def _texts(paths: Iterable[str], encoding: str | None, note: Note, where: str) -> list[Source]:
    """Of many files, those that are text."""
    return _only_text([source for path in paths for source in _file(Path(path), encoding, note)], note, where)


def _file(path: Path, encoding: str | None, note: Note) -> list[Source]:
    """One file; or the members of a zip."""
    name = str(path)
    with path.open("rb"):
        pass  # permissions are best complained about before anything else is done
    match path.suffix.lower():
        case ".zip":
            return _only_text(_zip_members(name, encoding), note, name)
        case ".zst":
            return [Source(name, partial(_open_zst, name), encoding)]
        case ".gz" | ".bz2" | ".xz":
            return [Source(name, partial(_open_compressed, name), encoding)]
    return [Source(name, partial(path.open, "rb"), encoding)]


def _open_compressed(name: str) -> BinaryIO:
    import fsspec

    return fsspec.open(name, "rb", compression="infer").open()


def _open_zst(name: str) -> BinaryIO:
    """Not through fsspec, whose reader ends quietly after the first of several frames."""
    import zstandard

    return zstandard.ZstdDecompressor().stream_reader(Path(name).open("rb"), read_across_frames=True, closefd=True)


def _zip_members(name: str, encoding: str | None) -> list[Source]:
    import fsspec

    try:
        archive = fsspec.filesystem("zip", fo=name)
        members = sorted(member for member in archive.find("") if not Path(member).name.startswith("."))
    except (zipfile.BadZipFile, EOFError, ValueError) as error:
        raise UserError(f"{name!r} is a damaged archive ({error}): unpack it, or make it anew.") from error
    return [Source(f"{name}/{member}", partial(archive.open, member, "rb"), encoding) for member in members]


def _only_text(sources: list[Source], note: Note, where: str) -> list[Source]:
    """The sources that are text, with a note about the others. Raises `UserError` when none is."""
    texts = [source for source in sources if _is_text(source)]
    if not texts:
        raise UserError(f"{where!r} has no text in it ({len(sources)} files looked at): name a file, or use --vocab byte.")
    if skipped := len(sources) - len(texts):
        note(f"{where!r}: {skipped} of {len(sources)} files are not text, and are left out.")
    return texts


def _is_text(source: Source) -> bool:
    if source.encoding is None:
        return True
    start = next(source.chunks(), b"")[:SNIFFED]
    wide = codecs.lookup(source.encoding).name.startswith(("utf-16", "utf-32"))
    try:
        codecs.getincrementaldecoder(source.encoding)("strict").decode(start)  # a character cut at the end is no error
    except UnicodeDecodeError:
        return False
    return wide or b"\0" not in start


def _spooled(name: str, file: BinaryIO, encoding: str | None) -> Source:
    """What can be read only once, kept in a temporary file while it is needed."""
    kept = tempfile.NamedTemporaryFile()  # noqa: SIM115 (closed, and so removed, with the last reference to the source)
    shutil.copyfileobj(file, kept, CHUNK)
    kept.flush()
    return Source(name, lambda: open(kept.name, "rb"), encoding)


def _require_codec(encoding: str) -> None:
    try:
        codecs.getincrementaldecoder(encoding)
        is_text = codecs.lookup(encoding)._is_text_encoding  # type: ignore[attr-defined]
    except LookupError:
        is_text = False
    if not is_text:
        known = ("utf-8", "utf-16", "utf-32", "latin-1", "cp1252", "ascii", "shift_jis", "gb18030", "koi8-r", "big5", "euc-kr")
        raise UserError(f"encoding {encoding!r} is not known: {did_you_mean(encoding, known)}")


def _nearest(path: Path) -> str:
    """A half sentence about the likeliest file, or the deepest folder that is there."""
    folder = next((parent for parent in path.absolute().parents if parent.is_dir()), Path("/"))
    if folder != path.absolute().parent:
        return f": there is no folder {str(path.parent)!r} either"
    near = difflib.get_close_matches(path.name, [entry.name for entry in folder.iterdir()], n=1, cutoff=0.6)
    return f": did you mean {str(path.with_name(near[0]))!r}?" if near else f" in {str(folder)!r}: check the name"


def _with_whole_start(chunks: Iterator[bytes], length: int) -> Iterator[bytes]:
    """The same bytes, where the first chunk has at least `length` of them, if there are as many."""
    start = b""
    for chunk in chunks:
        start += chunk
        if len(start) >= length:
            break
    yield start
    yield from chunks
