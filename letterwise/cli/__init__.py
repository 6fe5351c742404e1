"""Command line: a form over one public function per command.

    letterwise COMMAND --flag value …  ──▶  exit code: 0 done · 2 wrong request, in one sentence · 130, 143 interrupted

Commands are imported when they are called, and torch when they run: `--help` is instant.
"""

import time

PROCESS_STARTED = time.monotonic()  # as near as can be: a run's minutes count loading torch, too

from letterwise.cli.main import main  # noqa: E402

__all__ = ["PROCESS_STARTED", "main"]
