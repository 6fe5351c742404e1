"""Cache: prepared texts in the cache, and what makes them believed.

    a folder made beside ──move──▶ streams/FINGERPRINT/{ids.bin, meta.json} ──reopen──▶ TokenStream, or None

An entry is complete and agrees with its checksum and with itself, or it is not used; nor is a cache that others can write.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from letterwise.atomic import sync_directory
from letterwise.data.reading.source import CHUNK
from letterwise.data.vocabulary import CODE_POINTS, Vocabulary
from letterwise.errors import UserError
from letterwise.machine import cache_dir
from letterwise.progress import Note

VERSION = 1
PARTS = ("all", "train", "val", "test")
A_DAY_S = 86_400


@dataclass(frozen=True)
class TokenStream:
    """A prepared text: read-only ids (N,), and where its parts end: training, validation, test.

    `sources` are what it was made from: absolute paths, "-", or "dataset:NAME". `folder` is where the ids lie. With `lines`,
    each line is an example, whole and with its line break in one part, and each part begins with the line break before its
    first line, which it shares.
    """

    ids: np.ndarray
    vocabulary: Vocabulary
    fingerprint: str
    bounds: tuple[int, int, int]
    sources: tuple[str, ...]
    folder: Path
    lines: bool = False

    @property
    def line_break(self) -> int | None:
        """The id that each example begins after, where they are lines."""
        return self.vocabulary.line_break if self.lines else None

    def part(self, name: str) -> np.ndarray:
        """A part's ids, as a view; may be empty. Raises `UserError` for a name that is none."""
        train, val, test = self.bounds
        spans = {"all": (0, test), "train": (0, train), "val": (train, val), "test": (val, test)}
        if name not in spans:
            raise UserError(f"split {name!r} is not known: it is one of {', '.join(PARTS)}.")
        start, end = spans[name]
        return self.ids[max(0, start - self.lines) : end]


def reopen(fingerprint: str, note: Note = lambda text: None, *, strangers: bool = False) -> TokenStream | None:
    """The text kept under a fingerprint; None when there is none, or it is damaged.

    Only where `strangers` are asked for, ids of V and more may be in it.
    """
    folder = kept_texts(note)
    return open_kept(folder / fingerprint, strangers=strangers) if folder else None


def kept_texts(note: Note = lambda text: None) -> Path | None:
    """The folder of kept texts, if there is one that nobody else can write to. What is in it is believed."""
    folder = cache_dir() / "streams"
    try:
        there = folder.stat()
    except (OSError, ValueError):
        return None
    if os.name == "posix" and (there.st_uid not in (0, os.geteuid()) or there.st_mode & stat.S_IWOTH):
        whose = "belongs to somebody else" if there.st_uid not in (0, os.geteuid()) else "can be written by everybody"
        note(f"the cache {str(folder)!r} {whose}, and is not used: set LETTERWISE_CACHE to a folder of your own.")
        return None
    return folder


def place_for(fingerprint: str, note: Note) -> tuple[Path, Path]:
    """Where an entry is to lie, and where it is made: beside it, or in a temporary folder that both are."""
    try:
        folder = cache_dir() / "streams"
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)  # private to its user: what is in it is believed
        if kept_texts():
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


def kept_dtype(vocabulary: Vocabulary, strangers: bool) -> np.dtype[Any]:
    """Of the ids that are kept: where characters that the vocabulary lacks have one, too, it must hold more."""
    return np.dtype(np.uint32) if strangers and vocabulary.kind == "char" else vocabulary.dtype


def move(beside: Path, place: Path, vocabulary: Vocabulary, strangers: bool) -> None:
    """Put a finished entry in its place; another process may have been faster, or have left a damaged one."""
    if place.exists() and not _holds(place, vocabulary, strangers):
        aside = beside.with_name(f"{beside.name}-damaged")
        with contextlib.suppress(FileNotFoundError):  # another process did this
            os.rename(place, aside)
        shutil.rmtree(aside, ignore_errors=True)
    try:
        os.rename(beside, place)
    except OSError:
        if not _holds(place, vocabulary, strangers):
            raise
    sync_directory(place.parent)
    for leftover in place.parent.glob("*.tmp-*"):  # of processes that were killed
        with contextlib.suppress(FileNotFoundError):
            if time.time() - leftover.stat().st_mtime > A_DAY_S:
                shutil.rmtree(leftover, ignore_errors=True)


def _holds(place: Path, vocabulary: Vocabulary, strangers: bool) -> bool:
    """Whether a sound entry in these characters lies there."""
    kept = open_kept(place, strangers=strangers)
    return kept is not None and kept.vocabulary == vocabulary


def open_kept(place: Path, fingerprint: str | None = None, strangers: bool = False) -> TokenStream | None:
    """The entry at `place`, if it is all there and nothing in it has changed."""
    try:
        facts: dict[str, Any] = json.loads((place / "meta.json").read_bytes())
        seal = facts.pop("crc32")
        if facts["version"] != VERSION or sealed(checksum_of(place / "ids.bin"), facts) != seal:
            return None
        vocabulary = Vocabulary.from_json(facts["vocabulary"])
        if facts.get("strangers", False) is not strangers:
            return None
        ids = np.memmap(place / "ids.bin", kept_dtype(vocabulary, strangers), mode="r")
        sources, lines = tuple(facts["sources"]), facts.get("lines", False)
        made = TokenStream(ids, vocabulary, fingerprint or place.name, tuple(facts["bounds"]), sources, place, lines)
        return made if _agrees(made, CODE_POINTS if strangers else 0) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, UserError):
        return None


def _agrees(kept: TokenStream, strangers: int) -> bool:
    """Whether a text is what it claims. A checksum keeps accidents out; what compiled code is given is checked by itself."""
    bounds, ids, line_break = kept.bounds, kept.ids, kept.line_break
    if len(bounds) != 3 or any(type(bound) is not int for bound in bounds) or type(kept.lines) is not bool:
        return False
    if not 0 <= bounds[0] <= bounds[1] <= bounds[2] == len(ids) or not all(isinstance(name, str) for name in kept.sources):
        return False
    if kept.lines and (line_break is None or any(ids[max(0, bound - 1)] != line_break for bound in (0, *bounds))):
        return False
    size = len(kept.vocabulary) + strangers
    chunks = (ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK))
    return size > np.iinfo(ids.dtype).max or all(int(chunk.max()) < size for chunk in chunks)


def sealed(checksum: int, facts: dict[str, Any]) -> int:
    """The checksum of ids and of the facts about them."""
    return zlib.crc32(json.dumps(facts).encode(), checksum)


def checksum_of(path: Path) -> int:
    """crc32 of a file, read and not mapped: what is mapped counts as this process's memory."""
    told = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            told = zlib.crc32(chunk, told)
    return told
