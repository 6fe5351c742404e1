"""Batches: a function of (seed, step); a sweep takes every character once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letterwise.data.batches import Batches, require, sweep
from letterwise.errors import UserError


@settings(deadline=None)
@given(length=st.integers(0, 200), block=st.integers(1, 30), batch=st.integers(1, 5), half=st.booleans())
def test_a_sweep_scores_each_character_but_the_first_once(length: int, block: int, batch: int, half: bool) -> None:
    overlap, targets = block // 2 if half else 0, []
    for (starts, inputs, following), skip in sweep(np.arange(length), block, batch, overlap=overlap):
        assert inputs.shape == following.shape
        assert inputs.shape[0] <= batch
        assert inputs.shape[1] <= block
        assert (inputs == starts[:, None] + np.arange(inputs.shape[1])).all()
        assert (following == inputs + 1).all()
        assert skip == (overlap if starts[0] else 0)
        targets += following[:, skip:].flatten().tolist()
    assert targets == list(range(1, length))


def test_every_third_window() -> None:
    windows = [windows for windows, _ in sweep(np.arange(100), 10, 4, every=3)]
    assert np.concatenate([w.starts for w in windows]).tolist() == [0, 30, 60, 90]
    assert [x[0] for w in windows for x in w.inputs] == [0, 30, 60, 90]


@settings(deadline=None)
@given(step=st.integers(0, 2**40), seed=st.integers(0, 2**63 - 1), batch=st.integers(1, 9))
def test_windows_lie_in_the_text(step: int, seed: int, batch: int) -> None:
    starts, inputs, targets = Batches(np.arange(50, dtype=np.uint8), 49, batch, seed).at(step)
    assert starts.tolist() == [0] * batch
    assert inputs.tolist() == [list(range(49))] * batch
    assert targets.tolist() == [list(range(1, 50))] * batch


def test_windows_begin_where_they_say() -> None:
    ids = np.random.default_rng(0).integers(0, 9, 200)
    starts, inputs, targets = Batches(ids, 5, 8, seed=3).at(7)
    assert inputs.tolist() == [ids[s : s + 5].tolist() for s in starts]
    assert targets.tolist() == [ids[s + 1 : s + 6].tolist() for s in starts]


def test_a_sample_has_its_window_whatever_the_batch_size() -> None:
    ids = np.arange(10_000)
    small, large = Batches(ids, 5, 8, seed=3), Batches(ids, 5, 16, seed=3)
    for part in ("starts", "inputs", "targets"):
        one, two, both = (getattr(windows, part) for windows in (small.at(6), small.at(7), large.at(3)))
        assert np.concatenate([one, two]).tolist() == both.tolist()


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    ids = np.arange(10_000)
    one = Batches(ids, 5, 8, seed=3)
    one.at(100)
    assert one.at(2).inputs.tolist() == Batches(ids, 5, 8, seed=3).at(2).inputs.tolist()
    assert one.at(2).inputs.tolist() != one.at(3).inputs.tolist()
    assert one.at(2).inputs.tolist() != Batches(ids, 5, 8, seed=4).at(2).inputs.tolist()


def test_starts_are_uniform() -> None:
    """Chi-squared of 20,000 starts over 20 windows; 43.8 is the 0.1 % point at 19 degrees of freedom."""
    starts = Batches(np.arange(22), 2, 20_000, seed=1).at(0).starts
    counts = np.bincount(starts, minlength=20)
    assert len(counts) == 20
    assert ((counts - 1000) ** 2 / 1000).sum() < 43.8


def test_too_short_a_part_is_refused_with_both_lengths() -> None:
    require(np.arange(9), 8, "training")
    with pytest.raises(UserError, match=r"training part has 8 characters and needs 9.*--block_size"):
        require(np.arange(8), 8, "training")
