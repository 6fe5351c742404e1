"""Program: a next command, spelled so that a shell runs it as it stands: pasted, or read out of a file.

sys.argv[0], PATH ──program──▶ letterwise · .venv/bin/letterwise · python generate.py · /usr/bin/python3 -m letterwise
a file's name: -x  ──place──▶ ./-x        arguments: a b, a\\x1b  ──words──▶ 'a b' $'a\\033'
"""

import os
import shlex
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from letterwise.printable import printable

SCRIPTS = ("train.py", "generate.py")


def program(command: str) -> str:
    """`letterwise COMMAND`, spelled so that a shell here finds it."""
    typed, installed = Path(sys.argv[0]), Path(sys.executable).with_name("letterwise")
    if typed.name in SCRIPTS and f"{command}.py" in SCRIPTS:
        return f"{python()} {words([str(typed.with_name(f'{command}.py'))])}"
    if typed.name == "letterwise" and typed.is_file():
        return f"{named(typed)} {command}"
    if typed.name in SCRIPTS and installed.is_file():
        return f"{named(installed)} {command}"
    return f"{python()} -m letterwise {command}"


def python() -> str:
    """The interpreter that runs this."""
    return named(Path(sys.executable))


def named(path: Path) -> str:
    """Its bare name where PATH leads to this very file; else its place, as seen from here where it is below."""
    found = shutil.which(path.name)
    if found and os.path.abspath(found) == os.path.abspath(path):
        return shlex.quote(path.name)
    here = Path.cwd()
    seen = path.relative_to(here) if path.is_absolute() and path.is_relative_to(here) else path
    return words([str(seen) if len(seen.parts) > 1 else f"./{seen}"])  # a bare name is looked for in PATH alone


def place(name: str) -> str:
    """A file's name as an argument: one that begins like a flag, or like a home folder, is one of this folder."""
    return f"./{name}" if name.startswith(("-", "~")) else name


def words(arguments: Iterable[str]) -> str:
    r"""Arguments as a shell reads them. What a terminal would obey is spelled out, as bash, zsh and ksh read it.

    >>> words(["plain", "it's", "two\nlines"])
    "plain 'it'\"'\"'s' $'two\\nlines'"
    """
    return " ".join(shlex.quote(word) if printable(word, one_line=True) == word else spelled_out(word) for word in arguments)


def spelled_out(word: str) -> str:
    """A word between `$'` and `'`, its bytes that are not printable by their numbers."""

    def spelled(character: str) -> str:
        if known := {"\n": r"\n", "\r": r"\r", "\t": r"\t", "\\": r"\\", "'": r"\'"}.get(character):
            return known
        if printable(character) == character:
            return character
        return "".join(f"\\{byte:03o}" for byte in os.fsencode(character))

    return f"$'{''.join(map(spelled, word))}'"
