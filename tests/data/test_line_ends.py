r"""What a line is: it ends with \n or \r\n and with nothing else; cutting loses nothing; pieces read like the whole."""

import itertools
import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from letterwise.data.line_ends import LONG_LINE, PlainEnds, bare, plain_ends, split_lines, warn_about_lines, with_line_ends
from letterwise.data.vocabulary import code_points, from_code_points

ODD = "\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029a☠"
texts = st.text(ODD, max_size=30)


@given(texts)
def test_a_line_ends_with_line_feed_alone_and_joined_lines_are_the_text(text: str) -> None:
    lines = split_lines(text)
    assert "".join(lines) == text
    assert all(line.endswith("\n") for line in lines[:-1])
    assert all(line and "\n" not in line[:-1] for line in lines)
    assert [bare(line) for line in lines] == [re.fullmatch(r"([^\n]*?)(\r?\n)?", line)[1] for line in lines]  # type: ignore[index]


def test_blank_lines_are_lines_and_other_separators_are_characters() -> None:
    assert [bare(line) for line in split_lines("a\n\r\n\nb\vc\x0cd\x85e\u2028f\u2029g\rh")] == [
        "a", "", "", "b\vc\x0cd\x85e\u2028f\u2029g\rh",
    ]  # fmt: skip
    assert split_lines("") == []
    assert bare("cut in the middle of an end\r") == "cut in the middle of an end\r"


@given(texts, st.lists(st.integers(0, 30)), st.booleans())
def test_pieces_read_like_the_whole(text: str, cuts: list[int], whole: bool) -> None:
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[a:b] for a, b in itertools.pairwise(edges)]
    ends = PlainEnds()
    assert "".join([*map(ends.feed, pieces), ends.feed("", final=True)]) == plain_ends(text)
    arrays = [from_code_points(points.astype(np.uint32)) for points in with_line_ends(map(code_points, pieces), whole=whole)]
    missing = "\n" if whole and text and not text.endswith("\n") else ""
    assert "".join(arrays) == plain_ends(text) + missing
    notes: list[str] = []
    longest = max(map(len, text.split("\n")))
    assert (
        "".join(from_code_points(p) for p in warn_about_lines(map(code_points, pieces), "x", notes.append, max_length=5))
        == text
    )
    only_returns = "\r" in text and "\n" not in text
    assert len(notes) == (only_returns or longest > 5), notes
    assert not notes or ("carriage returns" in notes[0] if only_returns else f"a line of {longest} characters" in notes[0])


def test_only_returns_and_a_huge_line_are_noted() -> None:
    for text, note in {
        "one\rtwo\r": "'x' has 2 carriage returns (\\r) and no line feed (\\n), so it is one line: write \\n for each, "
        "as `tr '\\r' '\\n'` does.",
        "a\n"
        + "b" * (LONG_LINE + 1): "'x' has a line of 65,537 characters: if that is not meant, put line breaks (\\n) into it.",
        "a\r\nb\rc": "",
        "b" * LONG_LINE: "",
    }.items():
        notes: list[str] = []
        list(warn_about_lines(iter([code_points(text)]), "x", notes.append))
        assert "".join(notes) == note
