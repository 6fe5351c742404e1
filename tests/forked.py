"""`letterwise …` in a process of its own that need not load anything: a fork of this one, which has.

It has a number, an end, signals, limits and a stdin, stdout and stderr of its own, as any process. What it does not have is
Python's start, and what is decided before PyTorch is loaded: tests of that run `python -m letterwise`.
"""

import faulthandler
import os
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from letterwise.cli.commands import train as command
from letterwise.cli.main import main
from letterwise.compiling.clock import clock
from letterwise.training.prepare import train
from letterwise.training.trainer import Trainer


def started(words: Sequence[str], before: Callable[[], None] = lambda: None, **options: Any) -> subprocess.Popen:
    """`letterwise WORDS`, with the options of `Popen`; `before` is called in the child, and may change it."""
    load_all()

    def become() -> None:
        """Called in the child, whose stdin, stdout, stderr and folder are its own by now. It never returns."""
        code = 1
        try:
            as_if_new()
            before()
            code = main(list(words))
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(code)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # from Python 3.12 on, forks beside threads are warned of
        return subprocess.Popen(["letterwise", *words], preexec_fn=become, restore_signals=False, **options)


@cache
def load_all() -> None:
    """What a run needs is imported as it goes."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "t.txt").write_text("To be, or not to be. " * 40)
        small = dict(n_layer=1, n_head=2, n_embd=16, block_size=16, batch_size=2, max_iters=2, warmup_iters=1)
        for preset in ("fast", "classic"):
            train({**small, "preset": preset, "input_file": (f"{folder}/t.txt",)}, out=f"{folder}/{preset}")


def as_if_new() -> None:
    """Leave behind what belongs to the tests: open files, signals, streams, hooks, the clock."""
    faulthandler.disable()
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # as Python starts
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    sys.unraisablehook, threading.excepthook = sys.__unraisablehook__, threading.__excepthook__
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", errors="backslashreplace", closefd=False)  # noqa: SIM115
    command.PROCESS_STARTED = clock()  # which has stood still as often as this process has compiled


def pausing(*steps: int) -> Callable[[], None]:
    """For `before`: the process stops itself, as SIGSTOP stops it, when it has taken so many steps."""

    def follow() -> None:
        take_step = Trainer.take_step

        def watched(trainer: Trainer, *arguments: Any) -> None:
            take_step(trainer, *arguments)
            if trainer.run.step in steps:
                os.kill(os.getpid(), signal.SIGSTOP)

        Trainer.take_step = watched

    return follow


def paused(process: subprocess.Popen) -> None:
    """Wait until it has stopped itself. SIGCONT lets it go on."""
    if os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT).si_code != os.CLD_STOPPED:
        raise AssertionError(f"it ended: {process.communicate()}")
    os.waitid(os.P_PID, process.pid, os.WSTOPPED)
