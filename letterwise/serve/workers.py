"""Workers: a few threads for what blocks (loading, scoring, compiling a constraint), and a bound on what waits for them.

another thread ──Arrivals.put──▶ … ──the event loop, woken once for all that is there──▶ queues
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from letterwise.serve.errors import Refused

THREADS = 4

Result = TypeVar("Result")
Given = ParamSpec("Given")


class Arrivals:
    """What another thread has for an event loop: the loop is woken by the first of it, and finds what came until then."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop, self.waiting, self.woken = loop, deque[tuple[asyncio.Queue[Any], Any]](), False

    def put(self, queue: asyncio.Queue[Any], item: Any) -> None:
        """Into a queue of the loop's. Called by another thread."""
        self.waiting.append((queue, item))
        if not self.woken:
            self.woken = True
            self.loop.call_soon_threadsafe(self._arrive)

    def _arrive(self) -> None:
        self.woken = False  # before all is taken: what comes meanwhile may wake the loop once more
        while self.waiting:
            queue, item = self.waiting.popleft()
            queue.put_nowait(item)


class Workers:
    """Threads that event loops wait for."""

    def __init__(self, max_queue: int) -> None:
        self.threads, self.most = ThreadPoolExecutor(THREADS, thread_name_prefix="worker"), THREADS + max_queue
        self.taken = 0

    async def run(self, function: Callable[Given, Result], /, *given: Given.args, **named: Given.kwargs) -> Result:
        """What the function returns. Raises `Refused` when too many wait."""
        if self.taken >= self.most:
            raise Refused.busy(f"{self.taken} requests are waiting to be computed already: try again later.", 2)
        self.taken += 1
        try:
            future = self.threads.submit(function, *given, **named)
            return await asyncio.wrap_future(future)
        finally:
            self.taken -= 1

    def close(self) -> None:
        """Take no more."""
        self.threads.shutdown(wait=False, cancel_futures=True)
