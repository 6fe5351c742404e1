"""Main: find the command, run it, and turn whatever went wrong into one sentence and an exit code."""

import importlib
import os
import signal
import sys

import letterwise
from letterwise.cli.flags import Parser, normalized
from letterwise.errors import UserError, did_you_mean

COMMANDS = {
    "train": "learn a text",
    "plan": "say what train --minutes would choose, without training",
    "generate": "write on from a seed text",
    "evaluate": "measure a model on a text, in bits per character",
    "score": "show what each character costs, find odd lines, tell which model's text it is",
    "novelty": "tell how much of a text is copied from the training text",
    "compress": "pack any file into the bits that a model needs to tell it",
    "decompress": "unpack it, with the same model",
    "inspect": "show what is inside a model file",
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command line; the exit code."""
    try:
        return _run(sys.argv[1:] if arguments is None else arguments)
    except UserError as error:
        print(f"letterwise: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:  # `| head` has read enough; point stdout elsewhere, since Python flushes it once more on exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(overview())
        return 0
    if arguments[0] == "--version":
        print(f"letterwise {letterwise.__version__}")
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        raise UserError(f"there is no command {name!r}: {did_you_mean(name, COMMANDS)}")
    command = importlib.import_module(f"letterwise.cli.{name}")
    usage = f"letterwise {name} [--flag value …]"
    parser = Parser(prog=f"letterwise {name}", usage=usage, description=f"{COMMANDS[name].capitalize()}.")
    command.add_flags(parser, rest)
    return command.run(parser.parse(normalized(rest)))


def overview() -> str:
    """What `letterwise --help` says."""
    lines = [f"  {name:<10} {what}" for name, what in COMMANDS.items()]
    return "\n".join(
        ["usage: letterwise COMMAND [--flag value …]", "", *lines, "", "letterwise COMMAND --help tells a command's flags."]
    )
