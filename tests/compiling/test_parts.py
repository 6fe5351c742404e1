"""Parts: compiled into their callers, to the same result, and not by themselves."""

from pathlib import Path

import numpy as np
import pytest

from letterwise.compiling import jit, store
from letterwise.compiling.jit import njit
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
    monkeypatch.setattr(jit.DiskCache, "writable", True)
    return store.folder()


def test_an_entry_with_its_parts_is_one_whole(folder: Path) -> None:
    """One run of LLVM, one piece of machine code, one entry in the cache, which the next process loads."""
    first = njit()(total)
    assert first(VALUES) == 5.0
    assert [path.name.split("-")[0] for path in folder.iterdir()] == ["test_parts.total"]
    again = njit()(total)
    assert again(VALUES) == 5.0
    assert sum(again.stats.cache_hits.values()) == 1


def test_each_kind_of_arguments_has_its_own_code(folder: Path) -> None:
    entry = njit()(total)
    assert [entry(VALUES.astype(kind)) for kind in (np.float32, np.float64, np.int64)] == [5.0] * 3
    assert entry(VALUES[::-1]) == 5.0  # not contiguous


def test_python_may_call_a_part(folder: Path) -> None:
    assert half(3) == 1.5
    assert both(VALUES, 2) == 3.5
    assert doubled("ab") == "abab"  # as it stands: no compiler would
