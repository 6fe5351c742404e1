"""Arguments: what Python callers give, converted to the types that are declared.

    None ──▶ the default        1e3, NumPy's numbers ──▶ 1000        "text" where several are taken ──▶ ("text",)
    keywords ──parts──▶ one of each of some dataclasses, whose fields they are        a path, a dict ──▶ text

Anything else is a `UserError` that names the argument: a `TypeError` from deeper code would not say which one.
"""

import json
import numbers
import operator
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike, fspath
from typing import Any, Literal, get_origin, overload

from letterwise.config.file_names import expanded
from letterwise.config.knob import metavar_of, typed_fields, without_none
from letterwise.errors import UserError, did_you_mean, quoted

KINDS = {int: "a whole number", float: "a number", bool: "True or False", str: "a text"}


def parts(keywords: Mapping[str, Any], *kinds: type) -> list[Any]:
    """One of each of some dataclasses, made of those keywords that are its fields; None leaves one at its default.

    Raises `UserError` for a keyword that none of them has, or a value of another kind.
    """
    known = [f.name for kind in kinds for f, _ in typed_fields(kind)]
    for name in keywords:
        if name not in known:
            raise UserError(f"{name!r} is not a known option: {did_you_mean(name, known)}")
    made = []
    for kind in kinds:
        values = {}
        for f, hint in typed_fields(kind):
            if (value := keywords.get(f.name)) is not None:
                value = spelled(f.name, value) if "FILE" in metavar_of(f, hint) else value
                values[f.name] = argument(f.name, value, hint)
        made.append(kind(**values))
    return made


def argument(name: str, value: Any, kind: Any, default: Any = None) -> Any:
    """One value as a `kind`, or `default` for None. Raises `UserError` when it is of another kind."""
    if value is None:
        return default
    kind = without_none(kind)
    if get_origin(kind) is Literal:
        return value  # the dataclass says which there are
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
    except (TypeError, ValueError, OverflowError):  # it is none
        pass
    raise UserError(f"{name}={quoted(value)} is not {KINDS[kind]}.")


Files = str | PathLike[str] | Sequence[str]


@overload
def file_names(files: Files) -> tuple[str, ...]: ...
@overload
def file_names(files: Files | None) -> tuple[str, ...] | None: ...
def file_names(files: Files | None) -> tuple[str, ...] | None:
    """One file or several, as a tuple of texts; None is none. Raises `UserError` for anything else."""
    if files is None:
        return None
    try:
        return tuple(map(expanded, [files] if isinstance(files, str | PathLike) else files))
    except TypeError as error:
        raise UserError(f"{quoted(files)} names no file, and is no list of names.") from error


def spelled(name: str, given: Any) -> str:
    """A text, a path or plain containers, as a text. Raises `UserError` for anything else."""
    try:
        return json.dumps(given) if isinstance(given, dict) else fspath(given)
    except (TypeError, ValueError) as error:
        raise UserError(f"{name}={quoted(given)} is no text, no path and no dict of plain values.") from error


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
