"""Plan: what minutes, text and machine lead to."""

import re

import numpy as np
import pytest
from clocks import Ticking

from letterwise.config import Config
from letterwise.config.accounting import flops_per_char
from letterwise.config.presets import PRESETS, knob_values, resolve
from letterwise.runtime.device import find_runtime
from letterwise.training.planning.plan import SHAPES, Plan, choose, context_for, dropout, make_plan, measured_flops

GFLOPS = 1e9


def plan(minutes: float, chars: int, *, speed: float = 150, asked: tuple[str, ...] = (), **flags) -> Plan:
    config = resolve({"minutes": minutes, **flags})
    return choose(config, {*asked, *flags}, chars=chars, vocab_size=65, flops=speed * GFLOPS)


def weights(made: Plan) -> int:
    return made.values["n_layer"] * made.values["n_embd"] ** 2


@pytest.mark.parametrize("chars", [3_000, 1_000_000, 100_000_000])
def test_more_minutes_or_a_faster_machine_never_choose_a_smaller_model(chars: int) -> None:
    by_minutes = [weights(plan(minutes, chars)) for minutes in (0.2, 1, 3, 10, 30, 100, 600)]
    by_speed = [weights(plan(3, chars, speed=speed)) for speed in (5, 50, 500, 5_000, 50_000)]
    assert by_minutes == sorted(by_minutes)
    assert by_speed == sorted(by_speed)
    if chars > 3_000:
        assert by_minutes[0] < by_minutes[-1]


def test_computing_activations_again_leaves_time_for_three_quarters_of_the_text() -> None:
    def learned(**flags: bool) -> int:
        (line,) = plan(3, 10**6, n_embd=96, n_head=4, **flags).lines
        return int(re.findall(r"about ([\d,]+) characters", line)[0].replace(",", ""))

    assert learned(activation_checkpointing=True) == pytest.approx(0.75 * learned(), rel=1e-3)


def test_the_more_often_a_text_is_read_the_more_is_dropped() -> None:
    rates = [plan(minutes, 1_000_000).values["dropout"] for minutes in (0.2, 3, 600)]
    assert rates == sorted(rates)
    assert rates[0] < rates[-1]
    assert plan(10, 100_000_000).values["dropout"] == 0
    large = plan(9, 1_000_000)
    assert large.values["n_embd"] > 128
    assert large.values["dropout"] == dropout(2 * large.epochs) > dropout(large.epochs)


def test_a_text_that_is_read_hundreds_of_times_is_learned_slowly() -> None:
    usual = Config().training
    often = plan(1, 3_000).values
    assert often["learning_rate"] < usual.learning_rate
    assert often["learning_rate"] / often["matrix_learning_rate"] == usual.learning_rate / usual.matrix_learning_rate
    assert "learning_rate" not in plan(3, 10**6).values
    assert "learning_rate" not in plan(1, 3_000, preset="gpt2").values


@pytest.mark.parametrize("flags", [{"preset": "llama", "optimizer": "muon"}, {"min_lr": 1e-3}])
def test_the_lowest_rate_is_below_the_rate(flags: dict[str, str | float]) -> None:
    """A text that is read hundreds of times is learned slowly, but not more slowly than was asked for."""
    config = resolve({"minutes": 1, **flags})
    training = config.with_values(plan(1, 3_000, **flags).values).training
    assert training.learning_rate < config.training.learning_rate
    assert training.min_lr <= training.learning_rate
    assert training.min_lr == config.training.min_lr or "min_lr" not in flags


def test_what_was_asked_for_is_left_alone() -> None:
    assert not {"n_embd", "dropout"} & set(plan(3, 10**6, n_embd=96, n_head=4, dropout=0.3).values)
    assert not {"n_embd", "n_head"} & set(plan(3, 10**6, n_embd=104).values)  # 104 and another number of heads may not fit
    by_size = plan(3, 10**6, size="small").values
    assert not set(by_size) & {"n_layer", "n_head", "n_embd", "block_size", "batch_size"}


def test_a_context_fits_the_text() -> None:
    assert plan(0.2, 100).values["block_size"] <= 25


def test_counting_takes_a_share_of_the_minutes() -> None:
    few, many = plan(0.5, 10**8), plan(100, 10**8)
    assert few.values["counts_chars"] < many.values["counts_chars"] <= Config().training.counts_chars
    assert any("counting takes the last" in line for line in few.lines)
    assert not any("counting" in line for line in plan(3, 10**6).lines)


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "counts"])
def test_every_shape_suits_every_preset(preset: str) -> None:
    for shape in SHAPES:
        config = resolve({"preset": preset, **shape})
        assert shape == {name: value for name, value in knob_values(config).items() if name in shape}


def test_the_machine_is_measured() -> None:
    config = resolve({"minutes": 1.0})
    made = make_plan(config, set(), chars=10_000, vocab_size=20, runtime=find_runtime(config.runtime))
    assert "GFLOP/s measured here" in made.lines[0]


@pytest.mark.parametrize(("step_s", "steps"), [(0.01, 6), (0.3, 3), (5.0, 2)])
def test_where_steps_are_slow_fewer_are_measured(monkeypatch: pytest.MonkeyPatch, step_s: float, steps: int) -> None:
    """By a clock of the test's own, which is looked at twice a step; of two, the second counts."""
    clock = Ticking(step_s)
    monkeypatch.setattr("time.monotonic", clock)
    config = resolve({"minutes": 1.0})
    flops = measured_flops(config, 65, find_runtime(config.runtime))
    assert clock.looks == 2 * steps
    probe = config.with_values({**SHAPES[1]})
    chars = SHAPES[1]["batch_size"] * SHAPES[1]["block_size"]
    assert flops == pytest.approx(3 * flops_per_char(probe.model, 65) * chars / step_s)


def test_a_context_for_lines_holds_nearly_all_of_them() -> None:
    lines = np.concatenate([[0], *([1] * length + [0] for length in [20] * 2000 + [300])])
    assert context_for(lines, 0) == 32
    assert context_for(np.array([0, 1, 1]), 0) == 16
    config = resolve({"minutes": 1.0})
    made = choose(config, set(), chars=10**6, vocab_size=65, flops=150 * GFLOPS, context=32).values
    usual = plan(1, 10**6).values
    assert made["block_size"] == 32
    assert made["batch_size"] * made["block_size"] == usual["batch_size"] * usual["block_size"]
    endless = choose(config, set(), chars=10**6, vocab_size=65, flops=150 * GFLOPS, context=10**6).values
    assert endless["block_size"] == 256
