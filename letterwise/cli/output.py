"""Output: stdout carries the result and nothing else, character for character."""

import json
import sys
from typing import Any


def say(text: str) -> None:
    """Write text exactly (no newline is added or translated; bytes of a byte vocabulary survive) and at once."""
    sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
    sys.stdout.buffer.flush()


def say_json(value: dict[str, Any]) -> None:
    """One JSON object on one line."""
    say(json.dumps(value) + "\n")


def end_line() -> None:
    """On a terminal, end the line that exact text left open; in a pipe or file, add nothing to it."""
    if sys.stdout.isatty():
        say("\n")
