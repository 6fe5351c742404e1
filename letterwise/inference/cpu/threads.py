"""Threads: a pool that goes through one compiled function together, each its share, waiting for each other where they must.

    run(function, …) ──▶ function(…, gate, 0, threads)   function(…, gate, 1, threads)   …
                              meet(gate, 0, threads)  ═══════  meet(gate, 1, threads)

Meeting costs a fraction of a microsecond, where handing each product to other threads costs several. It needs all of them to be
running: where other processes want the processors, too, a lone thread is faster. So the team measures how long work of a kind
takes it with one thread and with all, keeps to what is faster, and looks again now and then.
"""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from letterwise.compiling.parts import part

LINE = 8  # numbers of 8 bytes: a line of the processor's cache, which each thread's count has to itself
GIVEN_UP, OWN = 0, LINE  # places in a gate: whether to wait no more, and how often each thread has come here
PATIENCE = 20_000  # looks, some 10 µs, before a waiting thread offers its processor to others
AGAIN = 32  # after so many times the other way is tried again
SLOWLY = 0.1  # what one slower time adds to what is known
compiled: Any = intrinsic
ALONE = np.zeros(OWN + LINE, np.int64)  # the gate of a lone thread, which waits for nobody
LOCK = threading.Lock()  # there is one team in a process: who finds it at work goes alone
yield_processor = types.ExternalFunction("sched_yield", types.int32())


@compiled
def tell(typing_context, gate, place, value):
    """gate[place] = value, for others to see, with all that was written before."""

    def generate(context, builder, signature, arguments):
        begin = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        builder.store_atomic(arguments[2], builder.gep(begin, [arguments[1]]), "release", 8)
        return context.get_dummy_value()

    return types.void(gate, types.int64, types.int64), generate


@compiled
def look(typing_context, gate, place):
    """gate[place], as it is now, and with it all that was written before."""

    def generate(context, builder, signature, arguments):
        begin = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.load_atomic(builder.gep(begin, [arguments[1]]), "acquire", 8)

    return types.int64(gate, types.int64), generate


@part(_nrt=False)
def meet(gate, thread, threads):
    """Wait until all threads have come here as often. What one wrote before, all see behind it."""
    if threads == 1:
        return
    turn = gate[OWN + thread * LINE] + 1
    tell(gate, OWN + thread * LINE, turn)
    for other in range(threads):
        looks = 0  # without the instruction to pause: on a virtual machine that may stop the processor
        while look(gate, OWN + other * LINE) < turn and look(gate, GIVEN_UP) == 0:
            looks += 1
            if looks > PATIENCE:
                yield_processor()


class Team:
    """So many threads at most, for one owner's work."""

    pool: ThreadPoolExecutor | None = None
    size, process = 0, 0  # the pool's

    def __init__(self, threads: int, worth: int) -> None:
        """`worth`: how large a piece of work must be, for each thread, to be worth going together."""
        self.threads, self.worth = threads, worth
        self.kinds: dict[tuple[Callable[..., int], int, int], Pace] = {}

    def run(self, function: Callable[..., int], size: int, most: int, *arguments: Any) -> None:
        """Call `function(*arguments, gate, thread, threads)` in one thread or in all.

        It does pieces of this `size`, so many at `most`, and tells how many. One that is not compiled yet runs in one thread.
        """
        if self.threads == 1 or size * most < self.worth * self.threads or not getattr(function, "compiled", True):
            function(*arguments, ALONE, 0, 1)
            return
        pace = self.kinds.setdefault((function, size.bit_length(), most.bit_length()), Pace())
        together, began = pace.together(), time.perf_counter()
        if together and LOCK.acquire(blocking=False):
            try:
                pieces = self._together(function, arguments)
            finally:
                LOCK.release()
        else:
            together = False
            pieces = function(*arguments, ALONE, 0, 1)
        pace.took(together, (time.perf_counter() - began) / pieces)

    def _together(self, function: Callable[..., int], arguments: tuple[Any, ...]) -> int:
        """In all threads."""
        if Team.pool is None or Team.size < self.threads or Team.process != os.getpid():  # a fork has no threads but its own
            Team.size, Team.process = self.threads, os.getpid()
            Team.pool = ThreadPoolExecutor(self.threads - 1, "letterwise")
        gate = np.zeros(OWN + self.threads * LINE, np.int64)
        try:
            others = [Team.pool.submit(share, function, arguments, gate, t, self.threads) for t in range(1, self.threads)]
            pieces = function(*arguments, gate, 0, self.threads)  # its last act is to meet: the others are at their end, too
        except BaseException:  # Ctrl-C, perhaps before all were there: nobody waits for those who do not come
            gate[GIVEN_UP] = 1
            raise
        if gate[GIVEN_UP]:
            for other in others:
                other.result()
        return pieces


def share(function: Callable[..., int], arguments: tuple[Any, ...], gate: np.ndarray, thread: int, threads: int) -> None:
    """One thread's part; where it fails, nobody waits for it."""
    try:
        function(*arguments, gate, thread, threads)
    except BaseException:
        gate[GIVEN_UP] = 1
        raise


class Pace:
    """How long a piece of some work takes, in seconds: alone, and together."""

    def __init__(self) -> None:
        self.runs, self.seconds = 0, [0.0, 0.0]

    def together(self) -> bool:
        """Whether to go together this time: what was faster, but now and then the other."""
        self.runs += 1
        if self.runs <= 4:  # the first of each may compile, or start threads; the others are measured
            return self.runs > 2
        return (self.seconds[1] < self.seconds[0]) != (self.runs % AGAIN == 0)

    def took(self, together: bool, seconds: float) -> None:
        """Note it. One slow time counts little, as anything may have come between; what was long not tried, counts as it is."""
        before = self.seconds[together]
        if not before or seconds < before or self.runs % AGAIN == 0:
            self.seconds[together] = seconds if self.runs not in (1, 3) else 0.0
        else:
            self.seconds[together] = before + SLOWLY * (seconds - before)
