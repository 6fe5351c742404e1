"""Side by side: the same results in the same order, and PyTorch's threads as they were."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from letterwise.runtime.side_by_side import AHEAD, side_by_side


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 50])
def test_results_come_in_order(threads: int, count: int) -> None:
    assert list(side_by_side(lambda n: n * n, range(count), threads)) == [n * n for n in range(count)]


def test_two_compute_at_the_same_time_with_one_thread_each() -> None:
    both = threading.Barrier(2, timeout=600)

    def meet(n: int) -> int:
        if n:  # the first is computed alone
            both.wait()
        return torch.get_num_threads()

    assert list(side_by_side(meet, range(5), 2)) == [2, 1, 1, 1, 1]


def test_a_lone_thread_computes_where_it_is_asked() -> None:
    here = threading.get_ident()
    assert set(side_by_side(lambda n: threading.get_ident(), range(9), 1)) == {here}
    assert set(side_by_side(lambda n: threading.get_ident(), range(2), 2)) == {here}  # a second thread would have nothing to do


def test_few_are_computed_ahead() -> None:
    """Results take room: what nobody has asked for yet is not computed without end."""
    taken = []

    def endless() -> Iterator[int]:
        n = 0
        while True:
            taken.append(n)
            yield n
            n += 1

    results = side_by_side(lambda n: n, endless(), 2)
    assert [next(results) for _ in range(10)] == [*range(10)]
    assert len(taken) <= 10 + 2 * AHEAD
    threads = threading.active_count()
    results.close()
    assert threading.active_count() == threads - 2


def test_several_at_once_leave_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """While one lets its threads compute alone, another begins: both go back to 2, and so does what begins later."""
    inside, proceed, set_num_threads = threading.Event(), threading.Event(), torch.set_num_threads

    def slowly(number: int) -> None:
        set_num_threads(number)
        if number == 1 and not inside.is_set():
            inside.set()
            proceed.wait(60)

    monkeypatch.setattr(torch, "set_num_threads", slowly)
    with ThreadPoolExecutor(2) as callers:
        first = callers.submit(lambda: list(side_by_side(str, range(5), 2)))
        assert inside.wait(60)
        second = callers.submit(lambda: (torch.get_num_threads(), list(side_by_side(str, range(5), 2))))
        proceed.set()
        assert first.result() == second.result()[1] == [*"01234"]
    with ThreadPoolExecutor(1) as later:
        assert later.submit(torch.get_num_threads).result() == 2


def test_an_error_ends_it() -> None:
    with pytest.raises(ZeroDivisionError):
        list(side_by_side(lambda n: 1 / (n - 7), range(100), 2))


def test_an_error_of_the_items_ends_it() -> None:
    def broken() -> Iterator[int]:
        yield from range(5)
        raise KeyError("text")

    with pytest.raises(KeyError):
        list(side_by_side(lambda n: n, broken(), 2))
