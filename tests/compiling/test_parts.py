"""Parts: compiled into their callers, to the same result, and not by themselves."""

from pathlib import Path

import numpy as np
import pytest

from letterwise.compiling import compiler, store
from letterwise.compiling.entry import entry
from letterwise.compiling.parts import part


@part()
def half(x):
    return x / 2


@part()
def both(values, begin):
    return half(values[begin]) + half(values[begin + 1])


@part(small=True)
def doubled(x):
    return 2 * x


def total(values):
    """The entry: calls parts, which call parts."""
    found = 0.0
    for begin in range(0, len(values), doubled(1)):
        found += both(values, begin)
    return found


VALUES = np.array([1.0, 2.0, 3.0, 4.0])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kept"))
    monkeypatch.setattr(store, "writable", True)
    return store.folder()


def test_an_entry_with_its_parts_is_one_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One run of LLVM, one piece of machine code, one entry in the cache, which the next process loads."""
    first = entry(waits=True)(total)
    assert first(VALUES) == 5.0
    assert [path.name.split("-")[0] for path in folder.iterdir()] == ["test_parts.total"]
    monkeypatch.delattr(compiler, "compiled")
    assert entry(waits=True)(total)(VALUES) == 5.0


def test_each_kind_of_arguments_has_its_own_code(folder: Path) -> None:
    sum = entry(waits=True)(total)
    assert [sum(VALUES.astype(kind)) for kind in (np.float32, np.float64, np.int64)] == [5.0] * 3
    assert sum(VALUES[::-1]) == 5.0  # not contiguous
    unaligned = np.frombuffer(b"." + VALUES.tobytes(), np.uint8)[1:].view(VALUES.dtype)
    assert sum(unaligned) == 5.0
    assert len(sum.codes) == 4


def test_python_may_call_a_part(folder: Path) -> None:
    assert half(3) == 1.5
    assert both(VALUES, 2) == 3.5
    assert doubled("ab") == "abab"  # as it stands: no compiler would
