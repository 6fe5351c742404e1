"""Printable: nothing that a terminal obeys gets through, and nothing else changes."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from letterwise.printable import printable


def test_what_a_terminal_obeys_is_spelled() -> None:
    assert printable("a\x1b]0;title\x07b\x9b2J\r\n\tc") == "a\\x1b]0;title\\x07b\\x9b2J\\r\n\tc"
    assert printable("right\u202eleft \udcff") == "right\\u202eleft \\udcff"
    assert printable("a\nb\tc", one_line=True) == "a\\nb\\tc"


@given(st.text())
def test_no_control_is_left(text: str) -> None:
    shown = printable(text)
    assert all(c in "\n\t" or unicodedata.category(c) not in ("Cc", "Zl", "Zp", "Cs") for c in shown)
    assert not any(unicodedata.category(c) in ("Cc", "Zl", "Zp", "Cs") for c in printable(text, one_line=True))


@given(st.text(st.characters(categories=("L", "N", "P", "S", "Zs"))))
def test_ordinary_text_stays(text: str) -> None:
    assert printable(text) == text
    assert printable(text, one_line=True) == text
