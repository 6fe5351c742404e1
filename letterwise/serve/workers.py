"""Workers: a few threads for what blocks (loading, scoring, compiling a constraint), and a bound on what waits for them."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from letterwise.serve.errors import Refused

THREADS = 4

Result = TypeVar("Result")
Given = ParamSpec("Given")


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
