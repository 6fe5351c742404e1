"""Just-in-time compilation: numba's `njit`, with a cache of our own and a clock that stands still meanwhile.

    function ──njit──▶ compiled when it is first called ──▶ folder()/NAME-KEY ──▶ loaded by the next process

KEY is a hash of all that the machine code depends on: the argument types, the processor, the versions of Python and numba, and
the sources of the function's module and of all modules of this package that it imports, directly or not. An entry begins with
its own checksum: a damaged one is removed, and the function compiled again. Where nothing can be kept, it works all the same.

An entry is machine code, and whoever writes it decides what runs. So only entries that belong to this user (or root), and that
nobody else may write, are loaded.
"""

import contextlib
import hashlib
import logging
import os
import pickle
import platform
import re
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any

import llvmlite
import numba
from numba.core import event as events
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.dispatcher import Dispatcher
from numba.core.serialize import dumps

from letterwise.machine import cache_dir

LOG = logging.getLogger("letterwise")  # a program that configures nothing shows warnings on stderr
SILENT_S, AGAIN_S = 0.5, 15.0  # so long nothing is said of compiling; so often it is said that it still goes on
UNUSED_S = 60 * 86_400  # an entry that was not loaded for so long is removed
CHECKSUM = 32
FOLDER = "NUMBA_CACHE_DIR"
IMPORTED = re.compile(r"^from (letterwise[\w.]*) import|^import (letterwise[\w.]*)", re.MULTILINE)


def njit(**options: Any) -> Callable[[FunctionType], Any]:
    """A decorator: `numba.njit` with these options, without Python's lock, kept in our cache."""

    def decorate(function: FunctionType) -> Any:
        compiled = numba.njit(nogil=True, **options)(function)
        if isinstance(compiled, Dispatcher):  # with NUMBA_DISABLE_JIT it is the function itself
            compiled._cache = Kept(function)
        return compiled

    return decorate


class Kept(NullCache):
    """What was compiled of one function, by the types of its arguments."""

    writable = True  # until it turns out that it is not

    def __init__(self, function: FunctionType) -> None:
        self.function = function

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """What an earlier process compiled for this signature; None if there is no whole entry."""
        target_context.refresh()
        path = self._path(sig, target_context.codegen())
        content = trusted(path) if path else None
        if path is None or content is None:
            return None
        try:
            payload = content[CHECKSUM:]
            if hashlib.sha256(payload).digest() != content[:CHECKSUM]:
                raise ValueError("damaged")
            found = CompileResult._rebuild(target_context, *pickle.loads(payload))
        except Exception:  # whatever a pickle may raise
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # it is still used
        return found

    def save_overload(self, sig: Any, cres: Any) -> None:
        """Keep it, if it can be kept."""
        path = self._path(sig, cres.library.codegen)
        if path is None or not Kept.writable or cres.library.has_dynamic_globals:
            return
        payload = dumps(cres._reduce())
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(path, hashlib.sha256(payload).digest() + payload)
            remove_unused(path.parent)
        except OSError as error:
            Kept.writable = False
            why = f"the compiled engine cannot be kept in {str(path.parent)!r} ({error.strerror or error})"
            LOG.warning("%s: the next start compiles it again. Set LETTERWISE_CACHE elsewhere.", why)

    def _path(self, sig: Any, codegen: Any) -> Path | None:
        """Where the entry is; None where the sources cannot be read, and nobody can say when an entry is out of date."""
        module, name = self.function.__module__, self.function.__qualname__
        sources = stamp(module)
        if not sources:
            return None
        settings = sorted(item for item in os.environ.items() if item[0].startswith("NUMBA_") and item[0] != FOLDER)
        versions = platform.python_version(), numba.__version__, llvmlite.__version__
        line = self.function.__code__.co_firstlineno
        facts = repr((versions, settings, codegen.magic_tuple(), sources, name, line, str(sig)))
        key = hashlib.sha256(facts.encode()).hexdigest()[:32]
        return folder() / f"{module.rpartition('.')[2]}.{re.sub('[<>]', '', name)}-{key}"


def folder() -> Path:
    """Where entries are kept, in $NUMBA_CACHE_DIR or our cache: a folder for each user, as none loads another's."""
    where = Path(named) if (named := os.environ.get(FOLDER)) else cache_dir()
    return where / (f"compiled-{os.getuid()}" if hasattr(os, "getuid") else "compiled")


@cache
def stamp(module: str) -> str:
    """A hash of a module's sources; "" where one cannot be read."""
    try:
        found = sources_of(module)
    except OSError:
        return ""
    parts = [hashlib.sha256(content).hexdigest() for _, content in sorted(found.items())]
    return hashlib.sha256(repr(parts).encode()).hexdigest() if found else ""


def sources_of(module: str) -> dict[str, bytes]:
    """The sources of a module and of all that it imports of this package, directly or not, by name."""
    found: dict[str, bytes] = {}
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
    """A file's content, if it is this user's or root's and nobody else may write it."""
    try:
        with path.open("rb") as file:
            facts = os.fstat(file.fileno())
            foreign = hasattr(os, "geteuid") and facts.st_uid not in (os.geteuid(), 0)
            return None if foreign or facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH) else file.read()
    except OSError:
        return None


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, for this user only, whole or not at all. It need not outlast a power cut: it has a checksum."""
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix="new-")
    try:
        with open(handle, "wb") as file:
            file.write(content)
        os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise


def remove_unused(where: Path) -> None:
    """Remove entries of earlier versions, and what killed processes left."""
    for path in where.iterdir():
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > UNUSED_S:
                path.unlink()


class Compilation(events.Listener):
    """How long functions of this package have been compiled in this process. Says so where it takes long."""

    def __init__(self) -> None:
        self.depth, self.seconds, self.began = 0, 0.0, 0.0
        self.over, self.said = threading.Event(), False

    def on_start(self, event: Any) -> None:
        """Numba begins to compile a function; perhaps for another one that it is compiling."""
        if not self._ours(event):
            return
        self.depth += 1
        if self.depth == 1:
            self.began, self.over = time.monotonic(), threading.Event()
            threading.Thread(target=self._report, args=(self.over,), name="letterwise-compiling", daemon=True).start()

    def on_end(self, event: Any) -> None:
        """It is compiled, or failed."""
        if not self._ours(event):
            return
        self.depth -= 1
        if self.depth == 0:
            self.over.set()
            self.seconds += time.monotonic() - self.began

    def so_far(self) -> float:
        """Seconds spent compiling, up to now."""
        return self.seconds + (time.monotonic() - self.began if self.depth else 0.0)

    @staticmethod
    def _ours(event: Any) -> bool:
        return isinstance(event.data["dispatcher"]._cache, Kept)

    def _report(self, over: threading.Event) -> None:
        if over.wait(max(0.0, SILENT_S - self.seconds)):
            return
        if not self.said:
            self.said = True
            LOG.warning("compiling the engine for this processor, once: it takes about ten seconds, longer on a busy machine …")
        while not over.wait(AGAIN_S):
            LOG.warning("still compiling, for %.0f s now …", self.so_far())


COMPILATION = Compilation()
events.register("numba:compile", COMPILATION)


def clock() -> float:
    """`time.monotonic`, standing still while functions are compiled: what a user's minutes and seconds are measured with."""
    return time.monotonic() - COMPILATION.so_far()
