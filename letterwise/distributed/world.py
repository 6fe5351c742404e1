"""World: the processes that train one model together, and what they have to agree on.

RANK, WORLD_SIZE ──joined──▶ World(rank, size): the first one's word, sums, lists of all       one process: trivially so

Whatever depends on a clock, a signal or a disk is decided by the first process and told to the others; all else follows from
the same numbers on each. So no process ever waits for a decision that another did not take.
"""

import itertools
import math
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch import distributed as dist

from letterwise.distributed.environment import place, started_by_torchrun
from letterwise.errors import UserError

T = TypeVar("T")
SPOKEN = "letterwise/spoken"  # in the store that all processes share: one of them says what went wrong
LONGEST_WAIT = timedelta(hours=3)  # for the first process, which may have a large text to read and to count
GONE = ("connection", "broken pipe", "peer", "timed out", "socket")  # words of gloo's complaints about a process that is gone

HELD: list[Any] = []  # PyTorch's group of processes, kept


class ProcessLost(Exception):
    """Another process has ended, and this one cannot go on alone."""


@dataclass(frozen=True)
class World:
    """Process `rank` of `size`; `local_rank` of `local_size` on this machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def alone(self) -> bool:
        """Whether there is no other process."""
        return self.size == 1

    @property
    def first(self) -> bool:
        """Whether this is the process that decides, writes and speaks."""
        return self.rank == 0

    def told(self, value: T) -> T:
        """The first process's value, on all of them."""
        if self.alone:
            return value
        box: list[Any] = [value if self.first else None]
        dist.broadcast_object_list(box)
        return box[0]

    def agreed(self, seconds: float, save: bool, signal: int) -> tuple[float, bool, int]:
        """The first process's clock, whether it wants to save, and a signal that any process was sent (0 for none)."""
        if self.alone:
            return seconds, save, signal
        mine = [seconds, save, signal] if self.first else [-math.inf, 0, signal]
        numbers = torch.tensor(mine, dtype=torch.float64)
        dist.all_reduce(numbers, dist.ReduceOp.MAX)
        seconds, save, signal = numbers.tolist()
        return seconds, bool(save), int(signal)

    def total(self, number: Tensor) -> Tensor:
        """The sum over all processes."""
        if not self.alone:
            dist.all_reduce(number)
        return number

    def mine(self, items: Iterable[T]) -> Iterator[T]:
        """Every so many-th of the items: all processes together take each of them once."""
        return itertools.islice(items, self.rank, None, self.size)

    def in_rounds(self, items: Iterable[T]) -> Iterator[tuple[T, bool, list[T]]]:
        """The items of `mine`, each with those that all processes have in its round. All take part in each round: where there
        is no item left for this one, it gets the round's last, which does not count.
        """
        left = iter(items)
        while some := list(itertools.islice(left, self.size)):
            yield some[min(self.rank, len(some) - 1)], self.rank < len(some), some

    def dealt(self, found: list[T]) -> list[T]:
        """What all processes found for `mine` items, in the order of the items."""
        each = itertools.zip_longest(*self.listed(found))
        return [one for some in each for one in some if one is not None]

    def listed(self, value: T) -> list[T]:
        """The value of each process."""
        if self.alone:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def wait(self) -> None:
        """Wait until all processes are here."""
        if not self.alone:
            self.total(torch.zeros(()))

    def first_then_others(self, do: Callable[[], T]) -> T:
        """`do` on the first process, and when it is done there, on the others: it may leave something on disk for them."""
        done = [do()] if self.first else []
        self.wait()
        return done[0] if done else do()


ALONE = World()


@contextmanager
def joined() -> Generator[World]:
    """The world that this process was started in. An error is said by one process: the others' are marked as said.

    Raises `ProcessLost` when another process ended before its time.
    """
    if not started_by_torchrun():
        yield ALONE
        return
    world = World(*place())
    if dist.is_initialized():  # by whoever calls this
        yield world
        return
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=LONGEST_WAIT)
        # Whoever lets go of a group last waits for its threads. DistributedDataParallel does that with Python's lock, for which
        # such a thread may wait to give back a tensor: a run would never end. Python gives its lock back first (PyTorch 2.13).
        HELD[:] = [dist.group.WORLD]
        yield world
        dist.destroy_process_group()
    except UserError as error:
        error.said = not _may_speak(world)
        raise
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and not any(word in str(error).lower() for word in GONE):
            raise
        raise ProcessLost(str(error)) from error


def _may_speak(world: World) -> bool:
    """Whether nobody else has said what went wrong."""
    with suppress(RuntimeError):  # the store is gone with its process
        return dist.distributed_c10d._get_default_store().add(SPOKEN, 1) == 1
    return world.first
