"""Called: what functions that are compiled may call, as the compiler (compiler.py) knows it. Declaring it loads no compiler.

Called: a function, to be compiled with its options      Instructions: code that is made of LLVM's instructions
"""

from collections.abc import Callable
from types import FunctionType
from typing import Any


class Called:
    """A function that is compiled where another one calls it."""

    compiler: Any = None  # what numba makes of it, once something is compiled

    def __init__(self, function: FunctionType, options: dict[str, Any]) -> None:
        self.function, self.options = function, options


class Instructions:
    """A function for compiled code, made of LLVM's instructions: numba calls `code(context, builder, signature, arguments)`."""

    compiler: Any = None  # numba's type of it, once something is compiled

    def __init__(self, code: Callable[..., Any], result: Any, plain: Callable[..., Any] | None = None) -> None:
        """`result` is numba's type of what it returns: its name, or a function of the arguments' types. Python runs `plain`."""
        self.code, self.result = code, result
        if plain:
            self.plain = plain


def instructions(result: Any = "none", python: Callable[..., Any] | None = None) -> Callable[[Callable[..., Any]], Any]:
    """A decorator that makes `Instructions` of a function."""
    return lambda code: Instructions(code, result, python)
