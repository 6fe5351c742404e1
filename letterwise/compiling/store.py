"""Store: what was compiled, on disk, for the next process.

    entry (bytes) ──write──▶ folder()/NAME-KEY ──read──▶ the same bytes, or None

An entry begins with its own checksum: a damaged one is removed. Its key holds a hash of all sources that it depends on: so it
is never out of date. An entry is machine code, and whoever writes it, or gives it another's name, decides what runs. So only
entries are read that belong to this user (or root), as their folder does, and nobody else may write either.
"""

import contextlib
import errno
import hashlib
import importlib.util
import logging
import os
import re
import stat
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

from letterwise.machine import cache_dir

LOG = logging.getLogger("letterwise")
UNUSED_S = 60 * 86_400  # an entry that was not read for so long is removed
CHECKSUM = 32
AS_IT_IS = sum(getattr(os, flag, 0) for flag in ("O_BINARY", "O_NOFOLLOW", "O_NONBLOCK"))  # no link, and no wait for a pipe
writable = True  # until it turns out that it is not
FOLDER = "NUMBA_CACHE_DIR"
IMPORTED = re.compile(r"^from (letterwise[\w.]*) import|^import (letterwise[\w.]*)", re.MULTILINE)


def folder() -> Path:
    """Where entries are kept, in $NUMBA_CACHE_DIR or our cache: a folder for each user, as none loads another's."""
    where = Path(named) if (named := os.environ.get(FOLDER)) else cache_dir()
    return where / (f"compiled-{os.getuid()}" if hasattr(os, "getuid") else "compiled")


def read(path: Path) -> bytes | None:
    """An entry; None where there is none that may be trusted."""
    content = trusted(path)
    if content is None:
        return None
    if hashlib.sha256(content[CHECKSUM:]).digest() != content[:CHECKSUM]:
        remove(path)
        return None
    with contextlib.suppress(OSError):  # of a folder that can only be read, nothing is removed
        os.utime(path)  # it is still used
    return content[CHECKSUM:]


def write(path: Path, entry: bytes) -> None:
    """Keep an entry. Raises `OSError` where that cannot be, or others could change it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not is_private(path.parent.stat()):
        raise PermissionError(errno.EPERM, "others may write there")
    write_whole(path, hashlib.sha256(entry).digest() + entry)
    remove_unused(path.parent)


def keep(path: Path, entry: bytes) -> bool:
    """Keep an entry, if that can be. Where it cannot, that is logged, once, and not tried again."""
    global writable
    try:
        if writable:
            write(path, entry)
    except OSError as error:
        writable = False
        why = f"the compiled engine cannot be kept in {str(path.parent)!r} ({error.strerror or error})"
        LOG.warning("%s: the next start compiles it again. Set LETTERWISE_CACHE elsewhere.", why)
    return writable


def remove(path: Path) -> None:
    """Remove an entry that is of no use."""
    with contextlib.suppress(OSError):  # it is gone, or may not be changed: it is not read all the same
        path.unlink()


@cache
def stamp(module: str) -> str:
    """A hash of a module's sources, and of what compiles it; "" where one cannot be read."""
    try:
        found = sources_of(module)
        numba = getattr(importlib.util.find_spec("numba"), "origin", None) or ""  # it is not loaded for that
        for path in (Path(__file__).with_name("compiler.py"), Path(numba).with_name("_version.py")):
            found[path.name] = path.read_bytes()
    except OSError:
        return ""
    parts = [hashlib.sha256(content).hexdigest() for _, content in sorted(found.items())]
    return hashlib.sha256(repr(parts).encode()).hexdigest() if found else ""


def sources_of(module: str) -> dict[str, bytes]:
    """The sources of a module and of all that it imports of this package, directly or not, by name."""
    found = dict[str, bytes]()
    ahead = [module]
    while ahead:
        name = ahead.pop()
        path = getattr(sys.modules.get(name), "__file__", None)
        if name in found or path is None:  # what was never imported is no module, or stands under TYPE_CHECKING
            continue
        found[name] = Path(path).read_bytes()
        ahead += [left or right for left, right in IMPORTED.findall(found[name].decode())]
    return found


def trusted(path: Path) -> bytes | None:
    """A file's content, if nobody but this user and root may write it, or put another in its place."""
    try:
        with open(os.open(path, os.O_RDONLY | AS_IT_IS), "rb") as file:
            facts = os.fstat(file.fileno())
            trusty = stat.S_ISREG(facts.st_mode) and is_private(facts) and is_private(path.parent.stat())
            return file.read() if trusty else None
    except OSError:
        return None


def is_private(facts: os.stat_result) -> bool:
    """Whether what these facts are about is this user's or root's, and nobody else may write it."""
    foreign = hasattr(os, "geteuid") and facts.st_uid not in (os.geteuid(), 0)
    return not foreign and not facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, for this user only, whole or not at all. It need not outlast a power cut: it has a checksum."""
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix="new-")
    try:
        with open(handle, "wb") as file:
            file.write(content)
        os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):  # what went wrong before is said
            os.unlink(beside)
        raise


def remove_unused(where: Path) -> None:
    """Remove entries of earlier versions, and what killed processes left."""
    for path in where.iterdir():
        with contextlib.suppress(OSError):  # another process was faster
            if time.time() - path.stat().st_mtime > UNUSED_S:
                path.unlink()
