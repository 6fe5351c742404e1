"""Entries: compiled functions whose first call does not wait for the compiler.

    called ──▶ kept on disk? ──yes──▶ machine code
                    │ no
                    ├──▶ another process compiles it (worker.py) ──▶ machine code from then on
                    └──▶ until then Python runs the function as it stands, with all the parts it calls

Both give the same bits: the compiler may neither fuse nor reorder operations (arithmetic.py), and NumPy rounds as the processor
does. Where LLVM's own instructions are called, a function made of NumPy's takes their place (parts.py). So what an equal seed
writes does not depend on when the code was ready; some hundred characters are written before it is.
"""

import logging
import threading
from collections.abc import Callable
from functools import cached_property
from types import FunctionType
from typing import Any

import numba
import numpy as np

from letterwise.compiling.jit import njit
from letterwise.compiling.worker import POSSIBLE, Job, ask

Settings: Any = numba.config
LOG = logging.getLogger("letterwise")
MEANWHILE = POSSIBLE  # whether Python runs what is not compiled yet: else the first call waits
AHEAD: bool = False  # whether nobody waits for it yet (inference/cpu/ahead.py): then nothing is said
LOCK = threading.Lock()


def entry(*, silent: bool = False, **options: Any) -> Callable[[FunctionType], "Entry"]:
    """A decorator like `jit.njit`, for a function of a module's whose first call is not to wait.

    `silent`: nothing is said while it is compiled, since nobody waits for it.
    """
    return lambda function: Entry(function, None, options, silent)


class Entry:
    """A function that is compiled when it is first called, for the types of that call's arguments first."""

    announced = False  # in this process, that something is being compiled

    def __init__(
        self, function: FunctionType, python: FunctionType | None, options: dict[str, Any], silent: bool = False
    ) -> None:
        self.function, self.python, self.options, self.silent = function, python, options, silent
        self.compiled = False  # whether a call runs machine code, as far as is known
        self.job: Job | None = None

    def __call__(self, *arguments: Any) -> Any:
        if self.compiled or self._ready(arguments):
            return self.dispatcher(*arguments)
        with np.errstate(all="ignore"):
            return self.plain(*arguments)

    @cached_property
    def dispatcher(self) -> Any:
        """What compiles it."""
        return njit(linked=False, **self.options)(self.function)

    @cached_property
    def plain(self) -> FunctionType:
        """What Python runs."""
        return self.python or as_python(self.function)

    def _ready(self, arguments: tuple[Any, ...]) -> bool:
        """Whether it is compiled by now. The first time, has it compiled."""
        if Settings.DISABLE_JIT:
            return False
        types = tuple(map(self.dispatcher.typeof_pyval, arguments))
        with LOCK:
            if not MEANWHILE:
                self.compiled = True
            elif self.job is None:
                path = self.dispatcher._cache.path(types, self.dispatcher.targetctx.codegen())
                if path is None or path.exists():
                    self.compiled = True
                else:
                    self.job = ask(self.function.__module__, self.function.__qualname__, types)
            elif self.job.over:  # where that failed, this process compiles it now, and waits
                self.dispatcher._cache.unsaved = self.job.entry
                self.compiled = True
            if not (self.compiled or self.silent or AHEAD or Entry.announced):
                Entry.announced = True
                LOG.warning("compiling the engine for this processor, once: for some ten seconds, or more, writing is slow …")
        if self.compiled:
            self.dispatcher.compile(types)  # called for the first time, it would look for plug-ins of numba's before
        return self.compiled


def as_python(function: FunctionType) -> FunctionType:
    """A copy of a compiled function that Python runs, with copies of the parts that it calls."""
    names = function.__globals__
    parts = {name: names[name].plain for name in function.__code__.co_names if hasattr(names.get(name), "plain")}
    return FunctionType(function.__code__, {**names, **parts}, function.__name__, function.__defaults__, function.__closure__)
