"""Compiled code: what one process kept, the next one loads; damaged, foreign or out of date, it is compiled again."""

import hashlib
import logging
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import pytest
from numba.core import event as events

from letterwise.compiling import clock, compiler, machine_code, store
from letterwise.compiling.arguments import Packed, flatten
from letterwise.compiling.entry import entry
from letterwise.compiling.parts import part
from letterwise.inference.cpu import decode as decode

ROOT = Path(__file__).parents[2]


class Point(NamedTuple):
    x: int
    y: float


def twice(x):
    """What is compiled here."""
    return x + x


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kept"))
    monkeypatch.setattr(store, "writable", True)
    return store.folder()


def compiled() -> tuple[int, int]:
    """What a process of its own would see: the result, and how often it was loaded."""
    with patch.object(compiler, "compiled", wraps=compiler.compiled) as compiling:
        return entry(waits=True)(twice)(21), 1 - compiling.call_count


def test_what_was_kept_is_loaded(folder: Path) -> None:
    assert compiled() == (42, 0)
    (kept,) = folder.iterdir()
    assert compiled() == (42, 1)
    if os.name == "posix":
        assert (kept.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o600, 0o700)


def whole(payload: bytes) -> bytes:
    return hashlib.sha256(payload).digest() + payload


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:31],
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1],
        lambda content: content[:-100] + bytes([content[-100] ^ 1]) + content[-99:],
        lambda content: whole(b"no pickle"),
        lambda content: whole(pickle.dumps("another thing")),
    ],
)
def test_a_damaged_entry_is_compiled_again(folder: Path, damage: Any) -> None:
    compiled()
    (kept,) = folder.iterdir()
    good = kept.read_bytes()
    kept.write_bytes(damage(good))
    assert compiled() == (42, 0)
    assert compiled() == (42, 1)  # and kept whole again
    assert len([*folder.iterdir()]) == 1


@pytest.mark.skipif(os.name != "posix", reason="modes")
def test_what_others_may_write_is_not_loaded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled()
    (kept,) = folder.iterdir()
    kept.chmod(0o620)
    assert compiled() == (42, 0)
    assert compiled() == (42, 1)
    os.chown(kept, 12345, -1) if os.geteuid() == 0 else monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert compiled() == (42, 0)


@pytest.mark.skipif(os.name != "posix", reason="modes, links and pipes")
def test_a_folder_that_others_may_write_is_not_used(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """In it, one entry can be given another's name."""
    compiled()
    folder.chmod(0o770)
    assert compiled() == (42, 0)
    assert "others may write there" in caplog.text
    folder.chmod(0o700)
    assert compiled() == (42, 1)


@pytest.mark.skipif(os.name != "posix", reason="modes, links and pipes")
def test_what_is_no_file_is_not_waited_for(folder: Path, tmp_path: Path) -> None:
    compiled()
    (kept,) = folder.iterdir()
    (tmp_path / "elsewhere").write_bytes(kept.read_bytes())
    for lay in (os.mkfifo, lambda place: place.symlink_to(tmp_path / "elsewhere"), lambda place: place.symlink_to("/dev/zero")):
        kept.unlink()
        lay(kept)
        assert compiled() == (42, 0)
        assert compiled() == (42, 1)
        assert kept.is_file() and not kept.is_symlink()  # noqa: PT018


class Interrupting(events.Listener):
    """Presses Ctrl-C when numba begins to compile, so often."""

    def __init__(self, times: int) -> None:
        self.times, self.went_on = times, False

    def on_start(self, event: Any) -> None:
        while self.times:
            self.times -= 1
            signal.raise_signal(signal.SIGINT)
        self.went_on = True

    def on_end(self, event: Any) -> None:
        pass


def test_a_signal_waits_until_it_is_compiled(folder: Path) -> None:
    """Where LLVM calls Python back, an exception would be lost, and a traceback come instead. A second one ends it at once."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    pressed = Interrupting(1)
    try:
        with events.install_listener("numba:compile", pressed), pytest.raises(KeyboardInterrupt):
            compiled()
        assert pressed.went_on
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert compiled() == (42, 0)
        if hasattr(os, "fork"):
            child = os.fork()
            if child == 0:
                with events.install_listener("numba:compile", Interrupting(2)):
                    entry(waits=True)(lambda x: x - x)(21)
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGINT
    finally:
        signal.signal(signal.SIGINT, before)


def test_where_nothing_can_be_kept_one_note_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file"))
    monkeypatch.setattr(store, "writable", True)
    assert compiled() == compiled() == (42, 0)
    (note,) = caplog.messages
    assert "cannot be kept" in note
    assert "LETTERWISE_CACHE" in note


def test_a_full_disk_leaves_nothing_behind(folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    def full(beside: str, path: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        assert compiled() == (42, 0)
    assert [*folder.iterdir()] == []
    assert "No space left on device" in caplog.text


def test_old_entries_are_removed(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name, age in (("old", store.UNUSED_S + 60), ("new", 60)):
        (folder / name).touch()
        os.utime(folder / name, (time.time() - age,) * 2)
    compiled()
    assert (folder / "new").exists()
    assert not (folder / "old").exists()


def test_two_processes_at_once(folder: Path, tmp_path: Path) -> None:
    """On a cold cache: all are right, and what is kept is one whole entry. Nor is a library used that others may lack."""
    script = tmp_path / "script.py"
    script.write_text(
        "from letterwise.compiling.entry import entry\n\n@entry(waits=True)\n"
        "def twice(x):\n    return x + x\n\nprint(twice(21))\n"
        "import os, numba\nassert numba.config.DISABLE_INTEL_SVML\nassert 'NUMBA_DISABLE_INTEL_SVML' not in os.environ\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ways = dict(env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    processes = [subprocess.Popen([sys.executable, str(script)], **ways) for _ in range(2)]
    for process in processes:
        out, err = process.communicate()
        assert (process.returncode, out) == (0, "42\n"), err
    (kept,) = folder.iterdir()
    content = kept.read_bytes()
    assert content == whole(content[32:])


def test_a_change_in_what_is_called_makes_another_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two modules, one of which calls the other: no machine code outlives either."""
    for name, text in (("calls", "from letterwise.called import STEP\n"), ("called", "STEP = 1\n")):
        module = ModuleType(f"letterwise.{name}")
        module.__file__ = str(tmp_path / f"{name}.py")
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    seen = set()
    for name, text in (
        ("called", "STEP = 1\n"),
        ("called", "STEP = 2\n"),
        ("calls", "from letterwise.called import STEP as S\n"),
    ):
        (tmp_path / f"{name}.py").write_text(text)
        store.stamp.cache_clear()
        seen.add(store.stamp("letterwise.calls"))
    assert len(seen) == 3
    (tmp_path / "called.py").unlink()
    store.stamp.cache_clear()
    assert store.stamp("letterwise.calls") == ""  # nobody can say: then nothing is kept
    store.stamp.cache_clear()


def test_the_kernel_depends_on_all_it_calls() -> None:
    found = store.sources_of("letterwise.inference.cpu.decode")
    needed = {
        "cpu.kernel",
        "cpu.matmul",
        "cpu.simd",
        "cpu.layout",
        "cpu.threads",
        "sampling.filters",
        "constraints.language.dfa",
    }
    assert {f"letterwise.inference.{name}" for name in needed} | {
        "letterwise.ngrams.reader",
        "letterwise.compiling.machine_code",
    } <= set(found)


def test_all_that_is_compiled_goes_through_here() -> None:
    """Only the compiler imports numba: what has compiled code of its own does without."""
    users = {
        path.name
        for path in (ROOT / "letterwise").rglob("*.py")
        if re.search(r"^\s*(from|import) numba", path.read_text(), re.M)
    }
    assert users == {"compiler.py"}


@pytest.fixture
def compilation(monkeypatch: pytest.MonkeyPatch) -> clock.Compilation:
    fresh = clock.Compilation()
    monkeypatch.setattr(clock, "COMPILATION", fresh)
    return fresh


def test_the_clock_stands_still_while_compiling(compilation: clock.Compilation, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function from 10 s to 20 s, and one from 22 s to 23 s."""
    now = 0.0
    monkeypatch.setattr(clock, "SILENT_S", 3600.0)  # else what is said of it may come in the next test
    monkeypatch.setattr(clock.time, "monotonic", lambda: now)
    shown = []
    steps = {10: compilation.__enter__, 20: compilation.__exit__, 22: compilation.__enter__, 23: compilation.__exit__}
    for now in (5.0, 10.0, 11.0, 15.0, 20.0, 21.0, 22.0, 23.0, 24.0):
        steps.get(int(now), lambda: None)()
        shown.append(clock.clock())
    assert shown == [5.0, 10.0, 10.0, 10.0, 10.0, 11.0, 12.0, 12.0, 13.0]


def test_compiling_is_not_silent(compilation: clock.Compilation, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    """It is said at once, and again while it lasts; behind that, nothing."""
    monkeypatch.setattr(clock, "SILENT_S", 0.0)
    monkeypatch.setattr(clock, "AGAIN_S", 0.01)
    caplog.set_level(logging.WARNING)
    with compilation:
        while len(caplog.messages) < 2:
            time.sleep(0.01)
    first, again = caplog.messages[:2]
    assert first.startswith("compiling the engine for this processor, once")
    assert again.startswith("still compiling")


def test_what_is_quick_says_nothing(compilation: clock.Compilation, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    monkeypatch.setattr(clock, "SILENT_S", 3600.0)
    with compilation:
        pass
    assert caplog.messages == []


def test_what_compiles_stops_the_clock(folder: Path) -> None:
    before = clock.COMPILATION.so_far()
    entry(waits=True)(lambda x: x + 1)(1)
    assert clock.COMPILATION.so_far() > before
    assert not clock.COMPILATION.running


def test_another_processor_has_code_of_its_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And so has another version of what compiles it; what was kept for this one stays."""
    assert compiled() == (42, 0)
    here = machine_code.processor()
    monkeypatch.setattr("letterwise.compiling.entry.processor", lambda: (*here[:2], here[2] + ",+another"))
    assert compiled() == (42, 0)
    assert compiled() == (42, 1)
    monkeypatch.setattr(store, "stamp", lambda module: "another version's")
    assert compiled() == (42, 0)
    monkeypatch.undo()


def test_what_only_numba_has_is_refused(folder: Path) -> None:
    """Machine code that calls it could not run in a process that has not loaded numba."""

    def sorted_copy(values):
        return values.reshape((2, 2))[0, 0]

    with pytest.raises(TypeError, match="sorted_copy calls numba_attempt_nocopy_reshape, which nothing but numba has"):
        entry(waits=True)(sorted_copy)(np.zeros(4))


def test_an_error_in_machine_code_is_what_it_is_in_python(folder: Path) -> None:
    """Its class and its words, and a note that says in which function and line: also of a part that others call."""

    def checked(x):
        if x < 0:
            raise ValueError("below zero")
        return x

    inner = part()(checked)

    def divided(x, y):
        return inner(x) // y

    found = entry(waits=True)(divided)
    assert found(7, 2) == 3
    with pytest.raises(ZeroDivisionError, match="division by zero") as caught:
        found(7, 0)
    assert caught.value.__notes__ == ["raised in compiled code, called by way of divided"]
    with pytest.raises(ValueError, match="below zero") as caught:
        found(-7, 2)
    place = f"{checked.__name__}, line {checked.__code__.co_firstlineno + 2} of {__file__}"
    assert caught.value.__notes__ == [f"raised in compiled code, called by way of divided, in {place}"]


def test_what_is_packed_is_handed_over_as_what_is_not() -> None:
    table = np.zeros((2, 3))
    turned, packed, plain = table.T, list[float](), list[float]()
    task = 1, (table, turned), Point(2, 0.5)
    assert flatten((Packed(task), True), packed) == flatten((task, True), plain)
    assert packed == plain == [1, id(table), id(turned), 2, 0.5, True]


def test_results_and_arguments_are_those_of_python(folder: Path) -> None:
    """Numbers of each type, named tuples, and tuples of results."""

    def turned(point, few, flag):
        return point.y, point.x, few[1] + few[0], not flag

    found = entry(waits=True)(turned)(Point(2**62, 0.1), (np.float32(0.5), np.uint64(2**64 - 1)), np.True_)
    assert found == (0.1, 2**62, 2.0**64, False)
    assert [type(each) for each in found] == [float, int, float, bool]
