"""Threads: a pool whose threads run one compiled function together, each its share, with barriers where they need each other.

    run(function, …) ──▶ function(…, Thread(0, threads))   function(…, Thread(1, threads))   …
                              barrier ═════════════════════════ barrier

A barrier costs a fraction of a microsecond, where handing each product to other threads costs several. It needs all of them to
be running: where other processes want the processors, too, one thread is faster. So the pool measures how long work of a kind
takes with one thread and with all, keeps to what is faster, and tries the other again now and then.
"""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir

from letterwise.compiling.called import instructions
from letterwise.compiling.parts import part
from letterwise.inference.cpu.simd import declared

LINE = 8  # numbers of 8 bytes: a line of the processor's cache, which each thread's count has to itself
CANCELLED, CLAIMED, DONE = 0, 1, 2  # places in `arrivals`: whether to wait no more; pieces of work that are taken, and done
ARRIVED = LINE  # and from there on, how often each thread has come to a barrier
SPINS = 20_000  # looks, some 10 µs, before a waiting thread offers its processor to others
RETRY = 32  # after so many runs the slower way is tried again
SMOOTHING = 0.1  # how much of one slower time is added to the known one
LOCK = threading.Lock()  # one pool has the processors: while it is busy, others run in one thread


class Thread(NamedTuple):
    """One of the threads that run a function together."""

    arrivals: np.ndarray  # (LINE · (1 + threads),): how often each has come to a barrier, and more; see `CANCELLED`
    rank: int
    threads: int


ALONE = Thread(np.zeros(ARRIVED + LINE, np.int64), 0, 1)  # it waits for nobody


def place_of(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
    """Where an array's number of 8 bytes is: the first two arguments."""
    begin = context.make_array(signature.args[0])(context, builder, arguments[0]).data
    return builder.gep(begin, [arguments[1]])


@instructions()
def atomic_store(context, builder, signature, arguments):
    """array[place] = value, for others to see, with all that was written before."""
    builder.store_atomic(arguments[2], place_of(context, builder, signature, arguments), "release", 8)
    return context.get_dummy_value()


@instructions("int64")
def atomic_load(context, builder, signature, arguments):
    """array[place], as it is now, and with it all that was written before."""
    return builder.load_atomic(place_of(context, builder, signature, arguments), "acquire", 8)


@instructions("int64")
def atomic_add(context, builder, signature, arguments):
    """array[place] += value, which no other thread can come between. Gives what was there, with all that was written before."""
    return builder.atomic_rmw("add", place_of(context, builder, signature, arguments), arguments[2], "acq_rel")


@instructions("int32")
def yield_processor(context, builder, signature, arguments):
    """Let another thread have the processor: the system's function."""
    return builder.call(declared(builder, "sched_yield", ir.IntType(32), []), [])


@part()
def claim(thread, taken):
    """The next piece of work that nobody has taken; the thread has done those that it was given before, `taken` if alone."""
    if thread.threads == 1:
        return taken
    if taken:
        atomic_add(thread.arrivals, DONE, 1)
    return atomic_add(thread.arrivals, CLAIMED, 1)


@part()
def wait_for(thread, pieces):
    """Wait until so many pieces of work are done. Who comes too late to do any, nobody waits for."""
    looks = 0
    while thread.threads > 1 and atomic_load(thread.arrivals, DONE) < pieces and atomic_load(thread.arrivals, CANCELLED) == 0:
        looks += 1
        if looks > SPINS:
            yield_processor()


@part()
def barrier(thread):
    """Wait until all threads have come here as often. What one wrote before, all see behind it."""
    if thread.threads == 1:
        return
    arrivals = thread.arrivals
    turn = arrivals[ARRIVED + thread.rank * LINE] + 1
    atomic_store(arrivals, ARRIVED + thread.rank * LINE, turn)
    for other in range(thread.threads):
        looks = 0  # without the instruction to pause: on a virtual machine that may stop the processor
        while atomic_load(arrivals, ARRIVED + other * LINE) < turn and atomic_load(arrivals, CANCELLED) == 0:
            looks += 1
            if looks > SPINS:
                yield_processor()


class ThreadPool:
    """So many threads at most, for one owner's work. They begin with the first work that needs them, and end with the owner."""

    def __init__(self, threads: int, min_work: int) -> None:
        """`min_work`: how much each thread must have to do for several to be worth it."""
        self.threads, self.min_work = threads, min_work
        self.timings: dict[tuple[Callable[..., int], int, int], Timing] = {}
        self.executor: ThreadPoolExecutor | None = None
        self.process = 0  # the executor's

    def run(self, function: Callable[..., int], work: int, steps: int, *arguments: Any, apart: bool = False) -> None:
        """Call `function(*arguments, thread)` in one thread or in all.

        It takes so many `steps` at most, each of this much `work`, and returns how many it took. While it is not compiled it
        runs in one thread. Threads that work `apart` never wait for each other: then all are faster than one.
        """
        if self.threads == 1 or work * steps < self.min_work * self.threads or not getattr(function, "compiled", True):
            function(*arguments, ALONE)
            return
        timing = self.timings.setdefault((function, work.bit_length(), steps.bit_length()), Timing())
        parallel, began = apart or timing.choose_parallel(), time.perf_counter()
        if parallel and LOCK.acquire(blocking=False):
            try:
                taken = self._parallel(function, arguments)
            finally:
                LOCK.release()
        else:
            parallel = False
            taken = function(*arguments, ALONE)
        timing.record(parallel, (time.perf_counter() - began) / taken)

    def _parallel(self, function: Callable[..., int], arguments: tuple[Any, ...]) -> int:
        """In all threads."""
        threads = self.threads
        if self.executor is None or self.process != os.getpid():  # a fork has no threads but its own
            self.process, self.executor = os.getpid(), ThreadPoolExecutor(threads - 1, "letterwise")
        arrivals = np.zeros(ARRIVED + threads * LINE, np.int64)
        try:
            others = [
                self.executor.submit(run_share, function, arguments, Thread(arrivals, rank, threads))
                for rank in range(1, threads)
            ]
            steps = function(*arguments, Thread(arrivals, 0, threads))  # at its end all work is done
        except BaseException:  # Ctrl-C, perhaps before all were there: nobody waits for those who do not come
            arrivals[CANCELLED] = 1
            raise
        if arrivals[CANCELLED]:
            for other in others:
                other.result()
        return steps


def run_share(function: Callable[..., int], arguments: tuple[Any, ...], thread: Thread) -> None:
    """One thread's share; where it fails, nobody waits for it."""
    try:
        function(*arguments, thread)
    except BaseException:
        thread.arrivals[CANCELLED] = 1
        raise


class Timing:
    """How long a step of some work takes, in seconds: in one thread, and in all."""

    def __init__(self) -> None:
        self.runs, self.seconds = 0, [0.0, 0.0]

    def choose_parallel(self) -> bool:
        """Whether to use all threads this time: where that was faster, but now and then the other way."""
        self.runs += 1
        if self.runs <= 4:  # the first of each may compile, or start threads; the second ones are measured
            return self.runs > 2
        return (self.seconds[1] < self.seconds[0]) != (self.runs % RETRY == 0)

    def record(self, parallel: bool, seconds: float) -> None:
        """Note it. One slow time counts little, as anything may have come between; what was long not tried, counts as it is."""
        before = self.seconds[parallel]
        if not before or seconds < before or self.runs % RETRY == 0:
            self.seconds[parallel] = seconds if self.runs not in (1, 3) else 0.0
        else:
            self.seconds[parallel] = before + SMOOTHING * (seconds - before)
