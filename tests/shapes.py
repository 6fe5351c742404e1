"""What executes signatures in tests: each is checked once for each kind of arguments and of result.

Whether they fit a signature is decided by types, and by what arrays hold and their shapes. A training loop calls the same
function with the same kinds of arguments at every step; jaxtyping would take longer, each time, than the small models of tests.
"""

import contextlib
import functools
import inspect
import threading
from collections.abc import Hashable
from types import CodeType, FunctionType
from typing import Any

import jaxtyping
import numpy as np
import torch
from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int will do where a float is wanted, as Python has it
checked_always = jaxtyping.jaxtyped
SEEN: dict[CodeType, set[Hashable]] = {}  # code ▸ what has been checked: a function in a function is made often, of one code


def kind(value: Any) -> Hashable:
    """All of a value that a signature can tell from others."""
    if isinstance(value, torch.Tensor | np.ndarray):
        return type(value), value.dtype, value.shape
    if isinstance(value, tuple):
        return type(value), *map(kind, value)
    if isinstance(value, list):
        return list, frozenset(map(kind, value[:8]))
    return type(value)


def checked_once(function: Any = None, *, typechecker: Any) -> Any:
    """`jaxtyping.jaxtyped`, for what it has not seen: the decorator that jaxtyping's import hook puts before each function."""
    if function is None:
        return functools.partial(checked_once, typechecker=typechecker)
    if not isinstance(function, FunctionType) or inspect.isgeneratorfunction(function):
        return checked_always(function, typechecker=typechecker)
    seen = SEEN.setdefault(function.__code__, set())
    results: dict[int, Any] = {}  # of a thread, where there is one already
    thread_id = threading.get_ident  # by a name of its own, as `call` has the globals of `function`

    def call(*arguments: Any, **named: Any) -> Any:
        thread = thread_id()
        return results.pop(thread) if thread in results else function(*arguments, **named)

    @functools.cache
    def checked() -> Any:
        """Made when it is needed: that takes as long as a thousand calls."""
        named_alike = functools.wraps(function)(FunctionType(call.__code__, function.__globals__, closure=call.__closure__))
        return checked_always(named_alike, typechecker=typechecker)

    @functools.wraps(function)
    def called(*arguments: Any, **named: Any) -> Any:
        given = (*map(kind, arguments), *((name, kind(value)) for name, value in named.items()))
        try:
            is_new = given not in seen
        except TypeError:  # PyTorch traces the model: sizes are symbols
            return checked()(*arguments, **named)
        if is_new:
            result = checked()(*arguments, **named)
            with contextlib.suppress(TypeError):
                seen.update((given, (given, kind(result))))
            return result
        result = function(*arguments, **named)
        if (given, kind(result)) not in seen:
            results[thread_id()] = result
            checked()(*arguments, **named)
            seen.add((given, kind(result)))
        return result

    return called
