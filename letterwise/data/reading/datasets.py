"""Data sets: texts by name.

python-docs, unicode-names               inside every Python: no download, no file; they differ by Python's version
shakespeare, text8, enwik8               downloaded once, checked, kept in the cache
"""

import hashlib
import io
import secrets
import shutil
import sys
import time
import unicodedata
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import IO, BinaryIO

from letterwise.atomic import replacing
from letterwise.errors import UserError
from letterwise.machine import cache_dir
from letterwise.progress import Note

NOTE_INTERVAL_S = 5.0  # between two notes of how far a download is


@dataclass(frozen=True)
class Dataset:
    """Where a text comes from. `percent` is the split that published figures use: training, validation, test."""

    make: Callable[[], str] | None = None
    url: str = ""
    algorithm: str = ""
    checksum: str = ""
    percent: tuple[int, int, int] | None = None


def python_docs() -> str:
    """The language reference that ships inside CPython, without the paragraphs that repeat: English prose about Python."""
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise UserError(
            "this Python comes without its language reference (python-docs): name a text with --input_file."
        ) from error
    paragraphs = (paragraph for name in sorted(topics) for paragraph in topics[name].strip("\n").split("\n\n"))
    return "\n\n".join(dict.fromkeys(paragraphs)) + "\n"


def unicode_names() -> str:
    """The names of characters, one to a line, in an order that looks random: a line-per-example text.

    Names that only spell a code point (CJK UNIFIED IDEOGRAPH-4E00) or a syllable's parts (HANGUL SYLLABLE GAG) are left out.
    """
    names = []
    for point in range(sys.maxunicode + 1):
        name = unicodedata.name(chr(point), "")
        if name and not name.endswith(f"{point:04X}") and not name.startswith("HANGUL SYLLABLE"):
            names.append(name)
    return "\n".join(sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())) + "\n"


DATASETS: dict[str, Dataset] = {
    "python-docs": Dataset(make=python_docs),
    "unicode-names": Dataset(make=unicode_names),
    "shakespeare": Dataset(
        url="https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        algorithm="sha256",
        checksum="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    ),
    "text8": Dataset(
        url="http://mattmahoney.net/dc/text8.zip",
        algorithm="md5",
        checksum="3bea1919949baf155f99411df5fada7e",
        percent=(90, 5, 5),
    ),
    "enwik8": Dataset(
        url="http://mattmahoney.net/dc/enwik8.zip",
        algorithm="md5",
        checksum="a1fa5ffddb56f4953e226637dabbb36a",
        percent=(90, 5, 5),
    ),
}


def dataset_text(name: str, note: Note) -> Callable[[], BinaryIO]:
    """A function that opens the text called `name`. Raises `UserError` when it must be downloaded and cannot."""
    dataset = DATASETS[name]
    if dataset.make is None:
        return partial(downloaded(name, note).open, "rb")
    content = _made(name)
    import platform

    digest = hashlib.sha256(content).hexdigest()[:16]
    note(f"{name}: the text inside Python {platform.python_version()}, sha256 {digest}…; other versions differ a little.")
    return lambda: io.BytesIO(content)


@cache
def _made(name: str) -> bytes:
    make = DATASETS[name].make
    assert make
    return make().encode()


def downloaded(name: str, note: Note) -> Path:
    """The checked file of a data set, fetched if it is not there. Raises `UserError` that says where to put it by hand."""
    path = cache_dir() / "datasets" / f"{name}.txt"
    try:
        if not path.exists():
            note(f"{name}: downloading {DATASETS[name].url}")
            _fetch(name, path, note)
        with path.open("rb") as file:
            _require_checksum(name, file, repr(str(path)), "Remove it, and try again.")
    except OSError as error:
        raise UserError(f"cannot read {str(path)!r}: {error.strerror}. Check the file and its permissions.") from error
    return path


class Download:
    """How far a download is, now and then: pooch's progress bar. `total` is what the server said, in bytes; 0 if nothing."""

    def __init__(self, name: str, note: Note) -> None:
        self.name, self.note = name, note
        self.total, self.received, self.noted_at = 0, 0, time.monotonic()

    def update(self, size: int) -> None:
        """So many bytes more."""
        self.received += size
        if time.monotonic() - self.noted_at >= NOTE_INTERVAL_S:
            self.noted_at = time.monotonic()
            whole = f" of {self.total / 1e6:.1f}" if self.received < self.total else ""
            self.note(f"{self.name}: {self.received / 1e6:.1f}{whole} MB …")

    def reset(self) -> None:
        """It is over: pooch then counts the whole once more."""
        self.received, self.noted_at = 0, float("inf")

    def close(self) -> None:
        """Nothing is open."""


def _fetch(name: str, path: Path, note: Note) -> None:
    """Put what a data set's address sends at `path`, unpacked, if it is the right thing."""
    import pooch

    dataset = DATASETS[name]
    fetched = path.with_name(f"{name}.download-{secrets.token_hex(8)}")  # two processes can have one number
    try:
        fetched.parent.mkdir(parents=True, exist_ok=True)
        pooch.HTTPDownloader(Download(name, note), chunk_size=2**16)(dataset.url, str(fetched), None)
        with _unpacked(fetched, name) as content:
            _require_checksum(name, content, f"what {dataset.url} sent", f"Try again, or put the right text at {str(path)!r}.")
        with _unpacked(fetched, name) as content, replacing(path) as file:
            shutil.copyfileobj(content, file)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:  # requests' errors are OSErrors
        raise UserError(
            f"{name!r} could not be downloaded from {dataset.url} ({type(error).__name__}): get it by other means, unpack it, "
            f"and put it at {str(path)!r} ({dataset.algorithm} {dataset.checksum})."
        ) from error
    finally:
        fetched.unlink(missing_ok=True)


def _unpacked(fetched: Path, name: str) -> IO[bytes]:
    return zipfile.ZipFile(fetched).open(name) if DATASETS[name].url.endswith(".zip") else fetched.open("rb")


def _require_checksum(name: str, content: IO[bytes], what: str, next_move: str) -> None:
    dataset = DATASETS[name]
    digest = hashlib.new(dataset.algorithm)
    while chunk := content.read(2**20):
        digest.update(chunk)
    if digest.hexdigest() != dataset.checksum:
        raise UserError(
            f"{what} is not {name}: its {dataset.algorithm} is {digest.hexdigest()}, not {dataset.checksum}. {next_move}"
        )
