"""Experiment: a file that holds knobs by name, like those in configs/.

config.toml ──read_toml──▶ names and values, as flags would give them
"""

import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

from letterwise.config.declaration import FILES, PARTS
from letterwise.config.file_names import expanded
from letterwise.errors import UserError, sentence
from letterwise.text_encoding import read_text_file


def read_toml(path: str | Path) -> dict[str, Any]:
    """The keys and values of an experiment file: flag names, flat, with `preset` and `size` among them.

    Raises `UserError` when the file is missing, is not TOML, or has a key that is no flag.
    """
    try:
        values = tomllib.loads(read_text_file(path, "--config"))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UserError(f"--config {str(path)!r} is not TOML: {sentence(error)}") from error
    known = ["preset", "size", *(f.name for kind in PARTS.values() for f in fields(kind))]
    for name in values:
        if name not in known:
            raise UserError(f"--config {str(path)!r} has an unknown key {name!r}; known keys: {', '.join(known)}.")
    return {name: from_toml(name, value) for name, value in values.items()}


def from_toml(name: str, value: Any) -> Any:
    """A list as a tuple; what names files, as the system knows them."""
    each = value if isinstance(value, list) else [value]
    found = tuple(expanded(one) if name in FILES and isinstance(one, str) else one for one in each)
    return found if isinstance(value, list) else found[0]
