"""File names: paths as a person types them.

~/poems ──expanded──▶ /home/ada/poems         as shells do, also where they do not: --out=~/run, TOML, Python
s3://bucket/run, https://… ──local──▶ one sentence, and no folder that is called "s3:"
-, <(zcat poems.gz) ──is_stream──▶ can be read only once
"""

import os
import re
import stat

from letterwise.errors import UserError, quoted

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
OPENED = "/dev/fd/"  # names of what a process has open begin so


def is_address(name: str) -> bool:
    """Whether a name is one of the network's: `https://…`, `s3://…`."""
    return bool(ADDRESS.match(name))


def is_stream(name: str) -> bool:
    """Whether a name is of stdin ("-"), a pipe or a device, or was that in a process that ended: what can be read only once."""
    try:
        kind = os.stat(name).st_mode
    except (OSError, ValueError):
        return name == "-" or name.startswith(OPENED)
    return name == "-" or not (stat.S_ISREG(kind) or stat.S_ISDIR(kind))


def named(given: str | os.PathLike[str]) -> str:
    """A name, or a path's name, as a text. Raises `UserError` for what is neither, and for a text that no file can be named."""
    try:
        name = os.fsdecode(given)
        os.fsencode(name)
    except (TypeError, UnicodeError) as error:
        raise UserError(f"{quoted(given)} names no file: give a text or a path.") from error
    return name


def expanded(given: str | os.PathLike[str]) -> str:
    """The name with a user's home folder for `~` or `~user` at its beginning. Raises `UserError` where there is no home."""
    name = named(given)
    place = os.path.expanduser(name)
    if place == name and (name == "~" or name.startswith("~/")):
        raise UserError(f"{name!r} is in a home folder, and this user has none: write the whole path.")
    return place


def local(given: str | os.PathLike[str]) -> str:
    """`expanded`, of a file or folder to read or to write. Raises `UserError` for an address of the network."""
    name = named(given)
    if is_address(name):
        raise UserError(f"{name!r} is an address: name a file or folder of this machine, and copy it from there or to there.")
    return expanded(name)
