"""Docstrings: what they show is so."""

import doctest
import importlib
import pkgutil

import pytest

from letterwise import api


def examples() -> list[doctest.DocTest]:
    finder, names = doctest.DocTestFinder(exclude_empty=True), [found.name for found in pkgutil.iter_modules(api.__path__)]
    modules = [importlib.import_module(f"letterwise.api.{name}") for name in names]
    return [test for module in modules for test in finder.find(module) if test.examples]


def test_there_are_examples() -> None:
    names = {example.name.rpartition(".")[2] for example in examples()}
    assert names >= {"samples", "stream", "generate", "lines", "score", "rank", "novelty", "compress", "logits", "classify"}


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
