"""Counts against dictionaries, and the laws they keep."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ngrams.plain_kneser_ney import PlainKneserNey

from letterwise.errors import UserError
from letterwise.ngrams import count_ngrams
from letterwise.ngrams.backoff import BackoffModel, discount, grow
from letterwise.ngrams.cross_fit import cross_fit
from letterwise.ngrams.kneser_ney import Counts
from letterwise.ngrams.reader import NgramReader, read_on, tables
from letterwise.ngrams.storage import from_arrays, to_arrays
from letterwise.ngrams.trie import distinct

texts = st.tuples(st.integers(1, 4), st.integers(2, 40), st.integers(0, 9999)).map(
    lambda t: (np.random.default_rng(t[2]).integers(0, t[0], t[1]).astype(np.uint8), t[0])
)


def skewed(size: int, vocab_size: int, seed: int) -> np.ndarray:
    """Ids of a text in which some runs are frequent and others rare, so that all discounts are told by the text."""
    rng = np.random.default_rng(seed)
    words = [rng.integers(0, vocab_size, rng.integers(1, 5)) for _ in range(12)]
    return np.concatenate([words[min(11, int(rng.exponential(3)))] for _ in range(size)]).astype(np.uint8)


def told(counts: Counts, ids: np.ndarray) -> np.ndarray:
    """p after each of `ids`, read straight through."""
    return np.exp(counts.log_probs_at(ids, np.array([0]), len(ids))[0, :, 0, :-1])


@given(texts, st.integers(1, 5))
@settings(max_examples=60)
def test_probabilities_are_those_of_the_plain_dictionaries(text: tuple[np.ndarray, int], order: int) -> None:
    ids, vocab_size = text
    plain = PlainKneserNey(ids.tolist(), vocab_size, min(order, len(ids)))
    new = np.random.default_rng(1).integers(0, vocab_size, 12)
    counts = count_ngrams(ids, vocab_size, min(order, len(ids)))
    for read in (ids, new):
        expected = [plain.row(read[: t + 1].tolist()) for t in range(len(read))]
        np.testing.assert_allclose(told(counts, read), expected, rtol=2e-5)


def test_each_order_is_told_apart() -> None:
    ids = skewed(60, 5, seed=11)
    plain, counts = PlainKneserNey(ids.tolist(), 5, 4), count_ngrams(ids, 5, 4)
    got = np.exp(counts.log_probs_at(ids, np.array([0]), 30, orders=3)[0, ..., :-1])
    for t in range(30):
        for k, row in zip((2, 3, 4), got[t], strict=True):
            context = tuple(ids[max(0, t + 2 - k) : t + 1].tolist())
            np.testing.assert_allclose(row, [plain.p(context, c) for c in range(5)], rtol=2e-5)
    fitted = cross_fit(ids, 5, 4, folds=3, max_chars=10**9)
    np.testing.assert_array_equal(
        fitted.log_probs_at(np.array([9]), 30, orders=4)[..., -1:, :], fitted.log_probs_at(np.array([9]), 30)
    )


def test_the_escape_is_what_was_left_to_shorter_n_grams() -> None:
    """After "a": b twice and c once of three; p(b | a) = (2 - D2)/3 + escape · p(b), so the escape follows from all three."""
    ids = np.array([0, 1, 0, 1, 0, 2])
    counts = count_ngrams(ids, 3, 2)
    lower, upper = np.exp(counts.log_probs_at(ids, np.array([0]), 1, orders=2)[0, 0])
    seen = np.array([0, 2 - 1.0, 1 - 0.5]) / 3
    np.testing.assert_allclose(upper[:3], seen + upper[3] * lower[:3], rtol=1e-5)
    assert upper[3] == pytest.approx((1.0 + 0.5) / 3)
    unseen = np.exp(counts.log_probs_at(np.array([2]), np.array([0]), 1, orders=2)[0, 0])
    np.testing.assert_array_equal(unseen[1], [*unseen[0, :3], 1.0])


def test_discounts_come_from_the_text_where_it_is_large_enough() -> None:
    ids = skewed(300, 6, seed=3)
    plain = PlainKneserNey(ids.tolist(), 6, 4)
    assert any(table != {1: 0.5, 2: 1.0, 3: 1.5} for table in plain.discounts.values())
    expected = [plain.row(ids[: t + 1].tolist()) for t in range(80)]
    np.testing.assert_allclose(told(count_ngrams(ids, 6, 4), ids)[:80], expected, rtol=2e-5)


def test_discounts_on_paper() -> None:
    """n = 8, 4, 2, 1: Y = 8/16; D1 = 1 - 2·½·4/8, D2 = 2 - 3·½·2/4, D3 = 3 - 4·½·1/2."""
    assert discount(np.array([8, 4, 2, 1])).tolist() == [0, 0.5, 1.25, 2.0]
    assert discount(np.array([8, 4, 0, 1])).tolist() == [0, 0.5, 1.0, 1.5]


@given(texts, st.integers(1, 5), st.integers(2, 6))
@settings(max_examples=60)
def test_a_fold_is_told_what_counting_without_it_would_tell(text: tuple[np.ndarray, int], order: int, folds: int) -> None:
    ids, vocab_size = text
    same_as_rebuilt(ids, vocab_size, min(order, len(ids)), folds)


def test_folds_with_discounts_of_their_own() -> None:
    same_as_rebuilt(skewed(160, 5, seed=8), 5, 4, 3)
    same_as_rebuilt(skewed(160, 5, seed=8), 5, 4, 3, line_break=2)


@given(texts, st.integers(1, 5), st.integers(1, 6))
@settings(max_examples=60)
def test_line_by_line_nothing_reaches_over_a_line_break(text: tuple[np.ndarray, int], order: int, folds: int) -> None:
    ids, vocab_size = text
    order = min(order, len(ids))
    plain, counts = (
        PlainKneserNey(ids.tolist(), vocab_size, order, line_break=0),
        count_ngrams(ids, vocab_size, order, line_break=0),
    )
    new = np.random.default_rng(1).integers(0, vocab_size, 20)
    expected = [plain.row(new[: t + 1].tolist()) for t in range(len(new))]
    np.testing.assert_allclose(told(counts, new), expected, rtol=2e-5)
    reader, one_by_one = NgramReader(tables(counts)), np.zeros((len(new), 1, vocab_size + 1), np.float32)
    for id, log_probs in zip(new.tolist(), one_by_one, strict=True):
        read_on(reader.tables, reader.states[0], id, log_probs)
    np.testing.assert_allclose(np.exp(one_by_one[:, 0, :-1]), expected, rtol=2e-5)
    back = from_arrays(to_arrays(counts), vocab_size)
    np.testing.assert_array_equal(told(back, new), told(counts, new))
    same_as_rebuilt(ids, vocab_size, order, folds, line_break=0)


def same_as_rebuilt(ids: np.ndarray, vocab_size: int, order: int, folds: int, line_break: int | None = None) -> None:
    fitted = cross_fit(ids, vocab_size, order, folds=folds, max_chars=10**9, line_break=line_break)
    folds = fitted.folds
    fold = [t * folds // len(ids) for t in range(len(ids))]
    plain = [
        PlainKneserNey(ids.tolist(), vocab_size, order, [t for t in range(len(ids)) if fold[t] != f], line_break)
        for f in range(folds)
    ]
    got = np.exp(fitted.log_probs_at(np.array([0]), len(ids) - 1)[0, :, 0, :-1])
    for t in range(1, len(ids)):
        np.testing.assert_allclose(got[t - 1], plain[fold[t]].row(ids[:t].tolist()), rtol=2e-5)


def test_rows_sum_to_one_and_nothing_is_impossible() -> None:
    ids = skewed(400, 7, seed=1)
    rows = [
        told(count_ngrams(ids, 9, 5), ids),
        np.exp(cross_fit(ids, 9, 5, folds=4, max_chars=10**9).log_probs_at(np.array([3]), 200, orders=5)[..., :-1]),
    ]
    for row in rows:
        np.testing.assert_allclose(row.sum(-1), 1, atol=1e-5)
        assert (row > 0).all()


def test_the_future_never_changes_the_past() -> None:
    ids = skewed(200, 5, seed=2)
    counts = count_ngrams(ids, 5, 6)
    other = np.concatenate([ids[:50], (ids[50:] + 1) % 5])
    np.testing.assert_array_equal(told(counts, ids)[:50], told(counts, other)[:50])


def test_windows_are_told_what_came_before_them() -> None:
    ids = skewed(200, 5, seed=4)
    counts = count_ngrams(ids, 5, 6)
    whole = counts.log_probs_at(ids, np.array([0]), len(ids))[0]
    parts = counts.log_probs_at(ids, np.array([0, 3, 40, len(ids) - 10]), 10)
    for start, part in zip((0, 3, 40, len(ids) - 10), parts, strict=True):
        np.testing.assert_array_equal(part, whole[start : start + 10])


@pytest.mark.parametrize("dense", [0, 30, 10**6])
def test_one_at_a_time_is_the_same_as_all_at_once(dense: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("letterwise.ngrams.backoff.DENSE_NUMBERS", dense)
    ids = skewed(150, 6, seed=5)
    counts = count_ngrams(ids, 6, 5)
    new = np.random.default_rng(0).integers(0, 6, 60)
    at_once = counts.log_probs_at(new, np.array([0]), 60, orders=4)[0]
    reader, one_by_one = NgramReader(tables(counts), texts=2), np.zeros((60, 4, 7), np.float32)
    for text, start, end in ((1, 0, 3), (0, 20, 45), (1, 3, 20), (0, 45, 60)):  # two texts by turns: one begins at 20
        if start == 20:
            reader.begin(text, new[:20].tolist())
        for id, log_probs in zip(new[start:end].tolist(), one_by_one[start:end], strict=True):
            read_on(reader.tables, reader.states[text], id, log_probs)
    np.testing.assert_allclose(one_by_one, at_once, rtol=1e-5, atol=1e-6)


def test_written_out_or_not_makes_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = count_ngrams(skewed(150, 6, seed=5), 6, 5)
    new = np.random.default_rng(0).integers(0, 6, 200)
    full = told(counts, new)
    monkeypatch.setattr("letterwise.ngrams.backoff.DENSE_NUMBERS", 0)
    sparse = Counts(counts.levels, 6, counts.chars)
    assert len(sparse.smoothed.dense) == 1 < len(counts.smoothed.dense)
    np.testing.assert_allclose(told(sparse, new), full, rtol=1e-6)


def test_numpy_and_compiled_code_grow_to_the_same_bits() -> None:
    rng = np.random.default_rng(5)
    level = count_ngrams(rng.integers(0, 9, 400), 9, 3).smoothed.levels[2]
    rows, lower = rng.integers(-1, len(level.backoff), 60), rng.random((60, 9), np.float32)
    parts = rows, level.backoff, level.starts, level.characters, level.weights
    found = []
    for function in (grow.plain, grow):
        probs, each = lower.copy(), np.zeros((60, 3, 10), np.float32)
        function(probs, *parts, each, -1)
        assert not each.any()
        function(probs, *parts, each, 1)
        np.testing.assert_array_equal(each[:, 1, :-1], probs)
        found.append(each)
    assert grow.compiled
    np.testing.assert_array_equal(found[0].view(np.int32), found[1].view(np.int32))


def test_what_was_not_counted_is_told_from_all_counts() -> None:
    ids = skewed(300, 5, seed=6)
    counted = 120
    fitted = cross_fit(ids, 5, 4, folds=3, max_chars=counted)
    alone = cross_fit(ids[-counted:], 5, 4, folds=3, max_chars=10**9)
    before = len(ids) - counted
    got = fitted.log_probs_at(np.array([0, 30, before + 20]), 25)
    expected = count_ngrams(ids[-counted:], 5, 4).log_probs_at(ids, np.array([0, 30]), 25)
    np.testing.assert_array_equal(got[:2], expected)
    np.testing.assert_array_equal(got[2:], alone.log_probs_at(np.array([20]), 25))
    across = np.exp(fitted.log_probs_at(np.array([before - 10]), 25)[0])
    np.testing.assert_allclose(across[..., :-1].sum(-1), 1, atol=1e-5)
    np.testing.assert_array_equal(across[15:], np.exp(alone.log_probs_at(np.array([5]), 10)[0]))


def test_surprise_is_the_mean_over_all_but_the_first() -> None:
    ids = skewed(100, 5, seed=7)
    counts = count_ngrams(ids, 5, 3)
    surprise = -np.log(told(counts, ids)[np.arange(len(ids) - 1), ids[1:]])
    assert counts.nats_per_char(ids, chunk=7) == pytest.approx(surprise.mean(), rel=1e-6)
    some = [surprise[start : start + 7] for start in range(0, len(surprise), 21)]
    assert counts.nats_per_char(ids, chunk=7, every=3) == pytest.approx(np.concatenate(some).mean(), rel=1e-6)


def test_a_large_vocabulary_is_kept_sparsely() -> None:
    rng = np.random.default_rng(0)
    ids = rng.zipf(1.3, 30_000).clip(max=20_000).astype(np.uint16)
    counts = count_ngrams(ids, 20_001, 4)
    assert len(counts.smoothed.dense) == 1
    np.testing.assert_allclose(told(counts, ids[:40]).sum(-1), 1, atol=1e-3)
    assert sum(len(level.weights) for level in counts.smoothed.levels) < 4 * len(ids)


@given(st.lists(st.integers(0, 500), min_size=1, max_size=80))
def test_distinct_is_numpys_unique(keys: list[int]) -> None:
    keys = np.array(keys)
    for bound in (501, 10**9):
        values, places, counts = np.unique(keys, return_inverse=True, return_counts=True)
        got = distinct(keys, bound)
        assert [part.tolist() for part in got] == [values.tolist(), places.tolist(), counts.tolist()]


def test_storage_gives_back_the_same_counts() -> None:
    ids = skewed(200, 6, seed=9)
    counts = count_ngrams(ids, 6, 5)
    arrays = to_arrays(counts)
    back = from_arrays(arrays, 6)
    assert (back.order, back.chars) == (5, len(ids))
    np.testing.assert_array_equal(told(back, ids), told(counts, ids))
    assert all(values.dtype == np.uint8 for name, values in arrays.items() if name.endswith("characters"))


@pytest.mark.parametrize(
    ("name", "values", "about"),
    [
        ("1.counts", None, "not complete"),
        ("0.lengths", np.array([[3]]), "not complete"),
        ("0.lengths", np.array([3.0]), "not complete"),
        ("1.lengths", np.array([2, 9, 2], np.int16), "do not fit"),
        ("1.characters", np.array([0, 1, 0, 1, 7, 0], np.uint8), "do not fit"),
        ("0.characters", np.array([1, 0, 2], np.uint8), "not in order"),
        ("0.counts", np.array([1, -2, 2], np.int16), "do not fit"),
        ("0.lengths", np.array([-3], np.int16), "do not fit"),
    ],
)
def test_storage_refuses_what_does_not_fit(name: str, values: np.ndarray | None, about: str) -> None:
    arrays = to_arrays(count_ngrams(np.array([0, 1, 2, 0, 1, 0, 2, 1, 1, 2]), 3, 3))
    if values is None:
        del arrays[name]
    else:
        arrays[name] = values
    with pytest.raises(UserError, match=about):
        from_arrays(arrays, 3)


def test_a_model_of_one_level_is_letter_frequencies() -> None:
    counts = count_ngrams(np.array([0, 0, 0, 1]), 2, 1)
    assert isinstance(counts.smoothed, BackoffModel)
    assert told(counts, np.array([1, 0]))[0].tolist() == told(counts, np.array([1, 0]))[1].tolist()
