"""Docstrings: what they show is so."""

import doctest

import pytest

from letterwise import api


def examples() -> list[doctest.DocTest]:
    return [test for test in doctest.DocTestFinder(exclude_empty=True).find(api) if test.examples]


@pytest.fixture(scope="module")
def model_of_a_log(tmp_path_factory: pytest.TempPathFactory) -> api.LanguageModel:
    """It knows two lines."""
    folder = tmp_path_factory.mktemp("log")
    (folder / "log.txt").write_text("start\nstop\n" * 150)
    return api.train(folder / "log.txt", out=folder / "run", preset="counts")


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.name)
def test_an_example(example: doctest.DocTest, tiny, model_of_a_log) -> None:
    """With `model` the small one that knows a few sentences by heart."""
    example.globs |= {"model": tiny, "model_of_a_log": model_of_a_log}
    assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example).failed == 0
