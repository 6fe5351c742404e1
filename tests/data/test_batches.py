"""Batches: a function of (seed, step); a sweep takes every character once."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letterwise.data.batches import NO_TARGET, Batches, LineBatches, cut_lines, require_window, sweep
from letterwise.errors import UserError


@given(length=st.integers(0, 200), block=st.integers(1, 30), batch=st.integers(1, 5), half=st.booleans())
def test_a_sweep_scores_each_character_but_the_first_once(length: int, block: int, batch: int, half: bool) -> None:
    overlap, targets = block // 2 if half else 0, []
    for [(starts, inputs, following)] in sweep(np.arange(length), block, batch, overlap=overlap):
        assert inputs.shape == following.shape
        assert inputs.shape[0] <= batch
        assert inputs.shape[1] <= block
        assert (inputs == starts[:, None] + np.arange(inputs.shape[1])).all()
        assert ((following == inputs + 1) | (following == NO_TARGET)).all()
        assert ((following == NO_TARGET).sum(-1) == (overlap if starts[0] else 0)).all()
        targets += following[following != NO_TARGET].tolist()
    assert targets == list(range(1, length))


def test_every_third_window() -> None:
    windows = [windows for [windows] in sweep(np.arange(100), 10, 4, every=3)]
    assert np.concatenate([w.starts for w in windows]).tolist() == [0, 30, 60, 90]
    assert [x[0] for w in windows for x in w.inputs] == [0, 30, 60, 90]


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
    require_window(np.arange(9), 8)
    with pytest.raises(UserError, match=r"training part has 8 characters and needs 9.*--block_size"):
        require_window(np.arange(8), 8)


def plain_windows(ids: list[int], block: int, overlap: int) -> list[tuple[int, list[int], list[int]]]:
    """Put plainly: each line, with the break (0) before it, cut like a text of its own: start, inputs, new targets."""
    windows, edges = [], [i for i in range(len(ids) - 1) if i == 0 or ids[i] == 0] + [len(ids) - 1]
    for begin, end in pairwise(edges):
        start = begin
        while True:
            last = min(end, start + block)
            windows.append((start, ids[start:last], ids[start + 1 : last + 1][overlap if start > begin else 0 :]))
            if last == end:
                break
            start += block - overlap
    return windows


line_texts = st.lists(st.integers(0, 3), min_size=1, max_size=60).map(lambda ids: [0, *ids])


@given(ids=line_texts, block=st.integers(1, 9), batch=st.integers(1, 4), half=st.booleans(), every=st.integers(1, 3))
def test_a_sweep_of_lines(ids: list[int], block: int, batch: int, half: bool, every: int) -> None:
    """Each window is one line's, and every character but the first is told once, after nothing but its own line."""
    overlap = block // 2 if half else 0
    expected, got = plain_windows(ids, block, overlap), []
    for together in sweep(np.array(ids), block, batch, overlap=overlap, every=every, line_break=0):
        some = []
        for windows in together:
            assert windows.inputs.shape == windows.targets.shape
            assert windows.inputs.size <= batch * block
            for start, inputs, targets in zip(*windows, strict=True):
                told = np.flatnonzero(targets != NO_TARGET)
                some.append((int(start), inputs[: told[-1] + 1].tolist(), targets[told].tolist()))
        got += sorted(some)
    assert got == expected[::every]
    if every == 1:
        assert [id for _, _, targets in got for id in targets] == ids[1:]


@settings(max_examples=30)
@given(ids=line_texts, block=st.integers(1, 9), batch=st.integers(1, 4), seed=st.integers(0, 99))
def test_batches_of_lines_have_whole_lines_only(ids: list[int], block: int, batch: int, seed: int) -> None:
    known = {start: inputs for start, inputs, _ in plain_windows(ids, block, block // 2)}
    batches = LineBatches(np.array(ids), 0, block, batch, seed)
    for step in (0, 1, 7, 8, 10**9):
        windows = batches.at(step)
        assert len(windows.starts) >= 1
        for start, inputs, targets in zip(*windows, strict=True):
            length = (targets != NO_TARGET).sum()
            assert inputs[:length].tolist() == known[int(start)]
            assert targets[:length].tolist() == ids[start + 1 : start + 1 + length]
            assert (targets[length:] == NO_TARGET).all()


def test_all_lines_are_drawn_equally_often_in_batches_of_equal_size() -> None:
    """40 lines of 2 to 41 characters, 4,000 steps: each line some 744 times; six standard deviations are 164."""
    ids = np.concatenate([[0], *([1] * length + [0] for length in range(1, 41))])
    batches, seen, chars = LineBatches(ids, 0, 64, 2, seed=5), np.zeros(len(ids), int), []
    for step in range(4000):
        starts, _, targets = batches.at(step)
        np.add.at(seen, starts, 1)
        chars.append((targets != NO_TARGET).sum())
    drawn = seen[cut_lines(ids, 0, 64, 32).starts]
    assert drawn.sum() == seen.sum()
    assert abs(drawn - drawn.mean()).max() < 6 * np.sqrt(drawn.mean())
    assert np.mean(chars) == pytest.approx(128, rel=0.02)
    assert batches.at(17).starts.tolist() == LineBatches(ids, 0, 64, 2, seed=5).at(17).starts.tolist()
