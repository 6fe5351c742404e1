"""Side by side: a function of many things, each computed by one thread, and some of them at a time.

    item, item, item, … ──a thread each──▶ result, result, result, … in their order

PyTorch would divide each of its operations among all threads, some hundred times a batch, and wait for the slowest each
time. Threads that compute a batch each wait for nobody, and one whose processor is busy with another program delays its own
batch only.
"""

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")
ONE_AT_A_TIME = threading.Lock()  # or one would take another's 1 for the number of the process
AHEAD = 2  # batches for each thread: while one is taken, the next is computed


def side_by_side(function: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Iterator[Result]:
    """`function` of each of the items, in their order, by so many threads; by one, where there is but one item.

    The first is computed before any other: what the function keeps for later is then there.
    """
    left = iter(items)
    yield from map(function, itertools.islice(left, 1))
    started = list(itertools.islice(left, 2))
    if threads < 2 or len(started) < 2:
        yield from map(function, itertools.chain(started, left))
        return
    pool = ThreadPoolExecutor(threads, "letterwise")
    try:
        one_thread_each(pool, threads)
        running = deque[Future[Result]](pool.submit(function, item) for item in started)
        for item in left:
            if len(running) == AHEAD * threads:
                yield running.popleft().result()
            running.append(pool.submit(function, item))
        while running:
            yield running.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def one_thread_each(pool: ThreadPoolExecutor, threads: int) -> None:
    """Let all threads of a new pool compute by themselves. PyTorch's number of threads stays what it is everywhere else."""
    all_know, all_here = threading.Barrier(threads), threading.Barrier(threads)

    def alone() -> int:
        number = torch.get_num_threads()  # that of the process, as for each thread that begins
        all_know.wait()
        torch.set_num_threads(1)  # of this thread, and of those that begin now
        all_here.wait()
        return number

    with ONE_AT_A_TIME:
        numbers = {done.result() for done in [pool.submit(alone) for _ in range(threads)]}
        restoring = threading.Thread(target=torch.set_num_threads, args=(max(numbers),))  # not here: this thread has its own
        restoring.start()
        restoring.join()
