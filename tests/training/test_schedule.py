"""Schedule: the shapes at places where one knows their height."""

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letterwise.training.optimizers.schedule import SHAPES, learning_rate_factor, trapezoid

SHARES = st.floats(0, 1)


@pytest.mark.parametrize(
    ("name", "heights"),  # share of the run done: height over a floor of 0.2
    [
        ("cosine", {0: 1, 0.5: 0.6, 1 / 3: 0.8, 2 / 3: 0.4, 1: 0.2}),  # 0.2 + 0.8·(1 + cos πd)/2; cos 60° = ½
        ("linear", {0: 1, 0.25: 0.8, 0.5: 0.6, 0.75: 0.4, 1: 0.2}),
        ("trapezoid", {0: 1, 0.3: 1, 0.6: 1, 0.7: 0.8, 0.8: 0.6, 1: 0.2}),  # falls over the last 0.4
        ("constant", {0: 1, 0.5: 1, 1: 1}),
    ],
)
def test_heights_by_hand(name: str, heights: dict[float, float]) -> None:
    for done, height in heights.items():
        assert SHAPES[name](done, 0.2) == pytest.approx(height)
        assert learning_rate_factor(name, 9, done, warmup_iters=9, floor=0.2) == pytest.approx(height)


def test_the_climb_is_straight_and_never_zero() -> None:
    """Four steps of warm-up: fifths, and the peak at the fifth step."""
    climb = [learning_rate_factor("cosine", step, 0.0, warmup_iters=4, floor=0.1) for step in range(5)]
    assert climb == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert learning_rate_factor("linear", 0, 0.0, warmup_iters=0, floor=0.0) == 1


@pytest.mark.parametrize("name", SHAPES)
@given(shares=st.lists(SHARES, min_size=2, max_size=20), floor=SHARES, warmup=st.integers(0, 50))
@settings(max_examples=50)
def test_after_the_climb_it_only_falls_and_stays_between_floor_and_peak(
    name: str, shares: list[float], floor: float, warmup: int
) -> None:
    factors = [learning_rate_factor(name, warmup, done, warmup_iters=warmup, floor=floor) for done in sorted(shares)]
    assert all(later <= earlier + 1e-12 for earlier, later in pairwise(factors))
    assert all(floor - 1e-12 <= factor <= 1 for factor in factors)


@pytest.mark.parametrize("name", SHAPES)
@given(done=st.floats(0, 0.999), floor=SHARES)
@settings(max_examples=50)
def test_no_shape_jumps(name: str, done: float, floor: float) -> None:
    """The steepest is the trapezoid's side: 1/0.4 = 2.5 peaks over a whole run."""
    assert abs(SHAPES[name](done + 1e-3, floor) - SHAPES[name](done, floor)) <= 2.5e-3 + 1e-9


def test_the_trapezoid_bends_without_a_step() -> None:
    assert trapezoid(math.nextafter(0.6, 1), 0.0) == pytest.approx(trapezoid(0.6, 0.0))


@pytest.mark.parametrize("name", ["cosine", "linear", "trapezoid"])
def test_a_run_that_overshoots_stays_at_the_floor(name: str) -> None:
    """Minutes are measured after a step: the last one may end late."""
    assert learning_rate_factor(name, 10, 1.3, warmup_iters=0, floor=0.1) == pytest.approx(0.1)
    assert learning_rate_factor(name, 10, -0.3, warmup_iters=0, floor=0.1) == 1
