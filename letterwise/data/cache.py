"""Cache: encoded texts on disk, an entry each.

    write_entry: a folder made beside ──rename──▶ streams/FINGERPRINT/{ids.bin, meta.json} ──read_entry──▶ TokenStream, or None

An entry is complete and agrees with its checksum and with itself, or it is not used; nor is a cache that others can write. Of a
large one, that is not looked at again as long as nobody writes to it. A large one that is begun stays for who goes on with it.
"""

import atexit
import contextlib
import json
import os
import shutil
import stat
import tempfile
import time
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from letterwise.atomic import sync_directory, write_bytes
from letterwise.data.reading.source import CHUNK
from letterwise.data.reading.unchanged import LARGE, identity, settled
from letterwise.data.token_stream import TokenStream
from letterwise.data.vocabulary import CODE_POINTS, Tally, Vocabulary
from letterwise.errors import UserError
from letterwise.machine import cache_dir
from letterwise.progress import Note

VERSION = 1
A_DAY_S = 86_400
LOCK, CHECKED = ".lock", "checked.json"  # beside ids: who is writing them; and that they were found sound


@dataclass(frozen=True)
class Meaning:
    """What the ids of an entry mean. With `oov`, there may be ids of V and more: characters that the vocabulary lacks.

    `tally` is kept where some were skipped.
    """

    vocabulary: Vocabulary
    bounds: tuple[int, ...]
    sources: tuple[str, ...]
    lines: bool
    oov: bool
    tally: Tally = field(default_factory=Tally)

    def to_json(self) -> dict[str, Any]:
        """Plain containers."""
        return {
            "version": VERSION,
            "vocabulary": self.vocabulary.to_json(),
            "bounds": self.bounds,
            "sources": self.sources,
            "lines": self.lines,
            **({"strangers": True} if self.oov else {}),
            **({"skipped": self.tally.skipped, "read": self.tally.read} if self.tally.skipped else {}),
        }


def reopen(fingerprint: str, note: Note = lambda text: None, *, oov: bool = False) -> TokenStream | None:
    """The text cached under a fingerprint; None when there is none, or it is damaged.

    Only where `oov` is asked for, ids of V and more may be in it.
    """
    folder = trusted_folder(note)
    return read_entry(folder / fingerprint, oov=oov) if folder else None


def write_entry(
    fingerprint: str, write: Callable[[Path], tuple[int, Meaning]], note: Note, *, large: bool = False
) -> TokenStream:
    """Make an entry: `write` puts ids.bin into the folder that it is given, and returns their crc32 and meaning.

    Where it is `large`, that is the folder of one who began it and was killed.

    Raises `UserError` where the cache cannot be written.
    """
    with ExitStack() as held:
        place, beside = _place_for(fingerprint, note)
        if large and beside != place and _locked(begun_folder(fingerprint), held):
            beside.rmdir()
            beside = begun_folder(fingerprint)
        return _write_entry(place, beside, write, fingerprint)


def begun_folder(fingerprint: str) -> Path:
    """Where a large entry is made."""
    return cache_dir() / "streams" / f"{fingerprint}.tmp-begun"


def _locked(folder: Path, held: ExitStack) -> bool:
    """Whether nobody else is making the entry in this folder; then nobody will, as long as it is `held`."""
    from filelock import FileLock, Timeout

    folder.mkdir(mode=0o700, exist_ok=True)
    try:
        held.enter_context(FileLock(folder / LOCK).acquire(blocking=False))
    except (Timeout, OSError):
        return False
    return (folder / LOCK).exists()  # or else it has just been finished


def _write_entry(place: Path, beside: Path, write: Callable[[Path], tuple[int, Meaning]], fingerprint: str) -> TokenStream:
    """Make an entry in the folder `beside`, which then comes to its place."""
    try:
        ids_crc32, meaning = write(beside)
        facts = meaning.to_json()
        crc32, written = entry_crc32(ids_crc32, facts), identity(beside / "ids.bin")
        write_bytes(beside / "meta.json", json.dumps({**facts, "crc32": crc32}).encode())
        if written and written[2] >= LARGE:  # its checksum is of what was written: it need not be read for that
            write_bytes(beside / CHECKED, json.dumps([*written, crc32]).encode())
        (beside / LOCK).unlink(missing_ok=True)
        if beside != place:
            _publish(beside, place, meaning)
            shutil.rmtree(beside, ignore_errors=True)
    except BaseException as error:
        wrong = isinstance(error, OSError | UserError)
        if beside != place and (wrong or beside != begun_folder(fingerprint)):
            shutil.rmtree(beside, ignore_errors=True)
        if not isinstance(error, OSError):
            raise
        raise UserError(
            f"cannot write to the cache {str(place.parent)!r}: {error.strerror}. Set LETTERWISE_CACHE elsewhere."
        ) from error
    made = read_entry(place, fingerprint, oov=meaning.oov)
    assert made
    return made


def read_entry(place: Path, fingerprint: str | None = None, *, oov: bool = False) -> TokenStream | None:
    """The entry at `place`, if it is all there and nothing in it has changed."""
    try:
        facts: dict[str, Any] = json.loads((place / "meta.json").read_bytes())
        crc32 = facts.pop("crc32")
        vocabulary = Vocabulary.from_json(facts["vocabulary"])
        if facts["version"] != VERSION or facts.get("strangers", False) is not oov:
            return None
        found, checked = identity(place / "ids.bin"), _checked(place)
        if not found or checked != [*found, crc32]:
            ids_crc32, highest = scanned(place / "ids.bin", vocabulary.stored_dtype(oov))
            if entry_crc32(ids_crc32, facts) != crc32 or highest >= len(vocabulary) + CODE_POINTS * oov:
                return None
            if found and found == identity(place / "ids.bin") and settled(found) and found[2] >= LARGE:
                with contextlib.suppress(OSError, UserError):  # a cache that can only be read is used all the same
                    write_bytes(place / CHECKED, json.dumps([*found, crc32]).encode())
        ids = np.memmap(place / "ids.bin", vocabulary.stored_dtype(oov), mode="r")
        sources, lines = tuple(facts["sources"]), facts.get("lines", False)
        tally = Tally(facts.get("read", len(ids)), facts.get("skipped", 0))
        bounds = tuple(facts["bounds"])
        stream = TokenStream(ids, vocabulary, fingerprint or place.name, bounds, sources, place, lines, tally)
        return stream if _consistent(stream) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, UserError):
        return None


def trusted_folder(note: Note = lambda text: None) -> Path | None:
    """The folder of entries, if there is one that nobody else can write to. What is in it is believed."""
    folder = cache_dir() / "streams"
    try:
        there = folder.stat()
    except (OSError, ValueError):
        return None
    if os.name == "posix" and (there.st_uid not in (0, os.geteuid()) or there.st_mode & (stat.S_IWGRP | stat.S_IWOTH)):
        whose = "belongs to somebody else" if there.st_uid not in (0, os.geteuid()) else "can be written by others"
        note(f"the cache {str(folder)!r} {whose}, and is not used: set LETTERWISE_CACHE to a folder of your own.")
        return None
    return folder


def made_folder() -> Path | None:
    """`trusted_folder`, which is made where there is none yet; None where that cannot be."""
    folder = cache_dir() / "streams"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)  # private to its user: what is in it is believed
    except (OSError, ValueError):
        return None
    return trusted_folder()


def entry_crc32(ids_crc32: int, facts: dict[str, Any]) -> int:
    """The checksum of ids and of the facts about them."""
    return zlib.crc32(json.dumps(facts).encode(), ids_crc32)


def file_crc32(path: Path) -> int:
    """crc32 of a file."""
    return scanned(path, np.dtype(np.uint8))[0]


def scanned(path: Path, dtype: np.dtype[Any]) -> tuple[int, int]:
    """crc32 of a file of numbers, and the highest. Read and not mapped: what is mapped counts as this process's memory."""
    crc32 = highest = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            crc32 = zlib.crc32(chunk, crc32)
            highest = max(highest, int(np.frombuffer(chunk, dtype).max()))
    return crc32, highest


def _checked(place: Path) -> Any:
    """Which ids were found sound in an entry: their file's identity, and the entry's checksum."""
    try:
        return json.loads((place / CHECKED).read_bytes())
    except (OSError, ValueError):
        return None


def _place_for(fingerprint: str, note: Note) -> tuple[Path, Path]:
    """Where an entry is to lie, and where it is made: beside it, or in a temporary folder that both are."""
    try:
        folder = cache_dir() / "streams"
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)  # private to its user: what is in it is believed
        if trusted_folder():
            return folder / fingerprint, Path(tempfile.mkdtemp(prefix=f"{fingerprint[:16]}.tmp-", dir=folder))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        note(f"the cache {str(cache_dir())!r} cannot be written ({reason}): ids are kept for this run only.")
    try:
        beside = Path(tempfile.mkdtemp(prefix="letterwise-"))
    except OSError as error:
        raise UserError(f"no temporary folder can be made ({error.strerror}): make room, or set TMPDIR elsewhere.") from error
    atexit.register(shutil.rmtree, beside, ignore_errors=True)
    return beside, beside


def _publish(beside: Path, place: Path, meaning: Meaning) -> None:
    """Put a finished entry in its place; another process may have been faster, or have left a damaged one."""
    if place.exists() and not _is_sound(place, meaning):
        aside = beside.with_name(f"{beside.name}-damaged")
        with contextlib.suppress(FileNotFoundError):  # another process did this
            os.rename(place, aside)
        shutil.rmtree(aside, ignore_errors=True)
    try:
        os.rename(beside, place)
    except OSError:
        if not _is_sound(place, meaning):
            raise
    sync_directory(place.parent)
    for leftover in place.parent.glob("*.tmp-*"):  # of processes that were killed
        with contextlib.suppress(FileNotFoundError):  # another process did this
            if time.time() - leftover.stat().st_mtime > A_DAY_S:
                shutil.rmtree(leftover, ignore_errors=True)


def _is_sound(place: Path, meaning: Meaning) -> bool:
    """Whether a sound entry in these characters lies there."""
    stream = read_entry(place, oov=meaning.oov)
    return stream is not None and stream.vocabulary == meaning.vocabulary


def _consistent(stream: TokenStream) -> bool:
    """Whether a text is what it claims. A checksum keeps accidents out; what compiled code is given is checked by itself."""
    bounds, ids, line_break = stream.bounds, stream.ids, stream.line_break
    if len(bounds) != 3 or any(type(bound) is not int for bound in bounds) or type(stream.lines) is not bool:
        return False
    if not 0 <= bounds[0] <= bounds[1] <= bounds[2] == len(ids) or not all(isinstance(name, str) for name in stream.sources):
        return False
    if any(type(count) is not int or count < 0 for count in (stream.tally.read, stream.tally.skipped)):
        return False
    return not stream.lines or (line_break is not None and all(ids[max(0, bound - 1)] == line_break for bound in (0, *bounds)))
