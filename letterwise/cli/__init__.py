"""Command line: a form over one public function per command.

    letterwise COMMAND --flag value …  ──▶  exit code: 0 done · 2 wrong request, in one sentence · 130, 143 interrupted

Commands are imported when they are called, and torch when they run: `--help` is instant.
"""

from letterwise.cli.main import main

__all__ = ["main"]
