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

from letterwise.compiling.called import Called
from letterwise.compiling.entry import Entry, as_python


def part(*, small: bool = False, python: FunctionType | None = None, **options: Any) -> Callable[[FunctionType], Any]:
    """A decorator for a function that compiled ones call; `options` are those of `numba.njit`.

    One that is `small` Python always runs as it stands. `python` gives the same bits, where Python cannot run it.
    """
    return lambda function: Part(function, small, python, options)


class Part(Called):
    """What is compiled when another function calls this one."""

    def __init__(self, function: FunctionType, small: bool, python: FunctionType | None, options: dict[str, Any]) -> None:
        super().__init__(function, options)
        self.small, self.python = small, python

    @cached_property
    def alone(self) -> Any:
        """The same for Python's calls."""
        return self.function if self.small else Entry(self.function, self.plain, self.options)

    @cached_property
    def plain(self) -> FunctionType:
        """What Python runs while callers are not compiled."""
        return self.python or as_python(self.function)

    def __call__(self, *arguments: Any) -> Any:
        return self.alone(*arguments)
