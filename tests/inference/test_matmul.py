"""Products: what NumPy says, the same bits in any company; and the threads that share them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from letterwise.inference.cpu.matmul import LANES, blend, compare, in_tiles, padded, project, strip_place, tile_place
from letterwise.inference.cpu.threads import AGAIN, OWN, Pace, Team, meet

sizes, seeds = st.integers(1, 40), st.integers(0, 99)


def rows_of(vectors: np.ndarray) -> np.ndarray:
    """The same, padded with zeros."""
    return np.pad(vectors, ((0, 0), (0, padded(vectors.shape[1]) - vectors.shape[1]))).astype(np.float32)


@given(outputs=sizes, inputs=sizes, count=st.integers(1, 8), threads=st.integers(1, 3), seed=seeds)
def test_a_product_is_the_product(outputs: int, inputs: int, count: int, threads: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    matrix, vectors = random.normal(size=(outputs, inputs)).astype(np.float32), random.normal(size=(count, inputs))
    tiles, x = in_tiles(matrix), rows_of(vectors)
    together, alone = (np.full((count, padded(outputs)), np.nan, np.float32) for _ in range(2))
    for thread in range(threads):
        project(tiles, x, count, together, thread, threads)
    for r in range(count):
        project(tiles, x[r:], 1, alone[r:], 0, 1)
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_allclose(together[:, :outputs], x[:, :inputs] @ matrix.T, rtol=1e-4, atol=1e-5)


@given(outputs=sizes, inputs=sizes, count=st.integers(1, 4), bits=st.integers(1, 13), scale=st.integers(-74, 60), seed=seeds)
def test_in_numpy_it_is_the_same_bits(outputs: int, inputs: int, count: int, bits: int, scale: int, seed: int) -> None:
    """Of few bits, so that sums often stand halfway between two float32; and of numbers near both ends of them."""
    random = np.random.default_rng(seed)

    def numbers(*shape: int) -> np.ndarray:
        few = random.integers(-(2**bits), 2**bits, shape) * 2.0 ** random.integers(-14, 14, shape)
        return (few * 2.0**scale * (random.random(shape) < 0.8)).astype(np.float32)

    tiles, x, seen = in_tiles(numbers(outputs, inputs)), rows_of(numbers(count, inputs)), min(outputs, inputs)
    strip = numbers(padded(inputs) * LANES)
    for product, size, arguments in (
        (project, (count, padded(outputs)), lambda y: (tiles, x, count, y, 0, 1)),
        (compare, padded(outputs), lambda y: (tiles, x[0, :inputs], seen, y)),
        (blend, LANES, lambda y: (strip, x[0], seen, y)),
    ):
        found = [np.zeros(size, np.float32) for _ in range(2)]
        with np.errstate(over="ignore", invalid="ignore"):
            product(*arguments(found[0]))
            product.plain(*arguments(found[1]))
        assert np.nan_to_num(found[0], nan=7).tobytes() == np.nan_to_num(found[1], nan=7).tobytes()


@given(places=sizes, dim=sizes, seen=sizes, seed=seeds)
def test_keys_and_values_that_grow(places: int, dim: int, seen: int, seed: int) -> None:
    """Filled number by number; only the first places are asked."""
    random, seen = np.random.default_rng(seed), min(seen, places)
    vectors, q, shares = (random.normal(size=size).astype(np.float32) for size in ((places, dim), dim, seen))
    keys, values = np.zeros((2, padded(places) * padded(dim)), np.float32)
    for t in range(places):
        for d in range(dim):
            keys[tile_place(t, d, padded(dim))] = values[strip_place(t, d, padded(places))] = vectors[t, d]
    np.testing.assert_array_equal(keys[: in_tiles(vectors).size], in_tiles(vectors))
    told, room, mixture = (np.zeros(padded(size), np.float32) for size in (places, places, dim))
    followed = np.concatenate((q, random.normal(size=LANES).astype(np.float32)))  # by the next head's, say
    compare(keys, followed[:dim], seen, told)
    np.testing.assert_allclose(told[:seen], vectors[:seen] @ q, rtol=1e-4, atol=1e-5)
    room[:seen] = shares
    blend(values, room, seen, mixture)
    np.testing.assert_allclose(mixture[:dim], shares @ vectors[:seen], rtol=1e-4, atol=1e-5)


@njit(nogil=True)
def fibonacci(numbers, gate, thread, threads):
    """Each thread adds what the others wrote last."""
    for step in range(1, len(numbers)):
        numbers[step, thread] = numbers[step - 1].sum() + 1
        meet(gate, thread, threads)
    return len(numbers) - 1


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_who_meets_sees_what_others_wrote(threads: int) -> None:
    team = Team(threads, worth=1)
    for _ in range(8):
        numbers = np.zeros((20, threads), np.int64)
        team.run(fibonacci, threads, 19, numbers)
        assert numbers[-1].tolist() in ([sum(threads**i for i in range(19))] * threads, [19] + [0] * (threads - 1))


def test_nobody_waits_for_one_who_does_not_come() -> None:
    """Ctrl-C, before all are there."""
    waited = []

    def interrupted(gate: np.ndarray, thread: int, threads: int) -> int:
        if thread == 0 and threads > 1:
            raise KeyboardInterrupt
        meet(gate, thread, threads)
        waited.append(thread)
        return 1

    meet(np.zeros(OWN + 16, np.int64), 0, 1)  # compiled
    team = Team(2, worth=1)
    for _ in range(2):
        team.run(interrupted, 2, 1)
    with pytest.raises(KeyboardInterrupt):
        team.run(interrupted, 2, 1)
    Team.pool.submit(int).result(timeout=60)
    assert waited == [0, 0, 1]


def test_who_fails_is_heard() -> None:
    def failing(gate: np.ndarray, thread: int, threads: int) -> int:
        if thread:
            raise MemoryError("no room for the second")
        meet(gate, thread, threads)
        return 1

    team = Team(2, worth=1)
    for _ in range(2):
        team.run(failing, 2, 1)
    with pytest.raises(MemoryError, match="no room"):
        team.run(failing, 2, 1)


def test_a_pace_is_what_was_faster_and_one_bad_moment_is_soon_forgotten() -> None:
    """Together takes 0.6 where alone takes 1, but once 60; and from some time on, 2."""
    pace, ways = Pace(), []
    for run in range(6 * AGAIN):
        together = pace.together()
        ways.append(together)
        slow = 60 if run == AGAIN + 7 else 2.0 if run > 4 * AGAIN else 0.6
        pace.took(together, slow if together else 1.0)
    assert ways[:4] == [False, False, True, True]  # each once to begin with, and once to measure
    assert sum(ways[4:AGAIN]) == AGAIN - 5  # all but the one that looks again
    assert not any(ways[AGAIN + 8 : 2 * AGAIN - 1])
    assert sum(ways[2 * AGAIN : 4 * AGAIN]) == 2 * AGAIN - 2
    assert sum(ways[5 * AGAIN :]) == 1
