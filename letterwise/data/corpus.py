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
import os
import shutil
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, BinaryIO, NoReturn

import numpy as np

from letterwise.config import DataConfig
from letterwise.data.datasets import DATASETS, Note, dataset_text
from letterwise.data.vocabulary import code_points as code_points_of
from letterwise.errors import UserError, did_you_mean

CHUNK = 4 * 2**20
SNIFFED = 64 * 2**10  # a folder's file is text if this much of it is
ZSTD_STEP = 4 * 2**10  # compressed bytes taken at once: at most 128 KiB come out of every four
DAMAGE = (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError, ValueError)  # what unpackers raise
FAMILIAR = ("utf-8", "utf-16", "utf-32", "latin-1", "cp1252", "ascii", "shift_jis", "gb18030", "koi8-r", "big5", "euc-kr")
FOR_HOST_NAMES = ("idna", "punycode", "undefined")  # codecs that spell no files


@dataclass(frozen=True)
class Source:
    """Bytes that can be read from the start, as often as needed. `name` is what a person knows them by."""

    name: str
    pieces: Callable[[], Iterator[bytes]]
    encoding: str | None  # None: bytes are the characters

    def chunks(self) -> Iterator[bytes]:
        """The bytes, some at a time. Raises `UserError` when they cannot be read or unpacked."""
        try:
            yield from self.pieces()
        except OSError as error:
            if error.errno is not None:
                _refuse(self.name, error)
            raise _damaged(self.name, error) from error  # gzip and bz2 say so of their content, with no number
        except DAMAGE as error:
            raise _damaged(self.name, error) from error

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
        decoder, utf8 = codecs.getincrementaldecoder(self.encoding)("strict"), self.encoding == "utf-8"
        offset, held = 0, b""
        for chunk in _with_whole_start(self.chunks(), len(codecs.BOM_UTF8)):
            if offset == 0 and utf8 and chunk.startswith(codecs.BOM_UTF8):
                note(f"{self.name!r} starts with a byte order mark, which is dropped.")
                offset, chunk = len(codecs.BOM_UTF8), chunk.removeprefix(codecs.BOM_UTF8)
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
            looks = " It looks like binary data." if b"\0" in around and not _has_wide_units(self.encoding) else ""
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
    named = canonical_encoding(config.encoding)  # a model file keeps it, and one that names no encoding is not loaded
    encoding = None if config.vocab == "byte" else named
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
    source = Source(name, partial(_read, dataset_text(name, note)), None if encoding is None else "utf-8")
    return Corpus([source], val_sources, (f"dataset:{name}",), DATASETS[name].percent)


def find_sources(name: str, encoding: str | None, note: Note) -> list[Source]:
    """The sources that one input names: a file's, a folder's, an archive's members', a glob's matches'."""
    if name == "-":
        return [_spooled("stdin", sys.stdin.buffer, encoding)]
    if not name:
        raise UserError("an input file's name is empty (''): name a file, a folder, a pattern, or - for stdin.")
    path = Path(name)
    try:
        if path.is_dir():
            return _only_text(_packed_or_plain(_files_in(path), encoding), note, name)
        if path.is_file():
            sources = _packed_or_plain([path], encoding)
            return _only_text(sources, note, name) if _is_zip(path) else sources
        if path.exists():  # a pipe or device, which can be read only once
            with path.open("rb") as pipe:
                return [_spooled(name, pipe, encoding)]
        if glob.has_magic(name):
            return _only_text(_packed_or_plain(_matches(name), encoding), note, name)
        raise UserError(f"there is no file {name!r}{_nearest(path)}")
    except OSError as error:
        _refuse(error.filename or name, error)


def canonical_encoding(encoding: str) -> str:
    """The one name of a codec that has several. Raises `UserError` when there is none that spells text."""
    try:
        codec = codecs.lookup(encoding)
        codecs.getincrementaldecoder(encoding)
    except (LookupError, ValueError):
        codec = None
    if codec is None or not codec._is_text_encoding or codec.name in FOR_HOST_NAMES:  # type: ignore[attr-defined]
        raise UserError(f"encoding {encoding!r} is not known: {did_you_mean(encoding, FAMILIAR)}")
    return codec.name.removesuffix("-sig")  # `utf-8-sig` is UTF-8 whose byte order mark is dropped, as we do


def _files_in(folder: Path) -> list[Path]:
    """Every file below a folder, in the order of their paths. Nothing hidden; links to folders are not followed."""
    found: list[Path] = []
    for here, folders, files in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(here, name) for name in files if not name.startswith(".")]
    return _each_once(found)


def _matches(pattern: str) -> list[Path]:
    """The files that match, and those in folders that match."""
    matches = [Path(match) for match in glob.glob(pattern, recursive=True)]
    files = _each_once(file for match in matches for file in (_files_in(match) if match.is_dir() else [match]))
    if not files:
        raise UserError(f"no file matches {pattern!r}: check the pattern (quote it, so that the shell leaves it alone).")
    return files


def _each_once(paths: Iterable[Path]) -> list[Path]:
    """In order, the files among `paths`. One that links make appear in many places is taken at the shortest of its paths."""
    places: dict[Path, Path] = {}
    for path in sorted(paths, key=lambda path: len(path.parts)):
        if path.is_file():
            places.setdefault(path.resolve(), path)
    return sorted(places.values())


def _packed_or_plain(paths: Iterable[Path], encoding: str | None) -> list[Source]:
    """A source for each file, and for each member of each zip."""
    sources = []
    for path in paths:
        name = str(path)
        with path.open("rb"):
            pass  # permissions are best complained about before anything else is done
        match path.suffix.lower():
            case ".zip":
                sources += _zip_members(name, encoding)
            case ".zst":
                sources.append(Source(name, partial(_read_zst, name), encoding))
            case ".gz" | ".bz2" | ".xz":
                sources.append(Source(name, partial(_read, partial(_open_compressed, name)), encoding))
            case _:
                sources.append(Source(name, partial(_read, partial(path.open, "rb")), encoding))
    return sources


def _read(open: Callable[[], IO[bytes]]) -> Iterator[bytes]:
    with open() as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _open_compressed(name: str) -> BinaryIO:
    import fsspec

    # Its file system for local files, since `fsspec.open` would take a name with a colon in it for an address.
    return fsspec.filesystem("file").open(os.path.abspath(name), "rb", compression="infer")


def _read_zst(name: str) -> Iterator[bytes]:
    """Frame after frame. Not through fsspec, whose reader stops quietly after the first one, or in the middle of it."""
    import zstandard

    with Path(name).open("rb") as file:
        frame, packed = None, b""
        while packed := packed or file.read(ZSTD_STEP):
            frame = frame or zstandard.ZstdDecompressor().decompressobj()
            try:
                yield frame.decompress(packed)
            except zstandard.ZstdError as error:
                raise EOFError(str(error)) from error
            packed = frame.unused_data
            frame = None if frame.eof else frame
    if frame:
        raise EOFError("it ends in the middle of a frame")


def _is_zip(path: Path) -> bool:
    return path.suffix.lower() == ".zip"


def _zip_members(name: str, encoding: str | None) -> list[Source]:
    """Not through fsspec, which cannot open members whose name starts with a slash."""
    try:
        archive = zipfile.ZipFile(name)
    except DAMAGE as error:
        raise _damaged(name, error) from error
    members = sorted(
        (member for member in archive.infolist() if not member.is_dir() and not _is_hidden(member.filename)),
        key=lambda member: member.filename,
    )
    return [Source(f"{name}/{member.filename}", partial(_read, partial(archive.open, member)), encoding) for member in members]


def _is_hidden(member: str) -> bool:
    return any(part.startswith(".") and part.strip(".") for part in member.split("/"))


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
    start = next(_with_whole_start(source.chunks(), SNIFFED))[:SNIFFED]
    try:
        codecs.getincrementaldecoder(source.encoding)("strict").decode(start)  # a character cut at the end is no error
    except UnicodeDecodeError:
        return False
    return b"\0" not in start or _has_wide_units(source.encoding)


def _has_wide_units(encoding: str | None) -> bool:
    """Whether a NUL byte is ordinary in this encoding of text."""
    return encoding is not None and encoding.startswith(("utf-16", "utf-32"))


def _spooled(name: str, file: BinaryIO, encoding: str | None) -> Source:
    """What can be read only once, kept in a temporary file while it is needed."""
    kept = tempfile.NamedTemporaryFile()  # noqa: SIM115 (closed, and so removed, with the last reference to the source)
    shutil.copyfileobj(file, kept, CHUNK)
    kept.flush()
    return Source(name, partial(_read, lambda: open(kept.name, "rb")), encoding)


def _nearest(path: Path) -> str:
    """A half sentence about the likeliest file, or about the folder that is none."""
    folder = path.absolute().parent
    if folder.is_file():
        return f": {str(path.parent)!r} is a file, not a folder."
    if not folder.is_dir():
        return f": there is no folder {str(path.parent)!r} either."
    near = difflib.get_close_matches(path.name, os.listdir(folder), n=1, cutoff=0.75)
    return f": did you mean {str(path.with_name(near[0]))!r}?" if near else f" in {str(folder)!r}: check the name."


def _damaged(name: str, error: Exception) -> UserError:
    return UserError(f"{name!r} is a damaged or unreadable archive ({error}): unpack it, or make it anew.")


def _refuse(name: str, error: OSError) -> NoReturn:
    raise UserError(f"cannot read {name!r}: {error.strerror or error}. Check the file and its permissions.") from error


def _raise(error: OSError) -> NoReturn:
    raise error


def _with_whole_start(chunks: Iterator[bytes], length: int) -> Iterator[bytes]:
    """The same bytes, where the first chunk has at least `length` of them, if there are as many."""
    start = b""
    for chunk in chunks:
        start += chunk
        if len(start) >= length:
            break
    yield start
    yield from chunks
