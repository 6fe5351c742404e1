"""Garbage: Python does not look for it while modules are loaded, nor at the end of the process.

Loading what a command needs makes 200,000 objects, 350,000 with PyTorch, and next to none of them is garbage. Going through
them again and again, and once more before the end, takes as long as the loading itself (docs/log.md).
"""

import atexit
import gc
from functools import cache

LOADED = 500_000  # objects: so many more than before, and all is loaded


def leave_be() -> None:
    """Let Python look for garbage when there are `LOADED` more objects, and from then on as often as it did."""
    usual = gc.get_threshold()
    if usual[0] in (0, LOADED):
        return
    as_usual = _AsUsual(usual)
    gc.callbacks.append(as_usual)
    gc.set_threshold(LOADED, *usual[1:])
    _at_the_end()


def look_again() -> None:
    """All is loaded: from now on as often as before. For what goes on for days."""
    for callback in list(gc.callbacks):
        if isinstance(callback, _AsUsual):
            callback()


class _AsUsual:
    """What is called when Python looks for garbage."""

    def __init__(self, usual: tuple[int, int, int]) -> None:
        self.usual = usual

    def __call__(self, *_: object) -> None:
        gc.callbacks.remove(self)
        gc.set_threshold(*self.usual)


@cache
def _at_the_end() -> None:
    """Once: when the process ends, nobody looks through what it leaves behind."""
    atexit.register(gc.freeze)
