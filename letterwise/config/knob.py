"""Knob: one option, declared once: its default, its help and its range; and whether a value fits.

knob(default, help, bounds) ──▶ field of a frozen dataclass ──check──▶ itself, or a sentence
                                       └──▶ a flag (cli/flags.py) · a row of docs/flags.md · a keyword from Python
"""

import math
import typing
from collections.abc import Mapping
from dataclasses import MISSING, Field, field, fields
from functools import cache
from typing import Any, Literal

from letterwise.errors import UserError, did_you_mean, quoted

NAMES = ("FILE", "DIR", "PATH", "NAME")  # metavars of options whose value names something
METAVARS = {int: "N", float: "X", bool: "true|false", str: "NAME", tuple: "PATH"}
WORDS: dict[Any, str] = {
    int: "a whole number", float: "a number", bool: "true or false", str: "a text", tuple: "a list of texts",
    Mapping: "a dict of numbers",
}  # fmt: skip


def knob(
    default: Any,
    help: str,
    *,
    min: float | None = None,
    max: float | None = None,
    above: float | None = None,
    below: float | None = None,
    metavar: str | None = None,
    takes: Any = None,
) -> Any:
    """A field with its help text and its range: `min <= value <= max`, `above < value < below`, as far as they are given.

    A `default` that is a type is made anew each time. `metavar` stands for the value in the help: its unit, where it has one.
    `takes` is the type of what a caller from Python may give, where that is more than the field's own.
    """
    bounds = {"min": min, "max": max, "above": above, "below": below}
    metadata = {"help": help, "metavar": metavar, "takes": takes, **bounds}
    if isinstance(default, type):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


def default_of(f: Field[Any]) -> Any:
    """What a knob is when nobody turns it."""
    return f.default_factory() if f.default_factory is not MISSING else f.default


@cache
def typed_fields(kind: Any) -> tuple[tuple[Field[Any], Any], ...]:
    """The fields of a dataclass, each with its type."""
    hints = typing.get_type_hints(kind)
    return tuple((f, hints[f.name]) for f in fields(kind))


def without_none(kind: Any) -> Any:
    """`int` for `int | None`; other types as they are."""
    options = [option for option in typing.get_args(kind) if option is not type(None)]
    return options[0] if type(None) in typing.get_args(kind) else kind


def metavar_of(f: Field[Any], kind: Any) -> str:
    """What stands for a knob's value in the help."""
    kind = without_none(kind)
    if typing.get_origin(kind) is Literal:
        return "|".join(typing.get_args(kind))
    return f.metadata["metavar"] or METAVARS[typing.get_origin(kind) or kind]


def check(config: Any) -> None:
    """Hold every field of a dataclass against its declared type, choices and range; whole numbers become floats where due.

    Raises `UserError` that shows the value and what is allowed.
    """
    for f, hint in typed_fields(type(config)):
        value, kind = getattr(config, f.name), without_none(hint)
        if value is None and kind is not hint:
            continue
        if typing.get_origin(kind) is Literal:
            if value not in typing.get_args(kind):
                raise UserError(f"{f.name}={quoted(value)} is not known: {did_you_mean(str(value), typing.get_args(kind))}")
            continue
        if kind is float and type(value) is int and abs(value) < 2**1000:  # a larger one is no float, and is refused below
            object.__setattr__(config, f.name, value := float(value))
        _require_kind(f.name, value, typing.get_origin(kind) or kind)
        if kind is float and value == 0:
            object.__setattr__(config, f.name, value := 0.0)  # of either sign
        if metavar_of(f, kind) in NAMES and (value == "" or (isinstance(value, tuple) and "" in value)):
            raise UserError(f"{f.name} has an empty name in it: name something, or leave out --{f.name}.")
        if isinstance(value, int | float):
            _require_range(f, value)


def _require_kind(name: str, value: Any, kind: type) -> None:
    odd_one = kind is tuple and isinstance(value, tuple) and not all(isinstance(text, str) for text in value)
    if odd_one or not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise UserError(f"{name}={quoted(value)} is not {WORDS[kind]}.")


def _require_range(f: Field[Any], value: int | float) -> None:
    """Raises `UserError` for a number outside its bounds, or not finite where the default is."""
    lowest, highest, above, below = (f.metadata[bound] for bound in ("min", "max", "above", "below"))
    shown = f"{f.name}={quoted(value)}"
    if isinstance(value, float) and not math.isfinite(value) and value != f.default:
        raise UserError(f"{shown} must be {_in_range(f)}.")
    if lowest is not None and value < lowest:
        raise UserError(f"{shown} is too small: the minimum is {lowest:,}.")
    if above is not None and value <= above:
        raise UserError(f"{shown} is too small: it must be above {above}.")
    if highest is not None and value > highest:
        raise UserError(f"{shown} is too large: the maximum is {highest:,}.")
    if below is not None and value >= below:
        raise UserError(f"{shown} is too large: it must stay below {below:,}.")


def _in_range(f: Field[Any]) -> str:
    """What a number may be: `a finite number above 0`."""
    words = {"min": "of {:,} or more", "above": "above {:,}", "max": "of {:,} at most", "below": "below {:,}"}
    bounds = " and ".join(says.format(f.metadata[bound]) for bound, says in words.items() if f.metadata[bound] is not None)
    return f"a {'' if default_of(f) == math.inf else 'finite '}number {bounds}".rstrip()
