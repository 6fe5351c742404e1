"""Entries: compiled functions whose first call does not wait for the compiler.

    called ──▶ kept on disk? ──yes──▶ machine code
                    │ no
                    ├──▶ another process compiles it (worker.py) ──▶ machine code from then on
                    └──▶ until then Python runs the function as it stands, with all the parts it calls

Both give the same bits: the compiler may neither fuse nor reorder operations (arithmetic.py), and NumPy rounds as the processor
does. Where LLVM's own instructions are called, a function made of NumPy's takes their place (parts.py). So what an equal seed
writes does not depend on when the code was ready; some hundred characters are written before it is.

The key of what is kept (store.py) is a hash of all that the machine code depends on: the kinds of arguments, the processor, the
versions of Python and numba, and the sources of the function's module and of all modules of this package that it imports,
directly or not. Where nothing can be kept, it works all the same.
"""

import hashlib
import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import FunctionType
from typing import Any

import llvmlite
import numpy as np

from letterwise.compiling import store
from letterwise.compiling.arguments import Kinds, flatten
from letterwise.compiling.clock import COMPILATION
from letterwise.compiling.machine_code import MachineCode, processor
from letterwise.compiling.worker import POSSIBLE, Job, ask

LOG = logging.getLogger("letterwise")
MEANWHILE = POSSIBLE  # whether Python runs what is not compiled yet: else the first call waits
AHEAD: bool = False  # whether nobody waits for it yet (inference/cpu/ahead.py): then nothing is said
DISABLED = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")  # then Python runs all
SVML = "NUMBA_DISABLE_INTEL_SVML"
LOCK = threading.RLock()


def entry(
    *, silent: bool = False, waits: bool = False, python: FunctionType | None = None, **options: Any
) -> Callable[[FunctionType], "Entry"]:
    """A decorator for a function of a module's that is compiled; `options` are those of `numba.njit`.

    `silent`: nothing is said while it is compiled, since nobody waits for it. `waits`: the first call does. That is for what
    goes through a whole text, to compress it, to learn from it or to find what it copies: before Python had done that, it
    would be compiled. `python` gives the same bits, and is what Python runs: faster there than the function as it stands.
    """
    return lambda function: Entry(function, python, options, silent, waits)


class Entry:
    """A function that is compiled when it is first called, for the kinds of that call's arguments first."""

    announced = False  # in this process, that something is being compiled
    unkept = b""  # what was compiled last, if it could not be kept

    def __init__(
        self,
        function: FunctionType,
        python: FunctionType | None,
        options: dict[str, Any],
        silent: bool = False,
        waits: bool = False,
    ) -> None:
        self.function, self.python, self.options, self.silent, self.waits = function, python, options, silent, waits
        self.codes: dict[Kinds, MachineCode] = {}
        self.job: Job | None = None

    @property
    def compiled(self) -> bool:
        """Whether a call runs machine code, as far as is known."""
        return bool(self.codes)

    def __call__(self, *arguments: Any) -> Any:
        words: list[float] = []
        kinds = flatten(arguments, words)
        code = self.codes.get(kinds) or self._ready(kinds)
        if code:
            return code(words)
        with np.errstate(all="ignore"):
            return self.plain(*arguments)

    @cached_property
    def plain(self) -> FunctionType:
        """What Python runs."""
        return self.python or as_python(self.function)

    def _ready(self, kinds: Kinds) -> MachineCode | None:
        """Its machine code, if that is there by now. The first time, has it compiled."""
        if DISABLED:
            return None
        with LOCK:
            path = self.path(kinds)
            if self.compiled or self.waits or not MEANWHILE or (self.job is None and (path is None or path.exists())):
                return self.code_for(kinds)
            if self.job is None:
                self.job = ask(self.function.__module__, self.function.__qualname__, kinds)
            elif self.job.over:  # where that failed, this process compiles it now, and waits
                return self.code_for(kinds, self.job.entry)
            if not (self.silent or AHEAD or Entry.announced):
                Entry.announced = True
                LOG.warning("compiling the engine for this processor, once: for some ten seconds, or more, writing is slow …")
        return None

    def code_for(self, kinds: Kinds, handed: bytes = b"") -> MachineCode:
        """Its machine code: what another process `handed` over, or what is kept; else this process compiles it, and waits."""
        path, new = self.path(kinds), handed
        entry = handed or (store.read(path) if path else None)
        if kinds not in self.codes and entry:
            try:
                self.codes[kinds] = MachineCode(entry, kinds)
            except Exception:  # whatever is wrong with it
                new = b""
        if kinds not in self.codes:
            with COMPILATION, without_svml():
                from letterwise.compiling.compiler import compiled  # which loads numba

                new = compiled(self.function, self.options, kinds)
                self.codes[kinds] = MachineCode(new, kinds)
        self.unkept = b"" if path and new and store.keep(path, new) else new
        return self.codes[kinds]

    def path(self, kinds: Kinds) -> Path | None:
        """Where an entry is kept; None where the sources cannot be read, and nobody can say when it is out of date."""
        module, name = self.function.__module__, self.function.__qualname__
        sources = store.stamp(module)
        if not sources:
            return None
        settings = sorted(item for item in os.environ.items() if item[0].startswith("NUMBA_") and item[0] != store.FOLDER)
        line = self.function.__code__.co_firstlineno
        facts = repr((sys.version, llvmlite.__version__, settings, processor(), sources, name, line, kinds))
        key = hashlib.sha256(facts.encode()).hexdigest()[:32]
        return store.folder() / f"{module.rpartition('.')[2]}.{re.sub('[<>]', '', name)}-{key}"


@contextmanager
def without_svml() -> Generator[None]:
    """While numba is loaded: it shall not call Intel's SVML, which rounds otherwise, and which others lack."""
    before = os.environ.get(SVML)
    os.environ[SVML] = "1"
    try:
        yield
    finally:
        os.environ.pop(SVML)
        if before is not None:
            os.environ[SVML] = before


def as_python(function: FunctionType) -> FunctionType:
    """A copy of a compiled function that Python runs, with copies of the parts that it calls."""
    names = function.__globals__
    parts = {name: names[name].plain for name in function.__code__.co_names if hasattr(names.get(name), "plain")}
    return FunctionType(function.__code__, {**names, **parts}, function.__name__, function.__defaults__, function.__closure__)
