"""Interruption: a signal asks the run to end, instead of tearing it in the middle of something.

Ctrl-C, kill, a closed terminal ──▶ flag ──▶ the loop saves and stops; a second signal ends the process at once

A step changes nothing before its gradients are complete. So it is given up between two layers, forward or backward, and what
is saved is the state after the last whole step. The optimizer's part is not cut: where that takes long, a note says so.
"""

import contextlib
import signal
import threading
from collections.abc import Callable, Generator, Sequence
from types import FrameType
from typing import Any

from torch import Tensor, nn

from letterwise.progress import Note

ALWAYS = (signal.SIGINT, signal.SIGTERM)
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


PATIENCE_S = 2.0  # then a note says what is still being done
WAITING = "stopping: a layer, a look-up in the counts, the optimizer's step or a file is still being finished."
AGAIN = " A second signal ends the run at once."


class Interrupted(Exception):
    """The run was asked to stop. `signal_number` is what asked."""

    def __init__(self, signal_number: int, message: str = "") -> None:
        super().__init__(message)
        self.signal_number = signal_number


class Interruption:
    """Listens for SIGINT, SIGTERM and SIGHUP while its block runs (for the last one not under nohup, which ignores it)."""

    def __init__(self, note: Note = lambda text: None, *, alone: bool = True) -> None:
        """`note` is called with what is still being done, where ending takes long.

        A process that is not `alone` ends when all of them do: `check` lets it go on until then. A second signal is nothing new
        to it: Slurm sends one to every process, and torchrun, which gets it, too, passes it on.
        """
        self.asked, self.alone = 0, alone
        self.waiting = threading.Timer(PATIENCE_S, note, (WAITING + AGAIN * alone,))
        self.waiting.daemon = True
        self.before: dict[int, Any] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():  # Python delivers signals nowhere else
            for number in SIGNALS:
                if number in ALWAYS or signal.getsignal(number) != signal.SIG_IGN:
                    self.before[number] = signal.signal(number, self._ask)
        return self

    def check(self) -> None:
        """Raises `Interrupted` once a signal has come."""
        if self.asked and self.alone:
            raise Interrupted(self.asked)

    def heed(self, asked: int) -> None:
        """Raises `Interrupted` where this signal came, here or to another process, or has come since."""
        if asked:
            raise Interrupted(asked)
        self.check()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if not self.asked:
            self.waiting.start()
        self.asked = self.asked or number
        if self.alone:
            self._restore()

    def _restore(self) -> None:
        for number, handler in self.before.items():
            with contextlib.suppress(TypeError):  # a handler that Python did not set cannot be set again
                signal.signal(number, handler)

    def __exit__(self, *error: object) -> None:
        self._restore()
        self.waiting.cancel()


@contextlib.contextmanager
def between_layers(layers: Sequence[nn.Module], check: Callable[[], None]) -> Generator[None]:
    """While it lasts, `check` is called before and behind each of the layers in training, on the way forward and back."""

    def before(layer: nn.Module, inputs: object) -> None:
        if layer.training:
            check()

    def behind(layer: nn.Module, inputs: object, output: Tensor) -> None:
        if layer.training and output.requires_grad:
            output.register_hook(lambda gradient: check())

    hooks = [layer.register_forward_pre_hook(before) for layer in layers]
    hooks += [layer.register_forward_hook(behind) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
