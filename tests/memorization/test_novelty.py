"""Novelty: shares, runs and the nearest line are what a slow look at both texts finds."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from data.plain_suffix_array import plain_runs, plain_suffix_array
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_run import TEXT

import letterwise
from letterwise.config import DataConfig
from letterwise.data.prepare import prepare
from letterwise.data.vocabulary import Vocabulary
from letterwise.errors import UserError
from letterwise.memorization import novelty as stage
from letterwise.memorization.novelty import LENGTHS, Nearest, Novelty, Run, novelty

RHYME = """\
Tyger Tyger, burning bright,
In the forests of the night;
What immortal hand or eye,
Could frame thy fearful symmetry?
"""
letters = st.text("ab\n", max_size=80)


def measured(text: str, training: str, nearest: int = 1) -> Novelty:
    vocabulary = Vocabulary("char", "".join(sorted(set(training))))
    return novelty(
        vocabulary.encode(text, "score"), vocabulary, plain_suffix_array(vocabulary.encode(training)), nearest=nearest
    )


def edits(one: str, other: str) -> int:
    """Levenshtein's distance, by its definition."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        above, row = row, [i]
        for j, b in enumerate(other, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (a != b)))
    return row[-1]


def similarity(one: str, other: str) -> float:
    return 1 - edits(one, other) / max(len(one), len(other), 1)


@settings(max_examples=200)
@given(
    before=st.text("ab\nö", min_size=1, max_size=30),
    copied=st.tuples(st.integers(0, 60), st.integers(0, 120)),
    after=letters,
    training=st.text("ab\n", min_size=1, max_size=200),
)
def test_against_a_slow_look(before: str, copied: tuple[int, int], after: str, training: str) -> None:
    text = before + training[copied[0] : sum(copied)] + after
    found, runs = measured(text, training), plain_runs(text, training)
    assert found.chars == len(text)
    for length in LENGTHS:
        within = {i for start, end in runs if end - start >= length for i in range(start, end)}
        assert found.shares[length] == len(within) / len(text)
    if not runs:
        assert found.longest is None
        return
    start, end = max(runs, key=lambda run: (run[1] - run[0], -run[0]))
    place = training.find(text[start:end])
    line, column = text[:start].count("\n") + 1, start - text.rfind("\n", 0, start)
    expected = Run(text[start:end], end - start, start, line, column, place, training[:place].count("\n") + 1)
    assert found.longest == expected


@settings(max_examples=200)
@given(text=st.text("abcö\n", min_size=1, max_size=60), training=st.text("abc\n", min_size=1, max_size=120))
def test_the_nearest_lines_against_a_slow_look(text: str, training: str) -> None:
    """Of the lines with the longest stretch in one run; where several are as near, the first."""
    training = f"{training}\n"
    stretches = []
    for number, line in enumerate(text.split("\n"), 1):
        longest = max((end - start for start, end in plain_runs(line, training)), default=0)
        stretches += [(-longest, number, line)] if longest else []
    expected = []
    for _, number, line in sorted(stretches)[:3]:
        near = [(similarity(line, other), -i, other) for i, other in enumerate(training.removesuffix("\n").split("\n"), 1)]
        alike, place, other = max(near)
        expected.append((number, line, -place, other, alike))
    found = measured(text, training, nearest=3).nearest
    assert [(each.line, each.text, each.training_line, each.training_text, each.similarity) for each in found] == expected


def test_a_poem_with_one_line_that_is_nearly_another() -> None:
    found = measured("My heart is calm!\nIn the forest of the night.\nÖh!", RHYME)
    assert found.longest == Run("\nIn the forest", 14, 17, 1, 18, 28, 1)
    near = "In the forests of the night;"
    assert found.nearest == [Nearest(2, "In the forest of the night.", 2, near, 1 - 2 / 28)]


@settings(max_examples=100)
@given(
    text=st.text("abö\n", min_size=1, max_size=200), training=st.text("ab\n", min_size=1, max_size=120), size=st.integers(1, 40)
)
def test_a_text_is_read_in_windows(text: str, training: str, size: int) -> None:
    """The oracle: one window. Lines and runs may go on over the ends of several."""
    whole = measured(text, training, nearest=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "WINDOW", size)
        assert measured(text, training, nearest=3) == whole


def test_training_text_is_read_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = measured(RHYME, RHYME + "x" * 50 + "\n" + RHYME, nearest=4)
    for size in (40, 64, 200):
        monkeypatch.setattr(stage, "CHUNK", size)
        assert measured(RHYME, RHYME + "x" * 50 + "\n" + RHYME, nearest=4) == whole


def test_a_long_line_is_compared_from_its_longest_run_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "MAX_LINE", 20)
    (near,) = measured("?" * 30 + "What immortal hand or eye, said she", RHYME).nearest
    assert (near.text, near.training_line) == ("What immortal hand o", 3)


def test_nothing_in_common_and_nothing_at_all() -> None:
    assert measured("xyz", RHYME.replace("y", "i")) == Novelty(3, None, dict.fromkeys(LENGTHS, 0.0), [])
    assert measured("Tyger", "Tyger").nearest == []  # a text without lines
    assert measured(RHYME, RHYME, nearest=0).nearest == []
    with pytest.raises(UserError, match="empty"):
        measured("", RHYME)
    with pytest.raises(UserError, match="--nearest -1"):
        measured("a", RHYME, nearest=-1)


def test_bytes() -> None:
    """A byte is a character: so are places, columns and shares."""
    training = np.frombuffer("größer\nals groß\n".encode(), np.uint8)
    found = novelty(Vocabulary("byte").encode("Ö!\n größe"), Vocabulary("byte"), plain_suffix_array(training))
    assert found.longest == Run("größe", 7, 5, 2, 2, 0, 1)
    assert found.chars == 12
    assert found.nearest == [Nearest(2, " größe", 1, "größer", 1 - 2 / 6)]


def test_the_models_own_text(tiny, tmp_path: Path) -> None:
    """Without a text, what its validation part shares with its training part; a text from a file, whatever its characters."""
    cut = tiny.data["bounds"][0]
    runs = plain_runs(TEXT[cut:], TEXT[:cut])
    assert tiny.novelty().longest.chars == max(end - start for start, end in runs)
    (tmp_path / "t.txt").write_text("Übrigens: The cat sat on the log. ")
    assert tiny.novelty(input_file=tmp_path / "t.txt") == tiny.novelty("Übrigens: The cat sat on the log. ")


def test_line_ends_are_those_of_a_file(tiny_lines, tiny, tmp_path: Path) -> None:
    r"""By a model of lines, or one that knows no \r, \r\n is read as \n wherever the text comes from."""
    text = "\r\n".join([*tiny_lines.vocabulary.decode(tiny_lines.suffixes.ids[:60]).split("\n"), "\r\r\n"])
    (tmp_path / "t.txt").write_bytes(text.encode())
    for model in (tiny_lines, tiny):
        assert model.novelty(text) == model.novelty(input_file=tmp_path / "t.txt")
    assert tiny_lines.novelty(text).longest.chars >= 59


def test_a_training_text_that_is_gone(tmp_path: Path, cache: Path) -> None:
    """It is read anew where it still is; else there is a sentence."""
    (tmp_path / "t.txt").write_text(RHYME * 9)
    letterwise.train(tmp_path / "t.txt", out=tmp_path / "run", preset="counts")
    model = tmp_path / "run" / "model.safetensors"
    shutil.rmtree(cache)
    assert letterwise.load(model).novelty("burning bright").longest.chars == 14
    shutil.rmtree(cache)
    (tmp_path / "t.txt").write_text(RHYME * 8)
    with pytest.raises(UserError, match=r"what is copied from it: the text changed since training .*: train it again\.$"):
        letterwise.load(model).novelty("burning bright")
    other = prepare(DataConfig(input_file=(str(tmp_path / "t.txt"),), vocab="byte"), note=print)
    model_of_another = letterwise.load(model)
    model_of_another.data["fingerprint"] = other.fingerprint
    with pytest.raises(UserError, match=r"the text changed since training .*: train it again"):
        model_of_another.novelty("burning bright")
    (tmp_path / "t.txt").unlink()
    with pytest.raises(UserError, match=r"what is copied from it: .*there is no file '.*t\.txt'.*: train it again"):
        letterwise.load(model).generate("In", max_copy=9)
