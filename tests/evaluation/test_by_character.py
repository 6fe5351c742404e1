r"""By character: what `score` says, put upon the characters of the text as it was given."""

from pathlib import Path

import numpy as np
import pytest

import letterwise
from letterwise.api import LanguageModel
from letterwise.errors import UserError
from letterwise.evaluation.score import OOV_BITS

TEXT = "The cat sat on the log.\n\nThe öwl sat. The dog sat on the mat. The owl sat on the sill. "


@pytest.mark.parametrize("protocol", ["blocks", "eighth", "sliding"])
def test_a_characters_score_is_that_of_score(tiny: LanguageModel, protocol) -> None:
    found, lines = tiny.score_characters(TEXT, protocol=protocol), [*tiny.score(TEXT, protocol=protocol, closely=True)]
    bits, ranks = (np.concatenate([getattr(line.characters, part) for line in lines]) for part in ("bits", "ranks"))
    assert np.isnan(found.bits[0])
    np.testing.assert_array_equal(found.bits[1:], bits[1:])
    np.testing.assert_array_equal(found.ranks, ranks)
    assert found.alternatives[0] == found.alternatives[TEXT.index("ö")] == []
    likeliest = np.concatenate([line.characters.likeliest[:, 0] for line in lines])
    assert [found.alternatives[i][0][0] for i in (5, 40)] == [tiny.vocabulary.characters[likeliest[i]] for i in (5, 40)]
    assert found.unknown == 3  # ö and two line breaks, which the vocabulary lacks
    for mine, line in zip(found.lines, lines, strict=True):
        assert (mine.number, mine.start, mine.chars) == (line.number, line.start, len(line.text))
        assert mine.predicted == line.predicted
        assert mine.bits == pytest.approx(line.bits)
    assert found.predicted == len(TEXT) - 1
    assert found.total_bits == pytest.approx(sum(line.bits for line in lines))


def test_counting_is_what_evaluate_sets_beside_it(tiny: LanguageModel, tmp_path: Path) -> None:
    text = "The cat sat on the log. The mat sat on the cat. "
    (tmp_path / "t.txt").write_text(text)
    score, found = tiny.evaluate(tmp_path / "t.txt"), tiny.score_characters(text)
    assert found.total_bits / found.predicted == pytest.approx(score.bits_per_char, abs=1e-5)
    assert found.counting_bits / found.predicted == pytest.approx(score.counting_bits_per_char, abs=1e-5)
    strange = tiny.score_characters(text + "ö")
    assert strange.counting_bits == pytest.approx(found.counting_bits + OOV_BITS)


def test_lines_begin_after_their_line_break(tiny_lines: LanguageModel, tmp_path: Path) -> None:
    r"""A model of lines predicts the first character, too, and reads \r\n as \n: \r costs nothing."""
    found, plain = tiny_lines.score_characters("bake\r\nlomi\r\n"), tiny_lines.score_characters("bake\nlomi\n")
    assert not np.isnan(plain.bits).any()
    assert np.flatnonzero(np.isnan(found.bits)).tolist() == [4, 10]
    np.testing.assert_array_equal(np.delete(found.bits, [4, 10]), plain.bits)
    assert [(line.start, line.chars, line.predicted) for line in found.lines] == [(0, 6, 5), (6, 6, 5)]
    (tmp_path / "t.txt").write_text("bake\nlomi\n")
    score = tiny_lines.evaluate(tmp_path / "t.txt")
    assert plain.counting_bits / plain.predicted == pytest.approx(score.counting_bits_per_char, abs=1e-5)


@pytest.fixture(scope="module")
def of_bytes(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    folder = tmp_path_factory.mktemp("bytes")
    (folder / "t.txt").write_text("Größe ist schön. Öl ist grün, und Äpfel sind süß.\n" * 20)
    flags = dict(vocab="byte", n_layer=1, n_head=2, n_embd=16, block_size=32, max_iters=5, warmup_iters=1, progress=False)
    return letterwise.train(folder / "t.txt", out=folder / "run", **flags)


def test_a_character_of_two_bytes_costs_both(of_bytes: LanguageModel) -> None:
    text = "Öl ist süß und 😀"
    found, lines = of_bytes.score_characters(text), [*of_bytes.score(text, closely=True)]
    bits = np.concatenate([line.characters.bits for line in lines])
    assert len(bits) == len(text.encode()) > len(found.bits) == len(text)
    assert found.bits[0] == bits[1]  # of the first character only the second byte is predicted
    assert found.bits[-1] == pytest.approx(bits[-4:].sum())
    assert [i for i in range(len(text)) if not found.ranks[i]] == [0, 8, 9, 15]
    assert all(len(found.alternatives[i]) == 5 * (found.ranks[i] > 0) for i in range(len(text)))
    assert found.predicted == len(text)
    assert found.total_bits == pytest.approx(bits.sum())


def test_runs_are_cut_to_whole_characters(of_bytes: LanguageModel) -> None:
    text = "Höl ist grün, und Äpfel sind süß!"
    (run,) = of_bytes.verbatim_runs(text)
    assert text[slice(*run)] == "l ist grün, und Äpfel sind süß"
    assert of_bytes.verbatim_runs(text, min_chars=40) == []


def test_runs_are_those_of_novelty(tiny: LanguageModel) -> None:
    text = "My cat sat on the mat. The dog, the öwl sat on the sill. The "
    found, runs = tiny.novelty(text), tiny.verbatim_runs(text, min_chars=1)
    start, end = max(runs, key=lambda run: run[1] - run[0])
    assert (start, text[start:end]) == (found.longest.start, found.longest.text)
    covered = {i for run in tiny.verbatim_runs(text) for i in range(*run)}
    assert len(covered) / len(text) == found.shares[20] > 0
    assert tiny.verbatim_runs("") == []


def test_what_cannot_be(tiny: LanguageModel) -> None:
    for text, sentence in (("", "nothing to predict"), ("a", "nothing to predict"), (3, "text=3 is not a text")):
        with pytest.raises(UserError, match=sentence):
            tiny.score_characters(text)
    with pytest.raises(UserError, match="is not a whole number"):
        tiny.verbatim_runs("The", min_chars=1.5)
