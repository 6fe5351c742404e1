r"""Offsets: every id is put back to the character that it came from."""

from hypothesis import given
from hypothesis import strategies as st

from letterwise.data.line_ends import plain_ends as as_plain
from letterwise.data.offsets import places, whole
from letterwise.data.vocabulary import Vocabulary

KINDS = [Vocabulary("char", "\n\rab"), Vocabulary("byte")]
texts = st.text("a\r\nö€😀\udcff", max_size=12)


@given(text=texts, vocabulary=st.sampled_from(KINDS), plain=st.booleans())
def test_places_are_those_of_the_characters(text: str, vocabulary: Vocabulary, plain: bool) -> None:
    """The oracle: one character after another, by itself."""
    wanted = []
    for i, character in enumerate(text):
        if not (plain and text[i : i + 2] == "\r\n"):
            wanted += [i] * len(vocabulary.encode(character, "score"))
    assert places(text, vocabulary, plain_ends=plain).tolist() == wanted
    assert len(wanted) == len(vocabulary.encode(as_plain(text) if plain else text, "score"))


@given(text=texts.filter(bool), vocabulary=st.sampled_from(KINDS), data=st.data())
def test_whole_characters_of_a_run_of_ids(text: str, vocabulary: Vocabulary, data: st.DataObject) -> None:
    where = places(text, vocabulary, plain_ends=False)
    start = data.draw(st.integers(0, len(where) - 1))
    end = data.draw(st.integers(start + 1, len(where)))
    inside = [i for i in range(len(text)) if all(start <= j < end for j in (where == i).nonzero()[0])]
    first, behind = whole(where, start, end)
    assert list(range(first, behind)) == inside
