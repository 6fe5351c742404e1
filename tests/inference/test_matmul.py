"""Products: what NumPy says, the same bits in any company; and the threads that share them."""

import gc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterwise.compiling.entry import entry
from letterwise.inference.cpu.matmul import (
    LANES,
    dot_keys,
    matmul,
    padded,
    panel_matmul,
    strip_offset,
    tile_offset,
    to_panels,
    to_tiles,
    weighted_sum,
)
from letterwise.inference.cpu.threads import ALONE, RETRY, Thread, ThreadPool, Timing, barrier


@entry(waits=True)
def by_panels(panels, x, count, y):
    """What compiled code calls."""
    panel_matmul(panels, x, count, y)


sizes, seeds = st.integers(1, 40), st.integers(0, 99)


def rows_of(vectors: np.ndarray) -> np.ndarray:
    """The same, padded with zeros."""
    return np.pad(vectors, ((0, 0), (0, padded(vectors.shape[1]) - vectors.shape[1]))).astype(np.float32)


@given(outputs=sizes, inputs=sizes, count=st.integers(1, 8), threads=st.integers(1, 3), seed=seeds)
def test_a_product_is_the_product(outputs: int, inputs: int, count: int, threads: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    matrix, vectors = random.normal(size=(outputs, inputs)).astype(np.float32), random.normal(size=(count, inputs))
    tiles, x = to_tiles(matrix), rows_of(vectors)
    together, alone = (np.full((count, padded(outputs)), np.nan, np.float32) for _ in range(2))
    for thread in range(threads):
        matmul(tiles, x, count, together, Thread(ALONE.arrivals, thread, threads))
    for r in range(count):
        matmul(tiles, x[r:], 1, alone[r:], ALONE)
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_allclose(together[:, :outputs], x[:, :inputs] @ matrix.T, rtol=1e-4, atol=1e-5)


@given(outputs=sizes, inputs=sizes, count=st.integers(1, 30), seed=seeds)
def test_a_product_by_panels_is_the_product(outputs: int, inputs: int, count: int, seed: int) -> None:
    """The row behind the last may be written, those behind that may not."""
    random = np.random.default_rng(seed)
    matrix, vectors = random.normal(size=(outputs, inputs)).astype(np.float32), random.normal(size=(count + 1, inputs))
    x, y = rows_of(vectors), np.full((count + 2, padded(outputs)), 7, np.float32)
    by_panels(to_panels(matrix), x, count, y)
    np.testing.assert_allclose(y[:count, :outputs], x[:count, :inputs] @ matrix.T, rtol=1e-4, atol=1e-5)
    assert (y[count + 1 :] == 7).all()


@given(outputs=sizes, inputs=sizes, count=st.integers(1, 4), bits=st.integers(1, 13), scale=st.integers(-74, 60), seed=seeds)
def test_in_numpy_it_is_the_same_bits(outputs: int, inputs: int, count: int, bits: int, scale: int, seed: int) -> None:
    """Of few bits, so that sums often stand halfway between two float32; and of numbers near both ends of them."""
    random = np.random.default_rng(seed)

    def numbers(*shape: int) -> np.ndarray:
        few = random.integers(-(2**bits), 2**bits, shape) * 2.0 ** random.integers(-14, 14, shape)
        return (few * 2.0**scale * (random.random(shape) < 0.8)).astype(np.float32)

    tiles, x, seen = to_tiles(numbers(outputs, inputs)), rows_of(numbers(count, inputs)), min(outputs, inputs)
    strip = numbers(padded(inputs) * LANES)
    for product, size, arguments in (
        (matmul, (count, padded(outputs)), lambda y: (tiles, x, count, y, ALONE)),
        (dot_keys, padded(outputs), lambda y: (tiles, x[0, :inputs], seen, y)),
        (weighted_sum, LANES, lambda y: (strip, x[0], seen, y)),
    ):
        found = [np.zeros(size, np.float32) for _ in range(2)]
        with np.errstate(over="ignore", invalid="ignore"):
            product(*arguments(found[0]))
            product.plain(*arguments(found[1]))
        assert np.nan_to_num(found[0], nan=7).tobytes() == np.nan_to_num(found[1], nan=7).tobytes()


@given(positions=sizes, dim=sizes, seen=sizes, seed=seeds)
def test_keys_and_values_that_grow(positions: int, dim: int, seen: int, seed: int) -> None:
    """Filled number by number; only the first positions are read."""
    random, seen = np.random.default_rng(seed), min(seen, positions)
    vectors, q, weights = (random.normal(size=size).astype(np.float32) for size in ((positions, dim), dim, seen))
    keys, values = np.zeros((2, padded(positions) * padded(dim)), np.float32)
    for t in range(positions):
        for d in range(dim):
            keys[tile_offset(t, d, padded(dim))] = values[strip_offset(t, d, padded(positions))] = vectors[t, d]
    np.testing.assert_array_equal(keys[: to_tiles(vectors).size], to_tiles(vectors))
    products, padded_weights, mixture = (np.zeros(padded(size), np.float32) for size in (positions, positions, dim))
    followed = np.concatenate((q, random.normal(size=LANES).astype(np.float32)))  # by the next head's, say
    dot_keys(keys, followed[:dim], seen, products)
    # not by BLAS, which now and then computes beside its matrices, and has NumPy warn of what it found there
    expected = np.einsum("td,d->t", vectors[:seen], q), np.einsum("t,td->d", weights, vectors[:seen])
    np.testing.assert_allclose(products[:seen], expected[0], rtol=1e-4, atol=1e-5)
    padded_weights[:seen] = weights
    weighted_sum(values, padded_weights, seen, mixture)
    np.testing.assert_allclose(mixture[:dim], expected[1], rtol=1e-4, atol=1e-5)


@entry(waits=True)
def fibonacci(numbers, thread):
    """Each thread adds what the others wrote last."""
    for step in range(1, len(numbers)):
        numbers[step, thread.rank] = numbers[step - 1].sum() + 1
        barrier(thread)
    return len(numbers) - 1


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_behind_a_barrier_all_see_what_others_wrote(threads: int) -> None:
    pool = ThreadPool(threads, min_work=1)
    for _ in range(8):
        numbers = np.zeros((20, threads), np.int64)
        pool.run(fibonacci, threads, 19, numbers)
        assert numbers[-1].tolist() in ([sum(threads**i for i in range(19))] * threads, [19] + [0] * (threads - 1))


def test_the_threads_end_with_their_owner() -> None:
    pool = ThreadPool(3, min_work=1)
    assert pool.executor is None
    for _ in range(4):  # once to be compiled, twice in one thread, and then in all
        pool.run(fibonacci, 3, 19, np.zeros((20, 3), np.int64))
    assert pool.executor
    threads = set(pool.executor._threads)
    assert {thread.is_alive() for thread in threads} == {True}
    del pool
    gc.collect()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive()


def test_nobody_waits_for_one_who_does_not_come() -> None:
    """Ctrl-C, before all are there."""
    waited = []

    def interrupted(thread: Thread) -> int:
        if thread.rank == 0 and thread.threads > 1:
            raise KeyboardInterrupt
        barrier(thread)
        waited.append(thread.rank)
        return 1

    barrier(ALONE)  # compiled
    pool = ThreadPool(2, min_work=1)
    for _ in range(2):
        pool.run(interrupted, 2, 1)
    with pytest.raises(KeyboardInterrupt):
        pool.run(interrupted, 2, 1)
    assert pool.executor
    pool.executor.submit(int).result(timeout=60)  # of one thread: what is asked of it is done in turn
    assert waited == [0, 0, 1]


def test_who_fails_is_heard() -> None:
    def failing(thread: Thread) -> int:
        if thread.rank:
            raise MemoryError("no room for the second")
        barrier(thread)
        return 1

    pool = ThreadPool(2, min_work=1)
    for _ in range(2):
        pool.run(failing, 2, 1)
    with pytest.raises(MemoryError, match="no room"):
        pool.run(failing, 2, 1)


def test_the_faster_way_is_kept_and_one_bad_moment_is_soon_forgotten() -> None:
    """Together takes 0.6 where alone takes 1, but once 60; and from some time on, 2."""
    timing, ways = Timing(), []
    for run in range(6 * RETRY):
        together = timing.choose_parallel()
        ways.append(together)
        slow = 60 if run == RETRY + 7 else 2.0 if run > 4 * RETRY else 0.6
        timing.record(together, slow if together else 1.0)
    assert ways[:4] == [False, False, True, True]  # each once to begin with, and once to measure
    assert sum(ways[4:RETRY]) == RETRY - 5  # all but the one that looks again
    assert not any(ways[RETRY + 8 : 2 * RETRY - 1])
    assert sum(ways[2 * RETRY : 4 * RETRY]) == 2 * RETRY - 2
    assert sum(ways[5 * RETRY :]) == 1
