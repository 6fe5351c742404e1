"""`letterwise completion`: a shell's script that completes commands, flags, choices and file names. Written by shtab."""

import argparse
from typing import Any

from letterwise.cli.flags import Parser
from letterwise.cli.output import to_stdout

SHELLS = ("bash", "zsh", "tcsh")


def add_flags(parser: Parser, arguments: list[str]) -> None:
    """The flags."""
    parser.add_argument("shell", choices=SHELLS, metavar="|".join(SHELLS), help="the shell that is to complete")


def run(flags: dict[str, Any]) -> int:
    """Write the script."""
    import shtab

    to_stdout(shtab.complete(whole_parser(), shell=flags["shell"]))
    return 0


def whole_parser() -> argparse.ArgumentParser:
    """All commands as one parser, with what shtab wants to know of each flag: its choices, or that it names a file."""
    from shtab import DIR, FILE

    from letterwise.cli.main import COMMANDS, command_module

    whole = argparse.ArgumentParser(prog="letterwise")
    whole.add_argument("--version", action="store_true", help="show the version")
    commands = whole.add_subparsers(parser_class=Parser)
    for name, what in COMMANDS.items():
        parser = commands.add_parser(name, help=what)
        command_module(name).add_flags(parser, [])
        for action in parser._actions:
            metavar = action.metavar if isinstance(action.metavar, str) else ""
            if "|" in metavar:
                action.choices = metavar.split("|")
            elif metavar in ("FILE", "DIR", "PATH", "RUN"):
                setattr(action, "complete", DIR if metavar in ("DIR", "RUN") else FILE)  # noqa: B010  shtab reads it there
    return whole
