"""Budget: what share of the run is done, worked out by hand."""

import pytest
import torch

from letterwise.config import TrainingConfig
from letterwise.training.budget import Budget
from letterwise.training.metrics.meter import Meter


def test_steps() -> None:
    budget = Budget(TrainingConfig(max_iters=110, warmup_iters=10, eval_interval=25))
    assert [budget.done(step, 999) for step in (0, 10, 60, 110, 120)] == [0, 0, 0.5, 1, 1]
    assert [budget.spent(step, 999) for step in (0, 109, 110)] == [False, False, True]
    assert [step for step in range(1, 111) if budget.validation_due(step, 0, 0.0)] == [25, 50, 75, 100, 110]


def test_minutes_set_time_aside_for_the_last_validation() -> None:
    budget = Budget(TrainingConfig(minutes=2.0))
    assert budget.done(1, 59.5) == 0.5  # a second is for Python to start and to end
    budget.validation_s = 20.0
    assert budget.done(1, 49.5) == 0.5
    assert budget.spent(1, 99)
    assert not budget.spent(0, 1000)  # one step is always taken


@pytest.mark.parametrize(
    ("seconds", "last", "due"),
    [
        (14, 0, False),
        (15, 0, True),
        (20, 15, False),
        (30, 15, True),
        (61, 15, True),
        (62, 61, False),
        (114, 90, False),
        (120, 106, True),
    ],
)
def test_minutes_validate_once_in_each_eighth_and_not_shortly_before_the_end(seconds: float, last: float, due: bool) -> None:
    assert Budget(TrainingConfig(minutes=2.0)).validation_due(5, seconds, last) is due


def test_validations_that_take_long_are_rare() -> None:
    budget = Budget(TrainingConfig(minutes=2.0), validation_s=2.0)  # 5 % of the time: one in each 40 seconds
    assert [budget.validation_due(5, seconds, 0) for seconds in (15, 39, 41)] == [False, False, True]


def test_no_validation_where_nothing_could_be_learned_between_it_and_the_last() -> None:
    budget = Budget(TrainingConfig(minutes=0.5), validation_s=1.0)  # it ends at 30 - 1 - 1 seconds
    assert [budget.validation_due(5, seconds, 0.0) for seconds in (26.9, 27.1, 28.1)] == [True, False, True]


def test_nothing_to_train_is_over_at_once() -> None:
    assert Budget(TrainingConfig(max_iters=0)).spent(0, 0.0)
    assert Budget(TrainingConfig(max_iters=0, minutes=1.0)).spent(0, 0.0)


def test_what_is_left_by_hand() -> None:
    budget = Budget(TrainingConfig(max_iters=110, warmup_iters=10, eval_interval=25), validation_s=3.0)
    assert budget.left_s(0, 50.0, 2.0) == 110 * 2 + 5 * 3  # after steps 25, 50, 75, 100 and 110; the start-up is over
    assert budget.left_s(25, 99.0, 2.0) == 85 * 2 + 4 * 3
    assert budget.left_s(110, 400.0, 2.0) == 0
    assert Budget(TrainingConfig(minutes=2.0)).left_s(7, 90.0, 5.0) == 30


def test_a_step_takes_what_the_last_ones_took_without_start_up_and_validations(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    meter, nats = Meter(1), torch.tensor(1.0)
    for second in (60.0, 62.0, 64.0):  # the first step takes a minute
        now = second
        meter.add(nats)
    assert meter.step_s() == 2.0
    now = 100.0  # a validation
    meter.restart()
    now = 104.0
    meter.add(nats)
    assert meter.step_s() == pytest.approx(8 / 3)


def test_between_validations_a_run_of_minutes_validates_on_a_subset() -> None:
    """36 points in three minutes, five seconds apart; one that takes 0.3 s is worth ten seconds (3 %)."""
    budget = Budget(TrainingConfig(minutes=3.0))
    assert budget.subset_s == pytest.approx(0.15)
    assert [budget.subset_due(7, seconds, 20.0, 0.1) for seconds in (24.9, 25.1)] == [False, True]
    assert [budget.subset_due(7, seconds, 20.0, 0.3) for seconds in (29.9, 30.1)] == [False, True]
    assert not budget.subset_due(0, 25.1, 20.0, 0.1)
    assert [budget.subset_due(7, seconds, 100.0, 0.1) for seconds in (176.0, 177.0)] == [True, False]  # the last one is near
    assert not Budget(TrainingConfig(max_iters=1000)).subset_due(7, 1000.0, 0.0, 0.1)


def test_what_was_no_step_does_not_slow_the_meter(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    meter = Meter(10)
    for second in (1.0, 2.0, 12.0):
        now = second - 1
        if second == 12.0:
            meter.skip(9.0)
        now = second
        meter.add(torch.tensor(1.0))
    assert meter.step_s() == 1.0
    assert meter.chars_per_second() == 10.0
