"""Copies: no run that is too long, and ends in what is written, stands in the training text."""

from pathlib import Path

import numpy as np
import pytest
from data.plain_suffix_array import plain_suffix_array
from hypothesis import given
from hypothesis import strategies as st
from tiny_run import TEXT

import letterwise
from letterwise.data.vocabulary import Vocabulary
from letterwise.errors import UserError
from letterwise.inference.sampling.copies import CopyLimit


def copied(prompt: str, written: str, training: str, length: int) -> list[str]:
    """The runs of `length` that end in `written` and stand in `training`."""
    text = prompt + written
    ends = range(max(length, len(prompt) + 1), len(text) + 1)
    return [run for end in ends if (run := text[end - length : end]) in training]


@given(
    training=st.text("abc", min_size=1, max_size=60),
    text=st.text("abc", max_size=20),
    max_copy=st.integers(1, 5),
    cut=st.integers(0, 20),
)
def test_just_what_would_complete_a_copy_is_barred(training: str, text: str, max_copy: int, cut: int) -> None:
    vocabulary = Vocabulary("char", "abc")
    prompt, written = vocabulary.encode(text[:cut]), vocabulary.encode(text[cut:]).tolist()
    copies = CopyLimit(plain_suffix_array(vocabulary.encode(training)), vocabulary, max_copy, prompt)
    left = copies.masked(np.zeros(3, np.float32), written)
    free = [character for character in "abc" if len(text) < max_copy or text[-max_copy:] + character not in training]
    assert vocabulary.decode(np.flatnonzero(left == 0)) == "".join(free)


@pytest.mark.parametrize("prompt", ["", "The cat", "The cat sat on the mat. The dog sat on the"])
@pytest.mark.parametrize("options", [{}, {"greedy": True}, {"exclude": "x", "top_k": 3}, {"beam": 2, "num_tokens": 20}])
def test_what_is_written_copies_no_more_than_asked(tiny, prompt: str, options: dict) -> None:
    """Of a model that writes its training text whenever it may, as it does here without the limit."""
    train = TEXT[: tiny.data["bounds"][0]]
    options = {"num_tokens": 60, **options}
    for max_copy in (4, 12):
        assert copied(prompt, tiny.generate(prompt, rng_seed=max_copy, **options), train, max_copy + 1)
        for seed in range(1 if options.keys() & {"greedy", "beam"} else 6):
            written = tiny.generate(prompt, rng_seed=seed, max_copy=max_copy, **options)
            assert len(written) == options["num_tokens"]
            assert copied(prompt, written, train, max_copy + 1) == []


def test_samples_side_by_side_are_those_alone(tiny) -> None:
    together = tiny.samples("The cat", num_tokens=40, num_samples=3, rng_seed=5, max_copy=6).texts()
    assert together == [tiny.generate("The cat", num_tokens=40, rng_seed=seed, max_copy=6) for seed in (5, 6, 7)]


def test_a_long_limit_changes_nothing(tiny) -> None:
    assert tiny.generate("The cat", rng_seed=1, max_copy=10**6) == tiny.generate("The cat", rng_seed=1)


def test_bytes_are_what_a_byte_vocabulary_counts(tmp_path: Path) -> None:
    text = "größer, größer, am größten. " * 20
    (tmp_path / "t.txt").write_text(text)
    model = letterwise.train(tmp_path / "t.txt", out=tmp_path / "run", preset="counts", vocab="byte")
    train = text.encode()[: model.data["bounds"][0]].decode("latin-1")  # a character for each byte
    for max_copy in (3, 6):
        written = model.generate("am größ", num_tokens=40, rng_seed=1, max_copy=max_copy).encode("utf-8", "surrogateescape")
        assert copied("am größ".encode().decode("latin-1"), written.decode("latin-1"), train, max_copy + 1) == []


def test_where_every_character_would_be_a_copy(tmp_path: Path) -> None:
    """Each letter stands behind each: no two can be written. Nothing that may not be written gets out before that is said."""
    (tmp_path / "t.txt").write_text("aabba" * 40)
    model = letterwise.train(tmp_path / "t.txt", out=tmp_path / "run", preset="counts", counts_order=2)
    pieces = model.stream("", max_copy=1)
    written = next(pieces)
    with pytest.raises(UserError, match=f"max_copy 1 leaves no character to write behind '{written}', after 1 characters"):
        next(pieces)
    with pytest.raises(UserError, match="Raise --max_copy"):
        model.generate("a", max_copy=1, beam=2)
    with pytest.raises(UserError, match="max_copy 2 leaves no character"):
        model.generate("ab", max_copy=2, charset="b")
    assert model.generate("ab", max_copy=2, num_tokens=1) == "a"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_copy": 0}, "max_copy=0 is too small: the minimum is 1"),
        ({"max_copy": -3}, "max_copy=-3 is too small: the minimum is 1"),
        ({"max_copy": 5, "regex": "a+"}, "--max_copy 5 and --regex do not go together"),
        ({"max_copy": 5, "must_contain": "cat"}, "--max_copy 5 and --must_contain do not go together"),
    ],
)
def test_senseless_requests(tiny, options: dict, words: str) -> None:
    with pytest.raises(UserError, match=words):
        tiny.samples("The", **options)
