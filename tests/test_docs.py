"""Docs: what is made from the code is as the code is now."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "docs"))

import make_flags


def test_the_page_of_flags_is_up_to_date() -> None:
    assert make_flags.FLAGS.read_text() == make_flags.flags_page(), "run `make docs`"
