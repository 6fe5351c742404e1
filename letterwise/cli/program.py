"""Program: how this process was started, as words that start it again from the same folder.

sys.argv[0], PATH ──▶ letterwise · .venv/bin/letterwise · python generate.py · /usr/bin/python3 -m letterwise
"""

import os
import shlex
import shutil
import sys
from pathlib import Path


def program(command: str) -> str:
    """`letterwise COMMAND`, spelled so that a shell here finds it."""
    typed = Path(sys.argv[0])
    if typed.name in ("train.py", "generate.py"):
        return f"{python()} {shlex.quote(str(typed.with_name(f'{command}.py')))}"
    if typed.name == "letterwise" and typed.is_file():
        return f"{named(typed)} {command}"
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
    return shlex.quote(str(path.relative_to(here) if path.is_absolute() and path.is_relative_to(here) else path))
