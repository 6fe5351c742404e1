"""Corpus: where text comes from, as streams of code points.

    files, folders, globs, stdin, archives, named texts ──▶ [Source, …] ──code_points──▶ arrays, a few MiB at a time

Files are joined with nothing between them. What is binary data, or one of our own files, is no text: a folder's is left out
with a note, and a named one is refused.
"""

import difflib
import glob
import itertools
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import BinaryIO

from letterwise import stdin
from letterwise.config import DataConfig
from letterwise.config.file_names import is_address
from letterwise.data.reading.datasets import DATASETS, dataset_text
from letterwise.data.reading.own_files import files_in, is_model_file, is_of_a_run
from letterwise.data.reading.source import CHUNK, Source, recognized, refuse
from letterwise.data.reading.unchanged import Unchanged
from letterwise.data.reading.unpack import is_archive, packed_by, unpacked
from letterwise.errors import UserError, did_you_mean
from letterwise.progress import Note
from letterwise.text_encoding import SNIFFED, Spelling, canonical_encoding, kind_of, looks_binary

MAX_FILES = 100_000  # that are looked at where a model names the text
MAGIC = 16  # bytes at the start by which a model file is recognised
SHOWN = 3  # names of what is left out
NOTED, LEFT_FREE = 2**28, 0.05  # of what can be read only once: bytes that are noted; the share of the disk that it leaves


@dataclass(frozen=True)
class Corpus:
    """The text to learn and, where one was named, the text to validate on; `percent` is a data set's own split."""

    sources: list[Source]
    val_sources: list[Source]
    names: tuple[str, ...]
    percent: tuple[int, int, int] | None = None
    unchanged: Unchanged | None = None


@dataclass(frozen=True)
class Finder:
    """What to take for text: `as_bytes`, anything; in the encoding that was `asked` for, if one was.

    A model that somebody else made may name any file of this machine as its text. For its sake, `regular_only`, no device or
    pipe is opened, and no more than 100,000 files are looked at.
    """

    as_bytes: bool
    asked: str | None
    note: Note
    regular_only: bool = False
    unchanged: Unchanged = field(default_factory=lambda: Unchanged(None, None))

    def find(self, name: str) -> list[Source]:
        """The sources that one input names: a file's, a folder's, an archive's members', a glob's matches'."""
        if name == "-":
            return self._once("stdin", stdin.opened())
        if not name:
            raise UserError("an input file's name is empty (''): name a file, a folder, a pattern, or - for stdin.")
        path = Path(name)
        try:
            return self._find(name, path)
        except (OSError, ValueError) as error:  # NUL in a name is a ValueError
            refuse(str((isinstance(error, OSError) and error.filename) or name), error)

    def _find(self, name: str, path: Path) -> list[Source]:
        """The texts that a name stands for: a file, folder, archive, pipe or pattern. Raises `UserError` if there are none."""
        if path.is_dir():
            left_out: list[Path] = []
            return self._folder(name, files_in(path, left_out), left_out)
        if path.is_file():
            with path.open("rb") as file:  # permissions are best complained about before anything else is done
                if is_model_file(path, file.read(MAGIC)) and not self.as_bytes:
                    raise UserError(
                        f"{name!r} is a model file and no text: name the text, or take any bytes with --vocab byte."
                    )
            archive = is_archive(path)
            return [self.unchanged.recalled(text) for text in self._texts(unpacked(path), named=not archive, where=name)]
        if path.exists():  # a pipe or device, which can be read only once
            if self.regular_only:
                raise UserError(f"{name!r} is no regular file, and is not opened because a model names it")
            with path.open("rb") as pipe:
                return self._once(name, pipe)
        if glob.has_magic(name):
            left_out = []
            return self._folder(name, _matches(name, left_out), left_out)
        if is_address(name):
            raise UserError(f"{name!r} is an address: fetch it first, as with `curl -LO {name}`, and name the file.")
        raise UserError(f"there is no file {name!r}{_nearest(path)}")

    def _once(self, name: str, stream: BinaryIO) -> list[Source]:
        """The text of what can be read only once; binary data, which may have no end, is refused by its beginning."""
        start = b""
        while len(start) < SNIFFED and (chunk := stream.read(SNIFFED - len(start))):
            start += chunk
        self._texts([Source(name, lambda: iter([start]))], named=True)
        return self._texts([_spooled(name, start, stream, self.note)], named=True)

    def _folder(self, name: str, found: Iterator[Path], left_out: list[Path]) -> list[Source]:
        """The text among files, some of which are archives."""
        if self.regular_only:
            found = itertools.islice(found, MAX_FILES)
        sources: list[Source] = []
        for path in _each_once(found):
            if not is_archive(path) and (text := self.unchanged.recalled(unpacked(path)[0])).known:
                sources.append(text)
                continue
            with path.open("rb") as file:
                start = file.read(MAGIC)
            if is_model_file(path, start):
                left_out.append(path)
            else:
                sources += unpacked(path)
        if left_out:
            shown = ", ".join(repr(str(path)) for path in left_out[:SHOWN])
            more = f" and {len(left_out) - SHOWN} more" if len(left_out) > SHOWN else ""
            self.note(f"{name!r}: Letterwise's own run directories, model files and caches are left out: {shown}{more}.")
        return self._texts(sources, named=False, where=name)

    def _texts(self, sources: list[Source], *, named: bool, where: str = "") -> list[Source]:
        """The sources as text, those that are none left out with a note; `named`, one by itself: what it is, is insisted on.

        Raises `UserError` when none is text.
        """
        if self.as_bytes:
            return sources
        if named:
            return [self._named(sources[0])]
        texts = [text for source in sources if (text := self._text(source))]
        if not texts:
            raise UserError(f"{where!r} has no text in it ({len(sources)} files looked at): name a file, or use --vocab byte.")
        if skipped := len(sources) - len(texts):
            self.note(f"{where!r}: {skipped} of {len(sources)} files are not text, and are left out.")
        return texts

    def _named(self, source: Source) -> Source:
        """A file by itself. Where no encoding was asked for, binary data is refused."""
        start = source.start()
        text = recognized(source, start, self.asked)
        kind = kind_of(start, packed_by(source.name)) or "binary data" * (b"\0" in start and _is_binary(text, start))
        if kind and self.asked is None:
            raise UserError(
                f"{source.name!r} is no text but looks like {kind}. "
                "To insist, take any bytes with --vocab byte, or say how they spell characters with --encoding."
            )
        return text

    def _text(self, source: Source) -> Source | None:
        """A folder's file, if it is text."""
        if source.known:
            return source
        start = source.start()
        try:
            text = recognized(source, start, self.asked)
        except UserError:  # its byte order mark contradicts what was asked for
            return None
        return None if _is_binary(text, start) else text


def open_corpus(config: DataConfig, note: Note, *, regular_only: bool = False, kept: Path | None = None) -> Corpus:
    """Find everything that the configuration names, without reading it through. Raises `UserError` where it cannot.

    What is known of large texts is in the folder `kept`, which nobody else can write to.
    """
    if config.encoding is not None:
        canonical_encoding(config.encoding)  # a model file keeps it, and one that names no encoding is not loaded
    files = [os.path.abspath(name) for name in (*config.input_file, *config.val_file)]
    unchanged = Unchanged(kept, [files, config.vocab, config.encoding])
    finder = Finder(config.vocab == "byte", config.encoding, note, regular_only, unchanged)
    val_sources = [source for name in config.val_file for source in finder.find(name)]
    if config.input_file:
        sources = [source for name in config.input_file for source in finder.find(name)]
        names = tuple(name if name == "-" else str(Path(name).absolute()) for name in config.input_file)
        return Corpus(sources, val_sources, names, unchanged=unchanged)
    name = config.dataset or "python-docs"
    if name not in DATASETS:
        raise UserError(f"dataset {name!r} is not known: {did_you_mean(name, DATASETS)}")
    if name == "enwik8" and config.vocab == "char":
        note("enwik8: published figures are bits per byte; --vocab byte gives figures to compare with them.")
    opened = dataset_text(name, note)
    source = Source(name, partial(_pieces, opened), "utf-8" if config.vocab == "char" else None)
    return Corpus([source], val_sources, (f"dataset:{name}",), DATASETS[name].percent)


def _matches(pattern: str, left_out: list[Path]) -> Iterator[Path]:
    """The files that match, and those in folders that match."""
    nothing = True
    for match in map(Path, glob.iglob(pattern, recursive=True)):
        if match.is_dir():
            found = files_in(match, left_out)
        elif is_of_a_run(match):
            left_out.append(match)
            continue
        else:
            found = iter([match])
        for path in found:
            nothing = False
            yield path
    if nothing and not left_out:
        raise UserError(f"no file matches {pattern!r}: check the pattern (quote it, so that the shell leaves it alone).")


def _each_once(paths: Iterable[Path]) -> list[Path]:
    """In order, the files among `paths`. One that links make appear in many places is taken at the shortest of its paths."""
    places: dict[str, Path] = {}
    for path in sorted(paths, key=lambda path: str(path).count(os.sep)):
        folder, name = os.path.split(path)
        if os.path.islink(path) and path.is_file():
            places.setdefault(os.path.realpath(path), path)
        elif path.is_file():
            places.setdefault(os.path.join(_real(folder), name), path)
    return sorted(places.values())


@lru_cache(maxsize=1)
def _real(folder: str) -> str:
    return os.path.realpath(folder)


def _is_binary(text: Source, start: bytes) -> bool:
    return looks_binary(start, Spelling(text.encoding or "utf-8", text.skip))


def _pieces(opened: Callable[[], BinaryIO]) -> Iterator[bytes]:
    with opened() as file:
        while chunk := file.read(CHUNK):
            yield chunk


class _Kept:
    """A temporary file without a name: whatever ends the process, nothing is left behind."""

    def __init__(self) -> None:
        self.file = tempfile.TemporaryFile()  # noqa: SIM115 (closed with this)
        weakref.finalize(self, self.file.close)

    def pieces(self) -> Iterator[bytes]:
        """All of it, wherever others are reading in it."""
        place = 0
        while self.file.seek(place) == place and (chunk := self.file.read(CHUNK)):
            place += len(chunk)
            yield chunk


def _spooled(name: str, start: bytes, rest: BinaryIO, note: Note) -> Source:
    """What can be read only once, kept in a temporary file while it is needed. It may have no end: so some room is left."""
    try:
        kept = _Kept()
    except OSError as error:
        raise _no_room(name, error.strerror) from error
    chunk, size, noted = start, 0, NOTED
    while chunk:
        try:
            kept.file.write(chunk)
            kept.file.flush()
            disk = shutil.disk_usage(tempfile.gettempdir())
        except OSError as error:
            raise _no_room(name, error.strerror) from error
        size += len(chunk)
        if disk.free < disk.total * LEFT_FREE:
            raise _no_room(name, f"after {size >> 20:,} MiB the disk is nearly full")
        if size >= noted:
            note(f"{name!r} is read to its end, and kept in {tempfile.gettempdir()!r} meanwhile: {size >> 20:,} MiB so far.")
            noted *= 2
        chunk = rest.read(CHUNK)
    return Source(name, kept.pieces)


def _no_room(name: str, why: str | None) -> UserError:
    return UserError(
        f"{name!r} can be read only once and is kept in {tempfile.gettempdir()!r} meanwhile, which fails ({why}): "
        "make room there, set TMPDIR to another folder, or put the text into a file and name that."
    )


def _nearest(path: Path) -> str:
    """A half sentence about the likeliest file, or about the folder that is none."""
    folder = path.absolute().parent
    if folder.is_file():
        return f": {str(path.parent)!r} is a file, not a folder."
    if not folder.is_dir():
        return f": there is no folder {str(path.parent)!r} either."
    near = difflib.get_close_matches(path.name, os.listdir(folder), n=1, cutoff=0.75)
    return f": did you mean {str(path.with_name(near[0]))!r}?" if near else f" in {str(folder)!r}: check the name."
