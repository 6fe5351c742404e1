"""Data sets: texts by name.

python-docs, unicode-names               inside every Python: no download, no file; they differ by Python's version
shakespeare, text8, enwik8               downloaded once, checked, kept in the cache
"""

import hashlib
import io
import logging
import os
import unicodedata
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import BinaryIO

from letterwise.atomic import write_bytes
from letterwise.errors import UserError

Note = Callable[[str], None]


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
    from pydoc_data.topics import topics

    paragraphs = (paragraph for name in sorted(topics) for paragraph in topics[name].strip("\n").split("\n\n"))
    return "\n\n".join(dict.fromkeys(paragraphs)) + "\n"


def unicode_names() -> str:
    """The names of characters, one to a line, in an order that looks random: a line-per-example text.

    Names that only spell a code point (CJK UNIFIED IDEOGRAPH-4E00) or a syllable's parts (HANGUL SYLLABLE GAG) are left out.
    """
    names = []
    for point in range(0x110000):
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


def cache_dir() -> Path:
    """Where ids and downloads are kept: $LETTERWISE_CACHE, else the user's cache folder."""
    if named := os.environ.get("LETTERWISE_CACHE"):
        return Path(named)
    import platformdirs

    return Path(platformdirs.user_cache_dir("letterwise"))


def dataset_text(name: str, note: Note) -> Callable[[], BinaryIO]:
    """A function that opens the text called `name`. Raises `UserError` when it must be downloaded and cannot."""
    dataset = DATASETS[name]
    if dataset.make is None:
        return partial(downloaded(name, note).open, "rb")
    content = _made(name)
    import platform

    told = hashlib.sha256(content).hexdigest()[:16]
    note(f"{name}: the text inside Python {platform.python_version()}, sha256 {told}…; other versions differ a little.")
    return lambda: io.BytesIO(content)


@cache
def _made(name: str) -> bytes:
    make = DATASETS[name].make
    assert make
    return make().encode()


def downloaded(name: str, note: Note) -> Path:
    """The checked file of a data set, fetched if it is not there. Raises `UserError` that says where to put it by hand."""
    dataset, path = DATASETS[name], cache_dir() / "datasets" / f"{name}.txt"
    if not path.exists():
        note(f"{name}: downloading {dataset.url}")
        content = _fetch(name, path)
        _require_checksum(name, content, f"what {dataset.url} sent")
        write_bytes(path, content)
    else:
        _require_checksum(name, path.read_bytes(), repr(str(path)))
    return path


def _fetch(name: str, path: Path) -> bytes:
    """The unpacked bytes at a data set's address."""
    dataset = DATASETS[name]
    try:
        import pooch

        pooch.get_logger().setLevel(logging.ERROR)
        fetched = Path(pooch.retrieve(dataset.url, known_hash=None, path=path.parent, fname=f"{name}.download"))
        try:
            if not dataset.url.endswith(".zip"):
                return fetched.read_bytes()
            with zipfile.ZipFile(fetched) as archive:
                return archive.read(name)
        finally:
            fetched.unlink()
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:  # requests' errors are OSErrors
        raise UserError(
            f"{name!r} could not be downloaded from {dataset.url} ({type(error).__name__}): get it by other means, unpack it, "
            f"and put it at {str(path)!r} ({dataset.algorithm} {dataset.checksum})."
        ) from error


def _require_checksum(name: str, content: bytes, what: str) -> None:
    dataset = DATASETS[name]
    told = hashlib.new(dataset.algorithm, content).hexdigest()
    if told != dataset.checksum:
        raise UserError(
            f"{what} is not {name}: its {dataset.algorithm} is {told}, not {dataset.checksum}. Remove it, and try again."
        )
