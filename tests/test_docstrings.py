"""Docstrings: what they show is so."""

import doctest

import pytest

from letterwise import api


def examples() -> list[doctest.DocTest]:
    return [test for test in doctest.DocTestFinder(exclude_empty=True).find(api) if test.examples]


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.name)
def test_an_example(example: doctest.DocTest, tiny, tmp_path) -> None:
    """With `model` the small one that knows a few sentences by heart, and a file of its lines."""
    lines_file = tmp_path / "lines.txt"
    lines_file.write_text("The cat sat on the mat. " * 3)
    example.globs |= {"model": tiny, "lines_file": lines_file}
    assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example).failed == 0
