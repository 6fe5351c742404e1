"""The house can be read: folders of a dozen files, files of one idea, functions that fit on a screen.

Of what is no Python, and of tests, only the files' length is held.

letterwise/**.py ──read as syntax──▶ sizes ──held against LIMITS and EXCEPTIONS──▶ what is too large, as sentences

A configuration is exempt by nature: a dataclass is a list of fields, and its constructor's parameters are not counted.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAX_FILES, MAX_LINES, MAX_FUNCTION_LINES, MAX_PARAMETERS = 12, 400, 60, 8

# The one place for what may be larger, and why: a folder, a file, or a function as FILE:NAME.
EXCEPTIONS: dict[str, str] = {"letterwise/cli/commands": "a file for each command"}


def too_long(path: str, source: str) -> Iterator[tuple[str, str]]:
    """Whether a file is, in any language: its name in `EXCEPTIONS`, and a sentence."""
    if (lines := len(source.splitlines())) > MAX_LINES:
        yield path, f"{path} has {lines} lines, and may have {MAX_LINES}"


def too_large(path: str, source: str) -> Iterator[tuple[str, str]]:
    """What is too large in a file of Python."""
    yield from too_long(path, source)
    for function in ast.walk(ast.parse(source)):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            name, lines = f"{path}:{function.name}", (function.end_lineno or 0) - function.lineno + 1
            if lines > MAX_FUNCTION_LINES:
                yield name, f"{name} has {lines} lines, and may have {MAX_FUNCTION_LINES}"
            if (parameters := len(named(function.args))) > MAX_PARAMETERS:
                yield name, f"{name} has {parameters} parameters, and may have {MAX_PARAMETERS}"


def named(arguments: ast.arguments) -> list[ast.arg]:
    """The parameters of a function, `self` aside."""
    positional = [*arguments.posonlyargs, *arguments.args]
    if positional and positional[0].arg in ("self", "cls"):
        del positional[0]
    extra = [argument for argument in (arguments.vararg, arguments.kwarg) if argument]
    return [*positional, *arguments.kwonlyargs, *extra]


def crowded(folders: dict[str, int]) -> Iterator[tuple[str, str]]:
    """Folders with too many files at one level."""
    for folder, files in folders.items():
        if files > MAX_FILES:
            yield folder, f"{folder} has {files} files at one level, and may have {MAX_FILES}"


def test_the_house_can_be_read() -> None:
    paths = sorted((ROOT / "letterwise").rglob("*.py"))
    names = [path.relative_to(ROOT).as_posix() for path in paths]
    folders = [name.rpartition("/")[0] for name in names]
    found = list(crowded({folder: folders.count(folder) for folder in folders}))
    for name, path in zip(names, paths, strict=True):
        found += too_large(name, path.read_text())
    others = [path for kind in ("js", "css", "html") for path in (ROOT / "letterwise").rglob(f"*.{kind}")]
    for path in (*others, *(ROOT / "tests").rglob("*.py")):
        found += too_long(path.relative_to(ROOT).as_posix(), path.read_text())
    assert min(len(names), len(others)) > 40
    assert [sentence for name, sentence in found if name not in EXCEPTIONS] == []
    assert EXCEPTIONS.keys() - {name for name, _ in found} == set(), "these exceptions are no longer needed: remove them"


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("x = 1\n" * 401, "f.py has 401 lines, and may have 400"),
        ("def f():\n" + "    x = 1\n" * 60, "f.py:f has 61 lines, and may have 60"),
        ("class A:\n    async def g(self):\n" + "        x = 1\n" * 60, "f.py:g has 61 lines, and may have 60"),
        ("def f(a, b, c, d, /, e, f, *, g, h, i): ...", "f.py:f has 9 parameters, and may have 8"),
        ("def f(a, b, c, d, e, f, g, *h, **i): ...", "f.py:f has 9 parameters, and may have 8"),
        ("class A:\n    def f(self, a, b, c, d, e, f, g, h, i): ...", "f.py:f has 9 parameters, and may have 8"),
    ],
)
def test_what_is_too_large_is_seen(source: str, sentence: str) -> None:
    assert [said for _, said in too_large("f.py", source)] == [sentence]


@pytest.mark.parametrize(
    "source",
    [
        "x = 1\n" * 400,
        "def f():\n" + "    x = 1\n" * 59,
        "class A:\n    def f(self, a, b, c, d, e, f, g, h): ...",
        "@dataclass\nclass Config:\n" + "".join(f"    field{i}: int = 0\n" for i in range(100)),
    ],
)
def test_what_is_just_small_enough_is_left_in_peace(source: str) -> None:
    assert list(too_large("f.py", source)) == []


def test_a_crowded_folder_is_seen() -> None:
    assert [said for _, said in crowded({"a": 12, "b": 13})] == ["b has 13 files at one level, and may have 12"]
