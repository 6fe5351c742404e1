"""Counts of texts of any length against those in memory, and, where rare n-grams are left out, against dictionaries."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ngrams.plain_kneser_ney import PlainKneserNey
from ngrams.test_ngrams import skewed, texts, told

from letterwise.errors import UserError
from letterwise.ngrams import adapt, count_ngrams
from letterwise.ngrams import on_disk as stage
from letterwise.ngrams.on_disk import count_on_disk, digits_for, min_counts
from letterwise.ngrams.reader import NgramReader, read_on, tables
from letterwise.ngrams.storage import from_arrays, to_arrays


class Pruned(PlainKneserNey):
    """With n-grams of each length left out that occur less than so often: their share goes to the shorter ones."""

    def __init__(self, ids, least, *arguments):
        super().__init__(ids, *arguments)
        self.least = least

    def p(self, context, char):
        lower = self.p(context[1:], char) if context else 1 / self.vocab_size
        counts, discounts = self.counts[len(context) + 1], self.discounts[len(context) + 1]
        row = {gram: c for gram, c in counts.items() if gram[:-1] == context}
        if not row:
            return lower
        kept = {gram: c for gram, c in row.items() if self.grams[len(gram)][gram] >= self.least[len(gram)]}
        taken = {gram: discounts[min(c, 3)] if c else 0 for gram, c in kept.items()}
        gram = (*context, char)
        given = sum(row.values()) - sum(kept.values()) + sum(taken.values())
        return (kept.get(gram, 0) - taken.get(gram, 0) + given * lower) / sum(row.values())


@given(texts, st.integers(2, 5), st.integers(1, 30), st.sampled_from([None, 0]))
@settings(max_examples=60)
def test_nothing_left_out_it_is_the_counts_in_memory(
    text: tuple[np.ndarray, int], order: int, at_once: int, line_break: int | None
) -> None:
    ids, vocab_size = text
    order = max(2, min(order, len(ids)))
    counts = count_ngrams(ids, vocab_size, order, line_break)
    same = count_on_disk(ids, vocab_size, order, line_break, max_ngrams=10**9, at_once=at_once)
    for name in ("starts", "characters", "counts"):
        for one, other in zip(counts.levels, same.levels, strict=True):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for one, other in zip(counts.smoothed.levels, same.smoothed.levels, strict=True):
        np.testing.assert_array_equal(one.weights, other.weights)
        np.testing.assert_array_equal(one.backoff, other.backoff)
    assert (same.chars, same.vocab_size) == (counts.chars, counts.vocab_size)


@pytest.mark.parametrize("line_break", [None, 2])
@pytest.mark.parametrize("max_ngrams", [400, 150, 60, 0])
@pytest.mark.parametrize("chunk", [7, 10**6])
def test_with_rare_ngrams_left_out_it_is_what_dictionaries_say(
    monkeypatch: pytest.MonkeyPatch, line_break: int | None, max_ngrams: int, chunk: int
) -> None:
    monkeypatch.setattr(stage, "CHUNK", chunk)
    ids, order, vocab_size = skewed(300, 6, seed=3), 4, 6
    least: list[list[int]] = []
    monkeypatch.setattr(stage, "min_counts", lambda *a: least.append(min_counts(*a)) or least[-1])
    counts = count_on_disk(ids, vocab_size, order, line_break, max_ngrams=max_ngrams)
    assert sum(len(level.characters) for level in counts.levels[1:]) <= max_ngrams
    plain = Pruned(ids.tolist(), least[0], vocab_size, order, None, line_break)
    new = skewed(20, 6, seed=4)[:40]
    expected = [plain.row(new[: t + 1].tolist()) for t in range(len(new))]
    np.testing.assert_allclose(told(counts, new), expected, rtol=2e-5)
    back = from_arrays(to_arrays(counts), vocab_size)
    np.testing.assert_array_equal(told(back, new), told(counts, new))
    np.testing.assert_array_equal(to_arrays(back)["1.totals"], counts.totals[1])
    reader, log_probs = NgramReader(tables(counts)), np.zeros((1, vocab_size + 1), np.float32)
    for id, row in zip(new.tolist(), expected, strict=True):
        read_on(reader.tables, reader.states[0], id, log_probs)
        np.testing.assert_allclose(np.exp(log_probs[0, :-1]), row, rtol=2e-5)


def test_a_fold_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "PASSAGE", 50)
    ids = skewed(300, 6, seed=5)
    counts = count_on_disk(ids, 6, 4, max_ngrams=10**9, without=(3, 1))
    places = [t for t in range(len(ids)) if t // 50 % 3 != 1]
    plain = PlainKneserNey(ids.tolist(), 6, 4, places)
    assert counts.chars == len(places)
    inside = [t for t in range(5, len(ids)) if all((t - back) in set(places) for back in range(5))]
    got = told(counts, ids)
    for t in inside[:60]:
        np.testing.assert_allclose(got[t - 1], plain.row(ids[:t].tolist()), rtol=2e-5)


def test_the_longest_are_asked_for_more_first() -> None:
    histograms = np.zeros((4, 6), np.int64)
    histograms[2, 1:4] = 5, 5, 5
    histograms[3, 1:4] = 20, 5, 5
    assert min_counts(histograms, 45) == [1, 1, 1, 1]
    assert min_counts(histograms, 44) == [1, 1, 1, 2]
    assert min_counts(histograms, 24) == [1, 1, 2, 2]
    assert min_counts(histograms, 15) == [1, 1, 2, 3]
    assert min_counts(histograms, 0) == [1, 1, 4, 4]


def test_of_too_many_characters_the_rarest_end_contexts() -> None:
    ids = np.concatenate((np.arange(3000), np.tile([5, 2000, 7, 8], 50))).astype(np.uint16)
    digits = digits_for(ids, 3000, 7)
    assert (digits > 0).sum() < 3000
    assert (digits[[5, 7, 8, 2000]] > 0).all()
    assert (np.diff(digits[digits > 0]) == 1).all()
    counts = count_on_disk(ids, 3000, 7)
    likely = told(counts, np.array([7, 8, 5, 2000, 7]))[2:]
    assert likely.argmax(-1).tolist() == [2000, 7, 8]
    np.testing.assert_allclose(likely.sum(-1), 1, atol=1e-5)


def test_a_process_that_is_killed_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is on disk has no name while it is counted."""
    there, by_length = [], stage.by_length

    def looked(*arguments):
        there.append(list(tmp_path.iterdir()))
        return by_length(*arguments)

    monkeypatch.setattr(stage.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(stage, "by_length", looked)
    count_on_disk(skewed(200, 6, seed=1), 6, 4, at_once=10)
    assert len(there) > 3
    assert not any(there)


def test_a_full_disk_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        def write(self, numbers):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(stage.tempfile, "TemporaryFile", Full)
    with pytest.raises(UserError, match=r"No space left on device\. Set TMPDIR .* or lower --counts_chars"):
        count_on_disk(skewed(200, 6, seed=1), 6, 4)


def test_they_adapt_and_are_adapted() -> None:
    pruned, others = count_on_disk(skewed(200, 6, seed=1), 6, 4, max_ngrams=100), count_ngrams(skewed(50, 6, seed=2), 6, 4)
    new = skewed(20, 6, seed=4)
    for parts in ([pruned, others], [others, pruned]):
        np.testing.assert_allclose(told(adapt(parts), new).sum(-1), 1, atol=1e-5)


@pytest.mark.parametrize(("name", "change"), [("1.totals", -1), ("2.few", -(10**6))])
def test_impossible_ones_are_refused(name: str, change: int) -> None:
    arrays = to_arrays(count_on_disk(skewed(200, 6, seed=1), 6, 4, max_ngrams=100))
    with pytest.raises(UserError, match="more than was counted"):
        from_arrays({**arrays, name: arrays[name].astype(np.int64) + change * np.int64(10)}, 6)
    with pytest.raises(UserError, match="not complete"):
        from_arrays({key: array for key, array in arrays.items() if key != name}, 6)
