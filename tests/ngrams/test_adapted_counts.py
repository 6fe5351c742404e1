"""Counts of several texts as one: against dictionaries, and the laws they keep."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ngrams.plain_kneser_ney import PlainKneserNey

from letterwise.errors import UserError
from letterwise.ngrams import adapt, count_ngrams
from letterwise.ngrams.cross_fit import cross_fit
from letterwise.ngrams.reader import NgramReader, read_on, tables
from letterwise.ngrams.storage import from_arrays, to_arrays

V = 4
several = st.lists(
    st.tuples(st.integers(1, V), st.integers(4, 40), st.integers(0, 9999)).map(
        lambda t: np.random.default_rng(t[2]).integers(0, t[0], t[1]).astype(np.uint8)
    ),
    min_size=2,
    max_size=3,
)


class PlainAdapted:
    """The oracle: each text's row has a share of t / (t + n/2) beside those before it, one context at a time."""

    def __init__(self, plain: list[PlainKneserNey]) -> None:
        self.plain = plain

    def p(self, context: tuple[int, ...], char: int) -> float:
        lower = self.p(context[1:], char) if context else 1 / V
        mixed, counted = lower, 0
        for model in self.plain:
            counts, discounts = model.counts[len(context) + 1], model.discounts[len(context) + 1]
            row = {gram[-1]: c for gram, c in counts.items() if gram[:-1] == context}
            t = sum(row.values())
            if not t:
                continue
            taken = discounts[min(row[char], 3)] if char in row else 0
            own = (row.get(char, 0) - taken + sum(discounts[min(c, 3)] for c in row.values()) * lower) / t
            share = t / (t + len(row) / 2) if counted else 1.0
            mixed, counted = share * own + (1 - share) * mixed, counted + t
        return mixed

    def row(self, text: list[int]) -> list[float]:
        context = self.plain[0].context(text)
        return [self.p(context, c) for c in range(V)]


@given(several, st.integers(1, 4))
@settings(max_examples=40)
def test_probabilities_are_those_of_the_plain_dictionaries(texts: list[np.ndarray], order: int) -> None:
    counts = adapt([count_ngrams(ids, V, order) for ids in texts])
    plain = PlainAdapted([PlainKneserNey(ids.tolist(), V, order) for ids in texts])
    new = np.random.default_rng(1).integers(0, V, 20)
    expected = [plain.row(new[: t + 1].tolist()) for t in range(len(new))]
    got = np.exp(counts.log_probs_at(new, np.array([0]), len(new))[0, :, 0, :-1])
    np.testing.assert_allclose(got, expected, rtol=2e-5)
    reader, one_by_one = NgramReader(tables(counts)), np.zeros((len(new), 1, V + 1), np.float32)
    for id, log_probs in zip(new.tolist(), one_by_one, strict=True):
        read_on(reader.tables, reader.states[0], id, log_probs)
    np.testing.assert_allclose(np.exp(one_by_one[:, 0, :-1]), expected, rtol=2e-5)
    back = from_arrays(to_arrays(counts), V)
    np.testing.assert_array_equal(back.log_probs_at(new, np.array([0]), 20), counts.log_probs_at(new, np.array([0]), 20))


@given(several, st.integers(1, 4), st.integers(2, 4), st.integers(0, 2))
@settings(max_examples=40)
def test_a_fold_is_predicted_by_all_texts_without_it(texts: list[np.ndarray], order: int, folds: int, which: int) -> None:
    which %= len(texts)
    ids = texts[which]
    each = [count_ngrams(other, V, order) for other in texts]
    fitted = cross_fit(ids, V, order, folds=folds, max_chars=10**9, before=each[:which], after=each[which + 1 :])
    fold = [t * fitted.folds // len(ids) for t in range(len(ids))]
    got = np.exp(fitted.log_probs_at(np.array([0]), len(ids) - 1)[0, :, 0, :-1])
    for t in range(1, len(ids)):
        rest = [s for s in range(len(ids)) if fold[s] != fold[t]]
        plain = [PlainKneserNey(other.tolist(), V, order, rest if other is ids else None) for other in texts]
        np.testing.assert_allclose(got[t - 1], PlainAdapted(plain).row(ids[:t].tolist()), rtol=3e-5)


def test_in_several_steps_or_in_one_is_the_same() -> None:
    rng = np.random.default_rng(3)
    a, b, c = (count_ngrams(rng.integers(0, V, 60).astype(np.uint8), V, 3) for _ in range(3))
    new = rng.integers(0, V, 30)
    one, two = (
        counts.log_probs_at(new, np.array([0]), 30, orders=3) for counts in (adapt([a, b, c]), adapt([adapt([a, b]), c]))
    )
    np.testing.assert_array_equal(one, two)
    assert adapt([a]) is a


def test_counts_of_different_orders_are_refused_when_read() -> None:
    rng = np.random.default_rng(3)
    arrays = {}
    for i, order in enumerate((2, 3)):
        counts = count_ngrams(rng.integers(0, V, 60).astype(np.uint8), V, order)
        arrays |= {f"text{i}.{name}": array for name, array in to_arrays(counts).items()}
    with pytest.raises(UserError, match="different orders"):
        from_arrays(arrays, V)
    with pytest.raises(UserError, match="not complete"):
        from_arrays(
            {name: array for name, array in arrays.items() if not name.startswith("text1")} | {"odd": arrays["text0.chars"]}, V
        )
