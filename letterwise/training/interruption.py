"""Interruption: a signal asks the run to end after its current step, instead of tearing it in the middle.

Ctrl-C, kill, a closed terminal ──▶ flag ──▶ the loop saves and stops; a second signal ends the process at once
"""

import contextlib
import signal
import threading
from types import FrameType
from typing import Any

ALWAYS = (signal.SIGINT, signal.SIGTERM)
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Interrupted(Exception):
    """The run was asked to stop. `signal_number` is what asked."""

    def __init__(self, signal_number: int, message: str = "") -> None:
        super().__init__(message)
        self.signal_number = signal_number


class Interruption:
    """Listens for SIGINT, SIGTERM and SIGHUP while its block runs (for the last one not under nohup, which ignores it)."""

    def __init__(self) -> None:
        self.asked: int | None = None
        self.before: dict[int, Any] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():  # Python delivers signals nowhere else
            for number in SIGNALS:
                if number in ALWAYS or signal.getsignal(number) != signal.SIG_IGN:
                    self.before[number] = signal.signal(number, self._ask)
        return self

    def check(self) -> None:
        """Raises `Interrupted` once a signal has come."""
        if self.asked:
            raise Interrupted(self.asked)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self.before.items():
            with contextlib.suppress(TypeError):  # a handler that Python did not set cannot be set again
                signal.signal(number, handler)

    def __exit__(self, *error: object) -> None:
        self._restore()
