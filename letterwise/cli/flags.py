"""Flags: knobs of `config.py` as flags of argparse, and argparse's complaints as one sentence.

Names accept `_` and `-`. A flag that is not given is not there at all, so presets and files can speak for it.
"""

import argparse
import typing
from collections.abc import Sequence
from dataclasses import Field, fields
from typing import Any, Literal, NoReturn

from letterwise.config import PARTS, Config
from letterwise.errors import UserError, did_you_mean

TEXT_FLAGS = (  # their values may begin with a dash
    "--seed", "--prompt", "--stop", "--regex", "--grammar", "--must_contain", "--charset", "--exclude", "--logit_bias",
)  # fmt: skip


class Parser(argparse.ArgumentParser):
    """argparse, objecting in sentences."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, allow_abbrev=False, argument_default=argparse.SUPPRESS)

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message.removeprefix('argument ')}. See `{self.prog} --help`.")

    def parse(self, arguments: Sequence[str]) -> dict[str, Any]:
        """The flags that were given. Raises `UserError` for one that is not known, with the nearest that is."""
        given, rest = self.parse_known_args(arguments)
        if rest:
            flag = rest[0].split("=")[0]
            if flag.startswith("--"):
                known = [option for action in self._actions for option in action.option_strings if option.startswith("--")]
                raise UserError(f"{flag} is not a flag of `{self.prog}`: {did_you_mean(flag, known)}")
            raise UserError(f"{rest[0]!r} belongs to no flag: see `{self.prog} --help`.")
        return vars(given)


def normalized(arguments: Sequence[str]) -> list[str]:
    """Flags spelled with underscores, and texts that begin with a dash tied to their flag."""
    words: list[str] = []
    for word in arguments:
        if words and words[-1] in TEXT_FLAGS:
            words[-1] = f"{words[-1]}={word}"
        elif word.startswith("--"):
            flag, *value = word.split("=", 1)
            words.append("=".join(["--" + flag[2:].replace("-", "_"), *value]))
        else:
            words.append(word)
    return words


def add_knobs(parser: argparse.ArgumentParser, shown: Config) -> None:
    """Every knob of every part of the configuration as a flag; `shown` gives the defaults that the help tells."""
    for part, kind in PARTS.items():
        group = parser.add_argument_group(f"{part}: {(kind.__doc__ or '').split('.')[0].lower()}")
        types = typing.get_type_hints(kind)
        for f in fields(kind):
            add_knob(group, f, types[f.name], getattr(getattr(shown, part), f.name))


def add_knob(group: Any, f: Field[Any], kind: Any, default: Any) -> None:
    """One knob as a flag. Choices and ranges are left to the configuration, which objects in better sentences."""
    kind = (
        next((k for k in typing.get_args(kind) if k is not type(None)), kind) if type(None) in typing.get_args(kind) else kind
    )
    help = f.metadata["help"].replace("%", "%%")
    if default not in (None, ()) and "default" not in help:
        help += f" (default: {str(default).lower() if kind is bool else default})"
    if typing.get_origin(kind) is tuple:
        group.add_argument(f"--{f.name}", nargs="+", action="extend", metavar="PATH", help=help)
    elif kind is bool:
        group.add_argument(f"--{f.name}", nargs="?", const=True, type=truth, metavar="true|false", help=help)
    elif typing.get_origin(kind) is Literal:
        group.add_argument(f"--{f.name}", metavar="|".join(typing.get_args(kind)), help=help)
    else:
        metavar = {int: "N", float: "X", str: "NAME"}[kind]
        group.add_argument(f"--{f.name}", type=number(kind) if kind is not str else str, metavar=metavar, help=help)


def truth(word: str) -> bool:
    """true or false, as people write them."""
    try:
        return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[word.lower()]
    except KeyError:
        raise argparse.ArgumentTypeError(f"{word!r} is neither true nor false") from None


def number(kind: type[int] | type[float]) -> Any:
    """A parser of whole numbers (also 1e6 and 10_000) or numbers that objects in words."""

    def parse(word: str) -> int | float:
        try:
            value = float(word)
            if kind is int:
                return int(word) if "e" not in word.lower() else _whole(value)
            return value
        except (ValueError, OverflowError):
            raise argparse.ArgumentTypeError(f"{word!r} is not a {'whole ' if kind is int else ''}number") from None

    return parse


def _whole(value: float) -> int:
    if value != int(value):
        raise ValueError
    return int(value)
