"""Just-in-time compilation: numba's `njit`, with a cache of our own, and a clock that stops meanwhile.

    function ──njit──▶ compiled when it is first called ──store──▶ loaded by the next process

What is kept does without what only a compiler needs: numba's own modules, which its machine code names, and LLVM's code of a
function that no other one calls.

The key of a cache entry (store.py) is a hash of all that the machine code depends on: the argument types, the processor, the
versions of Python and numba, and the sources of the function's module and of all modules of this package that it imports,
directly or not. Where nothing can be kept, it works all the same.
"""

import hashlib
import logging
import os
import pickle
import platform
import re
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import FunctionType
from typing import Any

import llvmlite
import llvmlite.binding as llvm
import numba
from numba.core import event as events
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.dispatcher import Dispatcher
from numba.core.runtime import rtsys
from numba.core.serialize import dumps

from letterwise.compiling import store
from letterwise.compiling.signals import held_back

LOG = logging.getLogger("letterwise")  # a program that configures nothing shows warnings on stderr
SILENT_S, AGAIN_S = 0.5, 15.0  # no message before; then one every so many seconds


def njit(*, linked: bool = True, **options: Any) -> Callable[[FunctionType], Any]:
    """A decorator: `numba.njit` with these options, without Python's lock, kept in our cache. The first call waits for it.

    `linked`: other compiled functions may call it, too.

    What must not wait is an `entry.entry`. Here stays what goes through a whole text, to compress it, to learn from it or to
    find what it copies: before Python had done that, it would be compiled.
    """

    def decorate(function: FunctionType) -> Any:
        compiled = numba.njit(nogil=True, **options)(function)
        if isinstance(compiled, Dispatcher):  # with NUMBA_DISABLE_JIT it is the function itself
            compiled._cache = DiskCache(function, linked)
        return compiled

    return decorate


class DiskCache(NullCache):
    """Machine code of one function, by the types of its arguments."""

    writable = True  # until it turns out that it is not

    def __init__(self, function: FunctionType, linked: bool) -> None:
        self.function, self.linked = function, linked
        self.unsaved = b""  # an entry that could not be kept, or that came from the process which compiled it

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """What another process compiled for this signature; None if there is no whole entry."""
        path = self.path(sig, target_context.codegen())
        if path is None:
            return None
        if self.unsaved:
            self._keep(path, self.unsaved)
        entry, self.unsaved = store.read(path) or self.unsaved, b""
        if not entry:
            return None
        try:
            with held_back():
                rtsys.initialize(target_context)  # what machine code may call; numba would load all it compiles with, besides
                return CompileResult._rebuild(target_context, *pickle.loads(entry))
        except Exception:  # whatever a pickle may raise
            store.remove(path)
            return None

    def save_overload(self, sig: Any, cres: Any) -> None:
        """Keep it, if it can be kept."""
        path = self.path(sig, cres.library.codegen)
        if path is not None and not cres.library.has_dynamic_globals:
            library, *facts, environments = cres._reduce()
            ours = tuple(each for each in environments if not each.globals["__name__"].startswith("numba."))
            self.unsaved = dumps((library if self.linked else without_bitcode(*library), *facts, ours))
            self._keep(path, self.unsaved)

    def _keep(self, path: Path, entry: bytes) -> None:
        """On disk, and no more in memory."""
        if not DiskCache.writable:
            return
        try:
            store.write(path, entry)
            self.unsaved = b""
        except OSError as error:
            DiskCache.writable = False
            why = f"the compiled engine cannot be kept in {str(path.parent)!r} ({error.strerror or error})"
            LOG.warning("%s: the next start compiles it again. Set LETTERWISE_CACHE elsewhere.", why)

    def path(self, sig: Any, codegen: Any) -> Path | None:
        """Where the entry is; None where the sources cannot be read, and nobody can say when an entry is out of date."""
        module, name = self.function.__module__, self.function.__qualname__
        sources = store.stamp(module)
        if not sources:
            return None
        settings = sorted(item for item in os.environ.items() if item[0].startswith("NUMBA_") and item[0] != store.FOLDER)
        versions = platform.python_version(), numba.__version__, llvmlite.__version__
        line = self.function.__code__.co_firstlineno
        facts = repr((versions, settings, codegen.magic_tuple(), sources, name, line, str(sig)))
        key = hashlib.sha256(facts.encode()).hexdigest()[:32]
        return store.folder() / f"{module.rpartition('.')[2]}.{re.sub('[<>]', '', name)}-{key}"


def without_bitcode(name: str, kind: str, code: tuple[bytes, bytes]) -> tuple[str, str, tuple[bytes, bytes]]:
    """A library as numba keeps it, with what LLVM would link into callers reduced to its names, by which numba finds symbols.

    To read all of it takes as long as to load the machine code.
    """
    machine_code, bitcode = code
    module = llvm.parse_bitcode(bitcode)
    defined = [each.name for each in (*module.functions, *module.global_variables) if not each.is_declaration]
    names = "".join(f'define void @"{name}"() {{ ret void }}\n' for name in defined)
    return name, kind, (machine_code, llvm.parse_assembly(names).as_bitcode())


class Compilation(events.Listener):
    """How long this process has compiled functions of this package. Logs it where that takes long."""

    def __init__(self) -> None:
        self.depth, self.seconds, self.began = 0, 0.0, 0.0
        self.over, self.reported = threading.Event(), False
        self.signals = ExitStack()  # held back meanwhile

    def on_start(self, event: Any) -> None:
        """Numba begins to compile a function; perhaps for another one that it is compiling."""
        if not self._ours(event):
            return
        self.depth += 1
        if self.depth == 1:
            self.signals.enter_context(held_back())
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
            self.signals.close()

    def so_far(self) -> float:
        """Seconds spent compiling, up to now."""
        return self.seconds + (time.monotonic() - self.began if self.depth else 0.0)

    @staticmethod
    def _ours(event: Any) -> bool:
        return isinstance(event.data["dispatcher"]._cache, DiskCache)

    def _report(self, over: threading.Event) -> None:
        if over.wait(max(0.0, SILENT_S - self.seconds)):
            return
        if not self.reported:
            self.reported = True
            LOG.warning("compiling the engine for this processor, once: it takes about ten seconds, longer on a busy machine …")
        while not over.wait(AGAIN_S):
            LOG.warning("still compiling, for %.0f s now …", self.so_far())


COMPILATION = Compilation()
events.register("numba:compile", COMPILATION)


def clock() -> float:
    """`time.monotonic`, stopped while functions are compiled: users' minutes and seconds are measured with it."""
    return time.monotonic() - COMPILATION.so_far()
