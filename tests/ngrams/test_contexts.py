"""Contexts beside n-grams: against tuples and dictionaries, and by the laws that counts keep."""

import numpy as np
import pytest
from ngrams.plain_contexts import PlainContexts, seen

from letterwise.config import CONTEXT_KINDS, CONTEXT_REACH, ModelConfig
from letterwise.data.vocabulary import Vocabulary
from letterwise.errors import UserError
from letterwise.ngrams import adapt, count_ngrams
from letterwise.ngrams.contexts import KINDS, alphabet, count_contexts
from letterwise.ngrams.contexts.fit import fit_contexts
from letterwise.ngrams.contexts.keys import context_keys
from letterwise.ngrams.contexts.left_out import leave_out
from letterwise.ngrams.contexts.reader import context_keys as compiled_keys
from letterwise.ngrams.contexts.reader import context_tables, remember
from letterwise.ngrams.cross_fit import cross_fit
from letterwise.ngrams.passage_fit import fitted_contexts
from letterwise.ngrams.reader import NgramReader, read_on, tables
from letterwise.ngrams.storage import from_arrays, to_arrays

LETTERS = "abcAB '\n."


def written(size: int, seed: int) -> str:
    """A text of a few words, some long, in lines."""
    rng = np.random.default_rng(seed)
    words = ["".join(rng.choice(list("abcAB'"), rng.integers(1, 6))) for _ in range(9)] + ["a" * 150]
    return "".join(words[min(9, int(rng.exponential(3)))] + str(rng.choice(list("  \n."))) for _ in range(size))


def known(text: str) -> tuple[Vocabulary, np.ndarray]:
    """Its vocabulary and ids."""
    vocabulary = Vocabulary("char", "".join(sorted(set(text + LETTERS))))
    return vocabulary, vocabulary.encode(text).astype(np.int64)


def longest(ids: np.ndarray, vocab_size: int, *, places: int) -> np.ndarray:
    """Some distribution for each place: ln p (places, V)."""
    scores = np.random.default_rng(7).normal(size=(places, vocab_size))
    return (scores - np.log(np.exp(scores).sum(-1, keepdims=True))).astype(np.float32)


def test_there_are_as_many_kinds_as_the_model_expects() -> None:
    assert len(KINDS) == CONTEXT_KINDS
    sees = ModelConfig(counts_order=5).mixed_counts(10), ModelConfig(counts_order=5, counts_contexts=False).mixed_counts(10)
    assert sees == (5 + CONTEXT_KINDS, 5)


@pytest.mark.parametrize("lines", [False, True])
def test_keys_are_equal_where_what_is_seen_is(lines: bool) -> None:
    text = written(300, 1)
    vocabulary, ids = known(text)
    keys = context_keys(ids, alphabet(vocabulary, vocabulary.line_break if lines else None))
    sees = [seen(text[: place + 1], lines=lines) for place in range(len(text))]
    for kind in range(CONTEXT_KINDS):
        pairs = {(sees[place][kind], int(keys[kind, place])) for place in range(len(text))}
        assert len(pairs) == len({context for context, _ in pairs}) == len({key for _, key in pairs}), KINDS[kind]


@pytest.mark.parametrize("lines", [False, True])
def test_compiled_keys_are_the_same(lines: bool) -> None:
    text = written(120, 2)
    vocabulary, ids = known(text)
    of = alphabet(vocabulary, vocabulary.line_break if lines else None)
    keys, compiled = context_keys(ids, of), context_tables(count_contexts(ids, len(vocabulary), of))
    history = np.full(CONTEXT_REACH, -1)
    for place, id in enumerate(ids.tolist()):
        remember(compiled, history, id)
        assert [int(key) for key in compiled_keys(compiled, history)] == keys[:, place].tolist()


def test_a_key_depends_on_the_last_characters_alone() -> None:
    vocabulary, ids = known(written(400, 3))
    of = alphabet(vocabulary)
    whole, end = context_keys(ids, of), context_keys(ids[-CONTEXT_REACH - 50 :], of)
    np.testing.assert_array_equal(whole[:, -50:], end[:, -50:])


def test_words_are_compared_without_case_and_bytes_of_letters_belong_to_them() -> None:
    vocabulary, ids = known("Abc a. aBC a. b")
    keys = context_keys(ids, alphabet(vocabulary))
    assert keys[0, 4] == keys[0, 11]
    assert keys[6, 4] != keys[6, 11]
    assert alphabet(Vocabulary("byte")).letters[[32, 65, 97, 200]].tolist() == [0, 98, 98, 201]


@pytest.mark.parametrize("lines", [False, True])
def test_what_follows_is_predicted_as_counted_by_hand(lines: bool) -> None:
    text, new = written(300, 4), written(60, 5)
    vocabulary, ids = known(text + new)
    size, characters = len(vocabulary), vocabulary.characters
    of = alphabet(vocabulary, vocabulary.line_break if lines else None)
    counts = count_contexts(ids[: len(text)], size, of)
    plain = PlainContexts(text, range(1, len(text)), lines=lines)
    discounts = [table.discounts for table in counts.tables]
    lower = longest(ids, size, places=len(new) - 1)
    told = counts.log_probs(vocabulary.encode(new)[None, :-1].astype(np.int64), len(new) - 1, lower[None])[0]
    for place in range(len(new) - 1):
        for kind, (p, escape) in enumerate(plain.p(new[: place + 1], np.exp(lower[place]), characters, discounts)):
            np.testing.assert_allclose(np.exp(told[place, kind]), [*p, escape], rtol=2e-5, atol=1e-7)


def test_a_place_is_predicted_by_counts_without_its_fold() -> None:
    text, folds = written(260, 6), 4
    vocabulary, ids = known(text)
    size, chars = len(vocabulary), len(text)
    fitted = fit_contexts(ids, size, alphabet(vocabulary), folds=folds)
    discounts = [table.discounts for table in fitted.counts.tables]
    fold = np.arange(chars) * folds // chars
    others = [PlainContexts(text, [p for p in range(1, chars) if fold[p] != f]) for f in range(folds)]
    lower = longest(ids, size, places=chars - 1)
    told = np.zeros((1, chars - 1, CONTEXT_KINDS + 1, size + 1), np.float32)
    told[0, :, -1, :-1] = lower
    fitted.fill(told, ids, np.array([0]))
    for place in range(1, chars):
        by_hand = others[fold[place]].p(text[:place], np.exp(lower[place - 1]), vocabulary.characters, discounts)
        for kind, (p, escape) in enumerate(by_hand):
            np.testing.assert_allclose(np.exp(told[0, place - 1, kind]), [*p, escape], rtol=2e-5, atol=1e-7)


@pytest.mark.parametrize("vocab_size", [0, 300])
def test_numpy_and_compiled_code_leave_out_to_the_same_bits(vocab_size: int) -> None:
    """Runs that begin before it is compiled, or on the way, are those that begin after it."""
    vocabulary, ids = known(written(900, 12))
    size = max(vocab_size, len(vocabulary))  # ids of more than 256 characters have two bytes
    fitted = fit_contexts(ids, size, alphabet(vocabulary), folds=7)
    places = np.random.default_rng(13).integers(-1, len(ids), 200)
    told = np.full((2, len(places), CONTEXT_KINDS + 2, size + 1), 7, np.float32)
    lower = np.exp(longest(ids, size, places=len(places)))
    lower[0, 0] = 1e-38  # what is smaller than any normal number with a back-off is still no 0
    for function, into in zip((leave_out.plain, leave_out), told, strict=True):
        function(fitted.rows, fitted.events, places, lower, into, np.empty(size, np.int64))
    assert leave_out.compiled
    np.testing.assert_array_equal(told[0].view(np.int32), told[1].view(np.int32))
    assert (told[:, :, CONTEXT_KINDS:] == 7).all()
    assert (told > 0).all()


def test_what_a_fold_says_changes_no_prediction_in_it() -> None:
    """Two texts differ in the middle of one fold: before that, its places are predicted alike."""
    text = written(700, 8)
    vocabulary, ids = known(text)
    size, folds, chars = len(vocabulary), 5, len(text)
    other = ids.copy()
    inside = slice(chars * 2 // folds + 40, chars * 3 // folds - CONTEXT_REACH)  # what is behind the fold does not see it
    assert inside.stop > inside.start + 20
    other[inside] = np.random.default_rng(9).permutation(other[inside])
    lower = longest(ids, size, places=39)
    told = np.zeros((2, 1, 39, CONTEXT_KINDS + 1, size + 1), np.float32)
    told[:, 0, :, -1, :-1] = lower
    for predicted, read in zip(told, (ids, other), strict=True):
        fitted = fit_contexts(read, size, alphabet(vocabulary), folds=folds)
        for table in fitted.counts.tables:  # discounts are those of the whole text, by which no place can be told
            table.few[:] = 0
        fitted.fill(predicted, read, np.array([chars * 2 // folds]))
    np.testing.assert_allclose(told[0], told[1], rtol=1e-5, atol=1e-5)


def test_one_character_at_a_time_says_the_same() -> None:
    vocabulary, ids = known(written(260, 10))
    size, order = len(vocabulary), 4
    counts = count_ngrams(ids, size, order).with_contexts(count_contexts(ids, size, alphabet(vocabulary)))
    read = known(written(60, 11))[1]
    expected = counts.log_probs_at(read, np.array([0]), len(read), order + CONTEXT_KINDS)[0]
    reader, told = NgramReader(tables(counts), texts=2), np.zeros(expected.shape[1:], np.float32)
    reader.begin(0, [])
    reader.begin(1, read[:-9].tolist())
    for place, id in enumerate(read.tolist()):
        read_on(reader.tables, reader.states[0], id, told)
        np.testing.assert_allclose(told, expected[place], rtol=1e-5, atol=1e-5)
        if place >= len(read) - 9:
            read_on(reader.tables, reader.states[1], id, told)
            np.testing.assert_allclose(told, expected[place], rtol=1e-5, atol=1e-5)


def test_contexts_come_back_from_a_file() -> None:
    vocabulary, ids = known(written(200, 12))
    counts = count_ngrams(ids, len(vocabulary), 3).with_contexts(count_contexts(ids, len(vocabulary), alphabet(vocabulary)))
    back = from_arrays(to_arrays(counts), len(vocabulary))
    at = np.array([0, 30])
    np.testing.assert_array_equal(counts.log_probs_at(ids, at, 40, 11), back.log_probs_at(ids, at, 40, 11))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("contexts.word.keys", lambda keys: keys[::-1]),
        ("contexts.word.lengths", lambda lengths: lengths + 1),
        ("contexts.above.characters", lambda characters: characters + 99),
        ("contexts.long.counts", lambda counts: counts * 0),
        ("contexts.codes", lambda codes: codes[1:]),
        ("contexts.breaks", lambda breaks: breaks + 99),
        ("contexts.apart.few", lambda few: few[1:]),
    ],
)
def test_damaged_contexts_are_refused(name, change) -> None:
    vocabulary, ids = known(written(200, 12))
    counts = count_ngrams(ids, len(vocabulary), 3).with_contexts(count_contexts(ids, len(vocabulary), alphabet(vocabulary)))
    arrays = to_arrays(counts)
    with pytest.raises(UserError, match="contexts"):
        from_arrays({**arrays, name: change(arrays[name])}, len(vocabulary))
    with pytest.raises(UserError, match="not complete"):
        from_arrays({other: array for other, array in arrays.items() if other != name}, len(vocabulary))


def test_contexts_of_two_texts_are_added_up() -> None:
    texts = [written(150, seed) for seed in (13, 14)]
    vocabulary, _ = known("".join(texts))
    size, of, each = len(vocabulary), alphabet(vocabulary), []
    for text in texts:
        ids = vocabulary.encode(text).astype(np.int64)
        each.append(count_ngrams(ids, size, 3).with_contexts(count_contexts(ids, size, of)))
    joined = adapt(each).contexts
    assert joined
    for kind in range(CONTEXT_KINDS):
        found = {}
        for counts in each:
            assert counts.contexts
            table = counts.contexts.tables[kind]
            for row, key in enumerate(table.keys.tolist()):
                for entry in range(table.starts[row], table.starts[row + 1]):
                    place = key, int(table.characters[entry])
                    found[place] = found.get(place, 0) + int(table.counts[entry])
        table = joined.tables[kind]
        rows = np.repeat(table.keys, np.diff(table.starts)).tolist()
        assert dict(zip(zip(rows, table.characters.tolist(), strict=True), table.counts.tolist(), strict=True)) == found


def test_beside_another_text_a_place_is_predicted_without_its_fold() -> None:
    """Cross-fitted beside the counts of another text: that text's counts are all there, and those of the own fold are not."""
    texts = [written(200, seed) for seed in (15, 16)]
    vocabulary, _ = known("".join(texts))
    size, of = len(vocabulary), alphabet(vocabulary)
    before, ids = (vocabulary.encode(text).astype(np.int64) for text in texts)
    base = count_ngrams(before, size, 3).with_contexts(count_contexts(before, size, of))
    alone, beside = (
        fitted_contexts(cross_fit(ids, size, 3, folds=4, max_chars=len(ids), before=others), of, folds=4, chars=len(ids))
        for others in ([], [base])
    )
    assert alone.contexts
    assert beside.contexts
    assert base.contexts
    tables = zip(alone.contexts.counts.tables, base.contexts.tables, beside.contexts.counts.tables, strict=True)
    for mine, other, both in tables:
        assert both.counts.sum() == mine.counts.sum() + other.counts.sum()
    told = beside.log_probs_at(np.array([5]), 50, 3 + CONTEXT_KINDS)[0]
    np.testing.assert_allclose(np.exp(told[..., :-1]).sum(-1), 1, rtol=1e-4)
