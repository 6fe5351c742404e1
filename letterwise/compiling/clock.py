"""Clock: one that stops while functions are compiled; and what is said where that takes long.

with COMPILATION: …      clock() ──▶ seconds, without those
"""

import logging
import threading
import time
from contextlib import ExitStack
from typing import Any

from letterwise.compiling.signals import held_back

LOG = logging.getLogger("letterwise")  # a program that configures nothing shows warnings on stderr
SILENT_S, AGAIN_S = 0.5, 15.0  # no message before; then one every so many seconds


class Compilation:
    """How long this process has compiled. Logs it where that takes long. Signals are held back meanwhile."""

    def __init__(self) -> None:
        self.running, self.seconds, self.began = False, 0.0, 0.0
        self.over, self.reported = threading.Event(), False
        self.signals = ExitStack()

    def __enter__(self) -> None:
        self.signals.enter_context(held_back())
        self.running, self.began, self.over = True, time.monotonic(), threading.Event()
        threading.Thread(target=self._report, args=(self.over,), name="letterwise-compiling", daemon=True).start()

    def __exit__(self, *error: Any) -> None:
        self.over.set()
        self.seconds += time.monotonic() - self.began
        self.running = False
        self.signals.close()

    def so_far(self) -> float:
        """Seconds spent compiling, up to now."""
        return self.seconds + (time.monotonic() - self.began if self.running else 0.0)

    def _report(self, over: threading.Event) -> None:
        if over.wait(max(0.0, SILENT_S - self.seconds)):
            return
        if not self.reported:
            self.reported = True
            LOG.warning("compiling the engine for this processor, once: it takes about ten seconds, longer on a busy machine …")
        while not over.wait(AGAIN_S):
            LOG.warning("still compiling, for %.0f s now …", self.so_far())


COMPILATION = Compilation()


def clock() -> float:
    """`time.monotonic`, stopped while functions are compiled: users' minutes and seconds are measured with it."""
    return time.monotonic() - COMPILATION.so_far()
