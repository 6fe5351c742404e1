"""Main: find the command, run it, and turn whatever went wrong into one sentence and an exit code."""

import importlib
import os
import re
import signal
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from keyword import iskeyword
from types import FrameType, ModuleType
from typing import Any

import letterwise
from letterwise.cli import garbage
from letterwise.cli.flags import Parser, normalized
from letterwise.cli.output import discard, logged_to_stderr, to_stderr, words_to_stdout
from letterwise.distributed.environment import speaks
from letterwise.errors import Terminated, UserError, did_you_mean
from letterwise.runtime.waiting import share_processors

COMMANDS = {
    "train": "train a model on a text",
    "plan": "show what train --minutes would choose, without training",
    "sweep": "search for the settings that learn a text best, in one process or several",
    "generate": "continue a seed text",
    "evaluate": "measure a model on a text, in bits per character",
    "score": "show what each character costs, find odd lines, find the model that fits a text best",
    "novelty": "show how much of a text is copied from the training text",
    "compress": "compress any file with the predictions of a model",
    "decompress": "restore a compressed file, with the same model",
    "export": "write a model as transformers, llama.cpp, onnxruntime or a browser read it",
    "compare": "compare runs: their figures, and which settings differ",
    "serve": "open a page to write and look with, and answer as OpenAI's API does",
    "import": "turn a checkpoint of another program into a model file",
    "inspect": "show what is inside a model file",
    "completion": "write a script with which a shell completes commands and flags",
}

OPERANDS = {"import": "FILE "}  # what a command takes beside flags
FLAG = re.compile(r"(?<![\w-])--[a-z]\w*")
AGAIN_S = 0.01  # until a signal is sent once more that was raised where Python ignores it
ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


def main(arguments: list[str] | None = None) -> int:
    """Run one command line; the exit code."""
    garbage.leave_be()
    with ending_in_order(), logged_to_stderr():
        try:
            return _run(sys.argv[1:] if arguments is None else arguments)
        except UserError as error:
            if not (error.said or (error.said is None and not speaks())):
                to_stderr(f"letterwise: {error}")
            return 2
        except ModuleNotFoundError as error:
            if (error.name or "letterwise").split(".")[0] == "letterwise":
                raise
            to_stderr(
                f"letterwise: this Python ({sys.executable}) has no {error.name}: `make demo` sets up .venv with all that is "
                "needed; then `source .venv/bin/activate`, and the same command again."
            )
            return 2
        except MemoryError:
            to_stderr("letterwise: this machine has not enough memory for that: ask for less at once.")
            return 2
        except BrokenPipeError:  # `| head` has read enough
            discard(sys.stdout)
            return 0
        except OSError as error:
            what = f" {str(error.filename)!r}" if error.filename else ""
            to_stderr(f"letterwise: the operating system refuses{what}: {error.strerror or error}.")
            return 2
        except KeyboardInterrupt:
            return 128 + signal.SIGINT
        except Terminated as ended:
            return 128 + ended.signal_number
        except SystemExit as done:  # of argparse, after --help
            return int(done.code or 0)


@contextmanager
def ending_in_order() -> Generator[None]:
    """Lets SIGTERM and SIGHUP end the process as Ctrl-C does, step by step; a second one ends it at once.

    In some places Python ignores what is raised, as in the callback of a weak reference: then the signal comes once more.
    """
    before: dict[int, Any] = {}

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise Terminated(number)

    def ignored(what: Any) -> None:
        if isinstance(what.exc_value, Terminated):
            number = what.exc_value.signal_number
            signal.signal(number, end)
            again = threading.Timer(AGAIN_S, os.kill, (os.getpid(), number))
            again.daemon = True
            again.start()
        else:
            reported(what)

    if threading.current_thread() is threading.main_thread():  # Python delivers signals nowhere else
        for number in ENDING:
            if signal.getsignal(number) == signal.SIG_DFL:
                before[number] = signal.signal(number, end)
    reported, sys.unraisablehook = sys.unraisablehook, ignored
    try:
        yield
    finally:
        sys.unraisablehook = reported
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(arguments: list[str]) -> int:
    """Run a command. The exit code. Raises `UserError`, which names the command's flags as it spells them."""
    if not arguments or arguments[0] in ("-h", "--help"):
        words_to_stdout(overview() + "\n")
        return 0
    if arguments[0] == "--version":
        words_to_stdout(f"letterwise {letterwise.__version__}\n")
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        raise UserError(f"there is no command {name!r}: {did_you_mean(name, COMMANDS)}")
    try:
        os.getcwd()
    except FileNotFoundError:  # libraries that are loaded below end the process there, without a word of ours
        raise UserError("the current folder is no longer there: `cd` to one that is.") from None
    share_processors()  # before the command loads PyTorch
    command = command_module(name)
    parser = Parser(
        prog=f"letterwise {name}",
        usage=f"letterwise {name} {OPERANDS.get(name, '')}[--flag value …]",
        description=f"{COMMANDS[name].capitalize()}.",
    )
    rest = normalized(rest)
    command.add_flags(parser, rest)
    try:
        return command.run(parser.parse(rest))
    except UserError as error:
        named = UserError(placed(str(error), name))
        named.said = error.said
        raise named from error


def command_module(name: str) -> ModuleType:
    """Where a command is: in a file of its name, and `import` in import_model.py, as a keyword names no module."""
    return importlib.import_module(f"letterwise.cli.commands.{name}{'_model' if iskeyword(name) else ''}")


def placed(message: str, command: str) -> str:
    """A message, with whose flags it names where they are not this command's: lower layers do not know who asks."""
    named = dict.fromkeys(FLAG.findall(message))
    away = [flag for flag in named if flag not in flags_of(command)]
    if not away:
        return message
    for other in COMMANDS:
        if set(away) <= flags_of(other):
            names_it = re.search(rf"\b{other}\b", message)
            return message if names_it else f"{message} ({' and '.join(away)}: of `letterwise {other}`.)"
    return message


def flags_of(command: str) -> set[str]:
    """Every flag of a command."""
    parser = Parser(prog=f"letterwise {command}")
    command_module(command).add_flags(parser, [])
    return {option for action in parser._actions for option in action.option_strings}


def overview() -> str:
    """What `letterwise --help` says."""
    lines = [f"  {name:<10} {what}" for name, what in COMMANDS.items()]
    return "\n".join(
        [
            "usage: letterwise COMMAND [--flag value …]",
            "",
            *lines,
            "",
            "letterwise COMMAND --help lists the flags of a command.",
        ]
    )
