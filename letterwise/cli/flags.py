"""Flags: knobs of letterwise/config as flags of argparse, and argparse's complaints as one sentence.

Names accept `_` and `-`. A flag that is not given is not there at all, so presets and files can speak for it.
"""

import argparse
import math
import os
import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import Field
from pathlib import Path
from typing import Any, NoReturn, get_origin

from letterwise.cli.output import words_to_stdout
from letterwise.config import PARTS, Config
from letterwise.config.file_names import expanded, local
from letterwise.config.generation import GENERATION
from letterwise.config.knob import NAMES, default_of, metavar_of, typed_fields, without_none
from letterwise.errors import UserError, nearest, quoted

PEERS = {  # what others call it: nanoGPT, Hugging Face, llama.cpp
    "bs": "batch_size", "context": "block_size", "context_length": "block_size", "ctx_size": "block_size", "d_model": "n_embd",
    "data": "input_file", "epochs": "max_iters", "file": "input_file", "heads": "n_head", "hidden_size": "n_embd",
    "iters": "max_iters", "layers": "n_layer", "length": "num_tokens", "lr": "learning_rate", "max_length": "num_tokens",
    "max_new_tokens": "num_tokens", "max_tokens": "num_tokens", "n_predict": "num_tokens", "num_heads": "n_head",
    "num_layers": "n_layer", "num_steps": "max_iters", "out_dir": "out", "prompt_file": "seed_file", "start": "seed",
    "steps": "max_iters",
}  # fmt: skip

CHECKPOINT_ENDINGS = (".safetensors", ".pth", ".pt", ".ckpt")
PLACES = {"FILE": local, "DIR": local, "PATH": expanded}  # how the names of each metavar are read
OUTPUTS = ("output_file", "html")
INPUTS = ("model_path", "input_file", "calibrate", "runs", "checkpoint", "meta", "vocabulary_from")
OUTPUT_HELP = "file to write; it appears complete or not at all; - for stdout"
ENCODING_HELP = "text encoding (default: utf-8, or detected from the first bytes)"


def text_flags() -> set[str]:
    """Flags whose values are texts, and may begin with a dash."""
    declared = {f"--{f.name}" for kind in GENERATION for f, hint in typed_fields(kind) if takes_text(f, hint)}
    return {"--seed", "--prompt"} | declared


def takes_text(f: Field[Any], hint: Any) -> bool:
    """Is a knob's value a text, or several, and no name of something?"""
    kind = without_none(hint)
    return (get_origin(kind) or kind) in (str, tuple, Mapping) and metavar_of(f, hint) not in NAMES


class Parser(argparse.ArgumentParser):
    """argparse, objecting in sentences."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, allow_abbrev=False, argument_default=argparse.SUPPRESS)

    def error(self, message: str) -> NoReturn:
        message = re.sub(r": ignored explicit argument (.*)", r" takes no value, and here it has \1", message, flags=re.S)
        raise UserError(f"{message.removeprefix('argument ')}. See `{self.prog} --help`.")

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        """A flag's value; also of `--stop=--`, which argparse (before Python 3.13) takes for no value at all."""
        if not action.option_strings or arg_strings != ["--"]:
            return super()._get_values(action, arg_strings)
        value = self._get_value(action, "--")
        self._check_value(action, value)
        return [value] if action.nargs == "+" else value

    def _print_message(self, message: str, file: Any = None) -> None:
        if message:
            words_to_stdout(message)

    def parse(self, arguments: Sequence[str]) -> dict[str, Any]:
        """The flags that were given. Raises `UserError` for one that is not known, with the nearest that is."""
        given, rest = self.parse_known_args(arguments)
        if rest:
            flag = rest[0].split("=")[0]
            if flag.startswith("--"):
                raise UserError(f"{flag} is not a flag of `{self.prog}`: {self._instead(flag)}")
            raise UserError(f"{quoted(rest[0])} belongs to no flag: {self._flag_of(rest[0])}")
        for action in self._actions:
            if action.metavar in NAMES and (value := getattr(given, action.dest, None)) is not None:
                setattr(given, action.dest, _named(action, value))
        _spare_inputs(vars(given))
        return vars(given)

    def _flag_of(self, value: str) -> str:
        """The flag that a value probably belongs to: a model's, or a text's."""
        known = [option for action in self._actions for option in action.option_strings]
        for flag, found in (("--model_path", value.endswith(CHECKPOINT_ENDINGS)), ("--input_file", Path(value).is_file())):
            if found and flag in known:
                return f"did you mean `{flag} {value}`?"
        return f"see `{self.prog} --help`."

    def _instead(self, flag: str) -> str:
        """The flag that was probably meant."""
        known = [option for action in self._actions for option in action.option_strings if option.startswith("--")]
        by_peers = f"--{PEERS.get(flag[2:], '')}"
        near = by_peers if by_peers in known else nearest(flag, known)
        return f"did you mean {near!r}?" if near else f"see `{self.prog} --help`."


def normalized(arguments: Sequence[str]) -> list[str]:
    """Flags spelled with underscores, and texts that begin with a dash tied to their flag.

    Raises `UserError` for what no name and no text can hold.
    """
    words, texts = list[str](), text_flags()
    for word in arguments:
        if "\0" in word or any("\ud800" <= c < "\udc80" or "\udcff" < c <= "\udfff" for c in word):
            raise UserError(f"{quoted(word)} is no text: it holds a NUL, or half a character.")
        if words and words[-1] in texts:
            words[-1] = f"{words[-1]}={word}"
        elif word.startswith("--"):
            flag, *value = word.split("=", 1)
            words.append("=".join(["--" + flag[2:].replace("-", "_"), *value]))
        else:
            words.append(word)
    return words


def add_knobs(parser: argparse.ArgumentParser, shown: Config) -> None:
    """Every knob of every part of the configuration as a flag; `shown` gives the defaults that the help shows."""
    for part, kind in PARTS.items():
        group = parser.add_argument_group(f"{part}: {title(kind)}")
        for f, hint in typed_fields(kind):
            add_knob(group, f, hint, getattr(getattr(shown, part), f.name))


def add_options(group: Any, kind: type, *, only: Container[str] | None = None, but: Container[str] = ()) -> None:
    """The options of a request as flags, or some of them. What is true or false is off if not given, and takes no value."""
    for f, hint in typed_fields(kind):
        if f.name not in but and (only is None or f.name in only):
            add_knob(group, f, hint, default_of(f), switch=hint is bool)


def title(kind: type) -> str:
    """What the help calls the options of a dataclass: the first sentence of its docstring."""
    return (kind.__doc__ or "").split(".")[0].lower()


def add_knob(group: Any, f: Field[Any], hint: Any, default: Any, *, switch: bool = False) -> None:
    """One knob as a flag. Choices and ranges are left to the configuration, which objects in better sentences."""
    flag, kind, metavar = f"--{f.name}", without_none(hint), metavar_of(f, hint)
    help = f.metadata["help"].replace("%", "%%")
    if not switch and default not in (None, (), {}, "", math.inf) and "default" not in help:
        help += f" (default: {str(default).lower() if kind is bool else default})"
    if switch:
        group.add_argument(flag, action="store_true", help=help)
    elif kind is bool:
        group.add_argument(flag, nargs="?", const=True, type=truth, metavar=metavar, help=help)
    elif get_origin(kind) is tuple and metavar in NAMES:
        group.add_argument(flag, nargs="+", action="extend", metavar=metavar, help=help)
    elif get_origin(kind) in (tuple, Mapping):
        read = str if get_origin(kind) is tuple else bias
        group.add_argument(flag, action="append", type=read, metavar=metavar, help=help)
    else:
        group.add_argument(flag, type=number(kind) if kind in (int, float) else str, metavar=metavar, help=help)


def truth(word: str) -> bool:
    """true or false, as people write them."""
    try:
        return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[word.lower()]
    except KeyError:
        raise argparse.ArgumentTypeError(f"{quoted(word)} is neither true nor false") from None


def number(kind: type[int] | type[float]) -> Any:
    """A parser of whole numbers (also 1e6 and 10_000) or numbers that objects in words."""

    def parse(word: str) -> int | float:
        try:
            value = float(word)
            if kind is int:
                return int(word) if "e" not in word.lower() else _whole(value)
            return value
        except (ValueError, OverflowError):
            raise argparse.ArgumentTypeError(f"{quoted(word)} is not a {'whole ' if kind is int else ''}number") from None

    return parse


def bias(word: str) -> tuple[str, float]:
    """Characters, and nats to add to their scores: `e=-2`; a text may hold an equals sign itself."""
    characters, equals, nats = word.rpartition("=")
    if not (characters and equals):
        raise argparse.ArgumentTypeError(f"{word!r} is not characters and a number, like e=-2")
    return characters, number(float)(nats)


def _named(action: argparse.Action, value: Any) -> Any:
    """What a flag names, one thing or several, as the system knows it. Raises `UserError` for what is no such name."""
    flag, name_of = [*action.option_strings, str(action.metavar)][0], PLACES.get(str(action.metavar), str)
    for name in _listed(value):
        if name == "":
            raise UserError(f"{flag} is empty: name something, or leave it out.")
    try:
        return [name_of(name) for name in value] if isinstance(value, list) else name_of(value)
    except UserError as error:
        raise UserError(f"{flag}: {error}") from error


def _spare_inputs(given: dict[str, Any]) -> None:
    """Raises `UserError` where an output would take the place of a file that is read."""
    for output in set(OUTPUTS) & set(given):
        for flag in set(INPUTS) & set(given):
            for name in _listed(given[flag]):
                if _one_file(given[output], name):
                    reader = "FILE" if flag == "checkpoint" else f"--{flag}"
                    raise UserError(
                        f"--{output} {quoted(given[output])} is what {reader} reads, and would be lost: name another file."
                    )


def _one_file(one: str, other: str) -> bool:
    """Are these two names of one file that can be replaced?"""
    try:
        return os.path.isfile(one) and os.path.samefile(one, other)
    except (OSError, ValueError):
        return False


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _whole(value: float) -> int:
    if value != int(value):
        raise ValueError
    return int(value)
