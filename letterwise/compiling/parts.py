"""Parts: functions that are compiled into those that call them.

    entry ◀── part ◀── part          one run of LLVM over all of it, where numba takes one for each function and all it calls

numba makes machine code of each function, and optimizes what it calls once more within each caller: of a tree of functions,
each leaf as often as the tree is deep. But only the root is called from outside (docs/log.md: what that costs). A part
that Python calls all the same is compiled for that. While its callers are not compiled yet, Python runs them and the
part (entry.py): one that calls LLVM's instructions names the function that Python runs in its place.
"""

from collections.abc import Callable
from functools import cached_property
from types import FunctionType
from typing import Any

import numba
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.registry import CPUDispatcher

from letterwise.compiling.entry import Entry, as_python

Compiled: Any = CPUDispatcher  # for whoever checks types: not all that is inherited can be replaced
Settings: Any = numba.config


def part(*, small: bool = False, python: FunctionType | None = None, **options: Any) -> Callable[[FunctionType], Any]:
    """A decorator like `jit.njit`, for a function that compiled ones call.

    One that is `small` Python always runs as it stands. `python` gives the same bits, where Python cannot run it.
    """

    def decorate(function: FunctionType) -> Any:
        return python or function if Settings.DISABLE_JIT else Part(function, small, python, options)

    return decorate


class Part(Compiled):
    """What numba compiles when another function calls this one."""

    def __init__(self, function: FunctionType, small: bool, python: FunctionType | None, options: dict[str, Any]) -> None:
        defaults = {"nopython": True, "nogil": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
        super().__init__(function, targetoptions=defaults | options, pipeline_class=PartCompiler)
        self.small, self.python, self.options = small, python, options

    @cached_property
    def alone(self) -> Any:
        """The same for Python's calls."""
        return self.py_func if self.small else Entry(self.py_func, self.plain, self.options)

    @cached_property
    def plain(self) -> FunctionType:
        """What Python runs while callers are not compiled."""
        return self.python or as_python(self.py_func)

    def __call__(self, *arguments: Any) -> Any:
        return self.alone(*arguments)

    def add_overload(self, result: Any) -> None:
        """Note the result: for callers in compiled code, not for Python's."""
        self.overloads[tuple(result.signature.args)] = result


class PartCompiler(Compiler):
    """As far as LLVM's code of the function itself."""

    def __init__(self, typing_context: Any, target_context: Any, library: Any, args: Any, returns: Any, flags: Any, known: Any):
        flags.no_compile = True
        super().__init__(
            typing_context, target_context, Unfinished(target_context.codegen(), "part"), args, returns, flags, known
        )

    def compile_extra(self, func: FunctionType) -> Any:
        """The result, by which callers find the code: numba's key for that is what Python would call."""
        result = super().compile_extra(func)._replace(entry_point=object())
        self.state.targetctx.insert_user_function(result.entry_point, result.fndesc, [result.library])
        return result


class Unfinished(JITCodeLibrary):
    """A function's code, with that of all it calls: to be optimized in the caller's."""

    def _optimize_functions(self, ll_module: Any) -> None:
        """Not yet."""
        ll_module.data_layout = self._codegen._data_layout

    def finalize(self) -> None:
        """Link what it calls into it."""
        for library in dict.fromkeys(self._linking_libraries):
            self._reload_init.update(library._reload_init)
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        self._finalized = True
