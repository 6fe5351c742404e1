"""Unpack: what compressed files and archives hold, a few MiB at a time, nothing of it written to a disk.

    t.gz .bz2 .xz .zst ──stream after stream──▶ one Source       every stream to its end, and nothing behind
    t.zip              ──members, by name─────▶ a Source each
    t.tar .tar.gz .tgz ──members, in order────▶ a Source each    regular files only; every header's checksum is checked

What is damaged ends in an error, never in a shorter text.
"""

import bz2
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from letterwise.data.reading import source
from letterwise.data.reading.source import DAMAGE, Source, damaged_archive, read

PACKED_STEP = 64 * 2**10  # compressed bytes taken at once
ZSTD_STEP = (
    4 * 2**10
)  # of zstandard, where one cannot ask for less than it unpacks: at most 128 KiB come out of every four bytes
TAR_ENDINGS = {".tgz": ".gz", ".tbz": ".bz2", ".tbz2": ".bz2", ".txz": ".xz", ".tzst": ".zst"}
BLOCK = tarfile.BLOCKSIZE
NO_CONTENT = (tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE)
LONGEST_NAME = 2**20  # bytes of a header that holds a long name

Pieces = Iterator[bytes]


def unpacked(path: Path) -> list[Source]:
    """What a file holds, by its ending: itself, or an archive's members. Their encoding is not known yet."""
    name, ending = str(path), path.suffix.lower()
    if ending == ".zip":
        return _zip_members(name)
    packed = TAR_ENDINGS.get(ending, ending)
    plain = partial(_streams, path, packed) if packed in STREAMS else partial(read, path)
    if ending == ".tar" or ending in TAR_ENDINGS or (packed in STREAMS and path.stem.lower().endswith(".tar")):
        return _tar_members(name, plain)
    return [Source(name, plain, file=path)]


def packed_by(name: str) -> str:
    """The ending by which a file's one content is unpacked; "" for others."""
    ending = Path(name).suffix
    return ending if ending.lower() in STREAMS else ""


def is_archive(path: Path) -> bool:
    """Whether a file holds others."""
    return len(path.suffixes) > 0 and (
        path.suffix.lower() in (".zip", ".tar", *TAR_ENDINGS)
        or (path.suffix.lower() in STREAMS and path.stem.lower().endswith(".tar"))
    )


def _gzip(stream: Any, packed: bytes) -> Pieces:
    while packed and not stream.eof:
        yield stream.decompress(packed, source.CHUNK)
        packed = stream.unconsumed_tail


def _bz2_or_xz(stream: Any, packed: bytes) -> Pieces:
    yield stream.decompress(packed, source.CHUNK)
    while not (stream.eof or stream.needs_input):
        yield stream.decompress(b"", source.CHUNK)


def _zst(stream: Any, packed: bytes) -> Pieces:
    import zstandard

    try:
        yield stream.decompress(packed)
    except zstandard.ZstdError as error:
        raise EOFError(str(error)) from error


def _new_zst() -> Any:
    import zstandard

    return zstandard.ZstdDecompressor().decompressobj()


STREAMS: dict[str, tuple[Callable[[], Any], Callable[[Any, bytes], Pieces], int]] = {  # and the unit of zeros allowed between
    ".gz": (partial(zlib.decompressobj, wbits=16 + zlib.MAX_WBITS), _gzip, 1),
    ".bz2": (bz2.BZ2Decompressor, _bz2_or_xz, 0),
    ".xz": (lzma.LZMADecompressor, _bz2_or_xz, 4),
    ".zst": (_new_zst, _zst, 0),
}


def _streams(path: Path, kind: str) -> Pieces:
    """The content of every stream of a file, one after the other; what stands behind one and is none is an error.

    Not by the standard library's readers (nor fsspec's), which take what follows a stream and is none for the end of the file.
    """
    new, drained, padding = STREAMS[kind]
    stream, zeros = new(), 0
    begun = False  # is there a byte of this stream yet?
    first = True
    with path.open("rb") as file:
        packed = b""
        while packed := packed or file.read(ZSTD_STEP if kind == ".zst" else PACKED_STEP):
            if not begun and not first and padding:
                rest = packed.lstrip(b"\0")
                zeros, packed = zeros + len(packed) - len(rest), rest
                if not packed:
                    continue
                _require_padding(zeros, padding)
            begun, zeros = True, 0
            yield from drained(stream, packed)
            packed = b""
            if stream.eof:
                packed, stream, begun, first = stream.unused_data, new(), False, False
    if begun or first:
        raise EOFError("it ends in the middle of a stream")
    _require_padding(zeros, padding)


def _require_padding(zeros: int, padding: int) -> None:
    if zeros and zeros % padding:
        raise EOFError(f"{zeros} zero bytes stand behind a stream")


class _Members:
    """An archive that is open while its members are read in order, and closed behind the last: of many, one is open."""

    def __init__(self, open_archive: Callable[[], Iterator[Pieces]], count: int) -> None:
        self.open_archive, self.count = open_archive, count
        self.going: Iterator[Pieces] | None = None
        self.next = 0

    def read(self, index: int) -> Pieces:
        """The bytes of one member. From the start of the archive again, if it is behind that one already."""
        if self.going is None or self.next > index:
            self.going, self.next = self.open_archive(), 0
        try:
            for content in self.going:
                self.next += 1
                if self.next == index + 1:
                    yield from content
                    return
            raise EOFError("it has fewer members than before")
        finally:
            if index == self.count - 1:
                self.going = None


def _zip_members(name: str) -> list[Source]:
    """Not through fsspec, which cannot open members whose name starts with a slash."""
    try:
        with zipfile.ZipFile(name) as archive:
            members = [member for member in archive.infolist() if not member.is_dir() and not _is_hidden(member.filename)]
    except DAMAGE as error:
        raise damaged_archive(name, error) from error
    members.sort(key=lambda member: member.filename)
    held = _Members(partial(_zip_contents, name, members), len(members))
    return [Source(f"{name}/{member.filename}", partial(held.read, i)) for i, member in enumerate(members)]


def _zip_contents(name: str, members: list[zipfile.ZipInfo]) -> Iterator[Pieces]:
    with zipfile.ZipFile(name) as archive:
        for member in members:
            yield _zip_content(archive, member)


def _zip_content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Pieces:
    with archive.open(member) as file:
        while chunk := file.read(source.CHUNK):
            yield chunk


def _tar_members(name: str, plain: Callable[[], Pieces]) -> list[Source]:
    """The regular files of an archive, in its order."""
    try:
        names = [member for member, _ in _tar_contents(plain())]
    except OSError as error:
        if error.errno is not None:
            raise
        raise damaged_archive(name, error) from error
    except DAMAGE as error:
        raise damaged_archive(name, error) from error
    held = _Members(lambda: (content for _, content in _tar_contents(plain())), len(names))
    return [Source(f"{name}/{member}", partial(held.read, i)) for i, member in enumerate(names)]


def _tar_contents(pieces: Pieces) -> Iterator[tuple[str, Pieces]]:
    """Name and bytes of each regular file that is not hidden. What its reader leaves is passed over.

    Not by `tarfile`, which takes a damaged header for the end of the archive.
    """
    rest, name, path_size = _Rest(pieces), "", dict[str, bytes]()
    while any(header := rest.exactly(BLOCK)):
        info = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        size = 0 if info.type in NO_CONTENT else int(path_size.get("size", info.size))
        if size < 0:
            raise EOFError(f"a member of {size} bytes")
        extended = header[482] if info.type == tarfile.GNUTYPE_SPARSE else 0
        while extended:
            extended = rest.exactly(BLOCK)[504]
        content = _Content(rest, size)
        if info.type in (tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE):
            if size > LONGEST_NAME:
                raise EOFError(f"a name of {size} bytes")
            extra = b"".join(content.read())
            if info.type == tarfile.GNUTYPE_LONGNAME:
                name = extra.rstrip(b"\0").decode("utf-8", "surrogateescape")
            else:
                path_size = _pax_records(extra)
        elif info.type != tarfile.XGLTYPE and info.type != tarfile.GNUTYPE_LONGLINK:
            own = path_size["path"].decode("utf-8", "surrogateescape") if "path" in path_size else name or info.name
            sparse = any(key.startswith("GNU.sparse") for key in path_size)
            if info.type in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE) and not sparse and not _is_hidden(own):
                yield own, content.read()
            name, path_size = "", {}
        content.skip()
    rest.require_zeros()


def _pax_records(header: bytes) -> dict[str, bytes]:
    """The records of an extended header: `LENGTH KEY=VALUE` and a line break, each."""
    records = {}
    while header:
        length, _, _ = header.partition(b" ")
        if not length.isdigit() or not len(length) < int(length) <= len(header):
            raise EOFError("a damaged extended header")
        record, header = header[len(length) + 1 : int(length) - 1], header[int(length) :]
        key, _, value = record.partition(b"=")
        records[key.decode("utf-8", "surrogateescape")] = value
    if not records.get("size", b"0").isdigit():
        raise EOFError("a damaged extended header")
    return records


class _Rest:
    """What has not been read yet."""

    def __init__(self, pieces: Pieces) -> None:
        self.pieces, self.held = pieces, memoryview(b"")

    def some(self, max_bytes: int) -> bytes:
        """At least one byte, at most `max_bytes`."""
        while not self.held:
            try:
                self.held = memoryview(next(self.pieces))
            except StopIteration:
                raise EOFError("it ends too soon") from None
        taken, self.held = bytes(self.held[:max_bytes]), self.held[max_bytes:]
        return taken

    def exactly(self, size: int) -> bytes:
        """`size` bytes."""
        taken = b""
        while len(taken) < size:
            taken += self.some(size - len(taken))
        return taken

    def require_zeros(self) -> None:
        """Behind an archive's end stand zeros only."""
        if any(self.held) or any(any(piece) for piece in self.pieces):
            raise EOFError("there is more behind its end")


@dataclass
class _Content:
    """The bytes of one member, and what fills up its last block."""

    rest: _Rest
    left: int

    def __post_init__(self) -> None:
        self.filling = -self.left % BLOCK

    def read(self) -> Pieces:
        """Those that have not been read."""
        while self.left:
            piece = self.rest.some(self.left)
            self.left -= len(piece)
            yield piece

    def skip(self) -> None:
        """Go to the end."""
        for _ in self.read():
            pass
        self.rest.exactly(self.filling)


def _is_hidden(member: str) -> bool:
    return any(part.startswith(".") and part.strip(".") for part in member.split("/"))
