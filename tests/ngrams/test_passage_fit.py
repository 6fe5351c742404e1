"""Cross-fitting of large texts: each character is predicted by counts that have not seen its passage."""

import numpy as np
import pytest
from ngrams.test_ngrams import skewed

from letterwise.ngrams import count_ngrams, on_disk, passage_fit
from letterwise.ngrams.cross_fit import CrossFitted
from letterwise.ngrams.on_disk import count_on_disk
from letterwise.ngrams.passage_fit import FOLDS, PassageFitted, count_text, fit_text
from letterwise.ngrams.pruned import PrunedCounts


@pytest.fixture
def ids(monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """A text that is a large one here."""
    monkeypatch.setattr(passage_fit, "IN_MEMORY", 200)
    for module in (on_disk, passage_fit):
        monkeypatch.setattr(module, "PASSAGE", 30)
    return skewed(500, 6, seed=1)[:900]


def test_each_character_is_predicted_by_counts_without_its_passage(ids: np.ndarray) -> None:
    fitted = fit_text(ids, 6, 4, folds=100, max_chars=700)
    assert isinstance(fitted, PassageFitted)
    without = [count_on_disk(ids[-700:], 6, 4, without=(FOLDS, fold)) for fold in range(FOLDS)]
    starts = np.array([0, 150, 195, 210, 220, 420, 850])
    got = fitted.log_probs_at(starts, 40, 2)
    for start, window in zip(starts.tolist(), got, strict=True):
        for t, row in enumerate(window):
            fold = max(0, start + 1 + t - 200) // 30 % FOLDS
            expected = without[fold].log_probs_at(ids, np.array([start]), 40, 2)[0, t]
            np.testing.assert_array_equal(row, expected)
    new = np.array([0])
    whole = count_on_disk(ids[-700:], 6, 4)
    np.testing.assert_array_equal(fitted.counts.log_probs_at(ids, new, 50), whole.log_probs_at(ids, new, 50))


def test_a_passage_says_nothing_about_itself(ids: np.ndarray) -> None:
    """What stands in one passage only is not expected there, and would be by the counts of all."""
    ids = np.where(np.arange(900) // 30 == 9, np.arange(900) % 30 % 7, ids % 5).astype(np.uint8)
    fitted = fit_text(ids, 7, 4, folds=100, max_chars=900)
    inside, start = np.arange(275, 295), np.array([274])
    mine = fitted.log_probs_at(start, 20)[0, np.arange(20), 0, ids[inside]].mean()
    whole = fitted.counts.log_probs_at(ids, start, 20)[0, np.arange(20), 0, ids[inside]].mean()
    assert mine < whole - 0.5


def test_small_texts_are_counted_as_ever(ids: np.ndarray) -> None:
    assert isinstance(fit_text(ids, 6, 4, folds=10, max_chars=200), CrossFitted)
    assert not isinstance(count_text(ids[:200], 6, 4), PrunedCounts)
    large = count_text(ids, 6, 4)
    assert isinstance(large, PrunedCounts)
    assert large.chars == 900
    assert count_text(ids, 6, 1).chars == 200  # of single characters, the last are enough
    np.testing.assert_array_equal(count_text(ids[:200], 6, 4).levels[3].counts, count_ngrams(ids[:200], 6, 4).levels[3].counts)


def test_other_texts_are_put_together_with_each_fold(ids: np.ndarray) -> None:
    others = count_ngrams(skewed(50, 6, seed=2), 6, 4)
    fitted = fit_text(ids, 6, 4, folds=10, max_chars=900, before=[others], after=[others])
    assert isinstance(fitted, PassageFitted)
    for counts in (fitted.counts, *fitted.without):
        assert len(counts.parts) == 3
    np.testing.assert_allclose(np.exp(fitted.log_probs_at(np.array([5]), 60)[..., :-1]).sum(-1), 1, atol=1e-5)
