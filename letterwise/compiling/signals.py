"""Signals: those that would interrupt a compilation wait until it is over, since an exception on the way would be lost.

    SIGINT, SIGTERM, SIGHUP ──held_back──▶ after the block, as if they came then        a second one: the end, at once

LLVM calls Python back when it has made a function's machine code. What a signal's handler raises there goes nowhere (Python
prints that it was ignored), and the code that was to be handed over is missing: a traceback, and the Ctrl-C forgotten. It
nearly always is there, for a handler runs when Python's next instruction does, and LLVM has none for seconds.
"""

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


@contextmanager
def held_back() -> Generator[None]:
    """Holds signals back that have handlers, in the main thread: Python delivers them nowhere else."""
    came, before = list[int](), dict[int, Any]()

    def hold(number: int, frame: FrameType | None) -> None:
        if number in came:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        came.append(number)

    if threading.current_thread() is threading.main_thread():
        for number in (getattr(signal, name) for name in NAMES if hasattr(signal, name)):
            if callable(signal.getsignal(number)):
                before[number] = signal.signal(number, hold)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in came:
            signal.raise_signal(number)
