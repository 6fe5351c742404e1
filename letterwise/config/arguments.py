"""Arguments: what a caller from Python hands over, made of the kind that is asked for.

    None ──▶ the default        1e3, NumPy's numbers ──▶ 1000        "text" where several are taken ──▶ ("text",)

Anything else is a `UserError` that names the argument: a `TypeError` from the depths says nothing to the one who typed it.
"""

import numbers
import operator
import typing
from collections.abc import Iterable, Mapping
from typing import Any, get_args, get_origin

from letterwise.errors import UserError, quoted

KINDS = {int: "a whole number", float: "a number", bool: "True or False", str: "a text"}


def fitting(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Keywords for a dataclass: each of the kind that its field declares; those that are None are left to its defaults.

    Raises `UserError` for a value of another kind.
    """
    hints = typing.get_type_hints(kind)
    return {name: argument(name, value, hints[name]) for name, value in values.items() if value is not None}


def argument(name: str, value: Any, kind: Any, default: Any = None) -> Any:
    """One value as a `kind`, or `default` for None. Raises `UserError` when it is of another kind."""
    if value is None:
        return default
    kind = next((option for option in get_args(kind) if option is not type(None)), kind) if _optional(kind) else kind
    if get_origin(kind) is tuple:
        return _texts(name, value)
    if (isinstance(kind, type) and issubclass(kind, Mapping)) or get_origin(kind) in (Mapping, dict):
        return _mapping(name, value)
    try:
        if kind is int:
            return _whole(value)
        if kind is float:
            return _real(value)
        if kind is bool and type(value).__name__ in ("bool", "bool_"):  # NumPy's, too
            return bool(value)
        if kind is str and isinstance(value, str):
            return value
    except (TypeError, ValueError, OverflowError):
        pass
    raise UserError(f"{name}={quoted(value)} is not {KINDS[kind]}.")


def _optional(kind: Any) -> bool:
    return type(None) in get_args(kind)


def _whole(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError
    if isinstance(value, numbers.Real) and not isinstance(value, numbers.Integral):
        if value != int(value):
            raise ValueError
        return int(value)
    return operator.index(value)


def _real(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError
    return float(value)


def _texts(name: str, value: Any) -> tuple[str, ...]:
    several = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, Iterable) else None
    if several is None or not all(isinstance(text, str) for text in several):
        raise UserError(f"{name}={quoted(value)} is not a text, or several of them.")
    return several


def _mapping(name: str, value: Any) -> dict[str, float]:
    if not isinstance(value, Mapping):
        raise UserError(f"{name}={quoted(value)} does not tell characters their numbers, like {{'e': -2.0}}.")
    return {
        argument(f"a key of {name}", key, str, ""): argument(f"{name}[{quoted(key)}]", number, float, 0.0)
        for key, number in value.items()
    }
