"""Vocabulary: decode after encode is the identity, and ids stand in code-point order."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterwise.data.vocabulary import Vocabulary, smallest_unsigned
from letterwise.errors import UserError

NASTY = "a\r\nb\x00\u2028\u0301e😀\ufeff\U0010ffff"
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


def vocabulary_of(text: str) -> Vocabulary:
    return Vocabulary("char", "".join(sorted(set(text))))


@given(text=TEXTS | st.just(NASTY))
def test_round_trip(text: str) -> None:
    vocabulary = vocabulary_of(text)
    ids = vocabulary.encode(text)
    assert ids.tolist() == [sorted(set(text)).index(c) for c in text]
    assert vocabulary.decode(ids) == text
    assert ids.dtype == vocabulary.dtype
    assert Vocabulary.from_json(json.loads(json.dumps(vocabulary.to_json()))) == vocabulary


@given(data=st.binary())
def test_any_bytes_survive_text_and_back(data: bytes) -> None:
    vocabulary = Vocabulary("byte")
    text = vocabulary.decode(np.frombuffer(data, np.uint8))
    assert vocabulary.encode(text).tobytes() == data


@given(data=st.binary() | st.text().map(lambda t: t.encode("utf-8", "replace")))
def test_bytes_one_at_a_time_spell_the_same_text(data: bytes) -> None:
    decoder = Vocabulary("byte").text_decoder()
    pieces = [decoder.feed([byte]) for byte in data]
    text = "".join(pieces) + decoder.finish()
    assert text.encode("utf-8", "surrogateescape") == data


def test_a_character_is_held_back_until_it_is_whole() -> None:
    decoder = Vocabulary("byte").text_decoder()
    assert [decoder.feed([byte]) for byte in "é!".encode()] == ["", "é", "!"]


def test_characters_one_at_a_time() -> None:
    vocabulary = vocabulary_of("abc")
    decoder = vocabulary.text_decoder()
    assert [decoder.feed([i]) for i in (2, 0)] == ["c", "a"]
    assert decoder.finish() == ""


def test_unknown_characters_are_listed_or_skipped() -> None:
    vocabulary = vocabulary_of("abc")
    with pytest.raises(UserError, match=r"2 characters .*'x€'.*--unknown skip"):
        vocabulary.encode("ax€bx")
    assert vocabulary.decode(vocabulary.encode("ax€bx", unknown="skip")) == "ab"
    with pytest.raises(UserError, match="13 characters"):
        vocabulary.encode("defghijklmnop")


def test_half_a_surrogate_pair_is_no_bytes() -> None:
    vocabulary = Vocabulary("byte")
    with pytest.raises(UserError, match=r"1 character .*\\ud83d"):
        vocabulary.encode("a\ud83db")
    assert vocabulary.encode("a\ud83db", unknown="skip").tolist() == [97, 98]


def test_membership_and_size() -> None:
    assert "ab" not in vocabulary_of("abc")  # a character is asked for, not a part of the text
    assert "" not in vocabulary_of("abc")
    assert "a" in vocabulary_of("abc")
    assert "d" not in vocabulary_of("abc")
    assert len(vocabulary_of("abca")) == 3
    assert len(Vocabulary("byte")) == 256
    assert "😀" in Vocabulary("byte")


@pytest.mark.parametrize(
    ("size", "kind"), [(1, "uint8"), (256, "uint8"), (257, "uint16"), (65536, "uint16"), (65537, "uint32")]
)
def test_the_smallest_type_that_counts_so_far(size: int, kind: str) -> None:
    assert smallest_unsigned(size) == np.dtype(kind)


@pytest.mark.parametrize(
    "stored",
    [
        {},
        [],
        "ab",
        {"kind": "char", "characters": ""},
        {"kind": "char", "characters": "ba"},
        {"kind": "char", "characters": "aab"},
        {"kind": "char", "characters": ["a"]},
        {"kind": "word", "characters": "ab"},
        {"kind": "byte", "characters": "ab"},
    ],
)
def test_what_is_no_vocabulary_is_refused(stored: object) -> None:
    with pytest.raises(UserError, match="not a vocabulary"):
        Vocabulary.from_json(stored)
