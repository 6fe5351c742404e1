"""Entries: Python runs them while another process compiles them, to the same result; and what may go wrong there."""

import importlib
import os
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import pytest

from letterwise.compiling import compiler, entry, store, worker

ROOT = Path(__file__).parents[2]
SOURCE = """
from letterwise.compiling.entry import entry
from letterwise.compiling.parts import part

def in_python(x):
    return x + 1

@part(python=in_python)
def following(x):
    return x + 1

@part()
def half(x):
    return following(x) / 2

@entry()
def total(first, last):
    found = 0.0
    for x in range(first, last):
        found += half(x)
    return found
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Functions that were never compiled, in a module that the worker can import."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kept"))
    monkeypatch.setattr(store, "writable", True)
    monkeypatch.setattr(entry, "MEANWHILE", worker.POSSIBLE)
    monkeypatch.setattr(worker.Worker, "current", None)
    monkeypatch.setattr(entry.Entry, "announced", False)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "slow.py").write_text(SOURCE)
    monkeypatch.delitem(sys.modules, "slow", raising=False)
    return importlib.import_module("slow")


def ready(found: entry.Entry) -> list[bool]:
    """Whether each call was compiled, up to the first that was."""
    calls = []
    for _ in range(6_000):
        assert found(1, 4) == 4.5
        calls.append(found.compiled)
        if found.compiled:
            return calls
        time.sleep(0.02)
    raise AssertionError("never compiled")


posix = pytest.mark.skipif(not worker.POSSIBLE, reason="everything is compiled at once here")


def test_what_is_kept_is_machine_code(module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which another process runs without what compiled it."""
    monkeypatch.setattr(entry, "MEANWHILE", False)
    assert module.total(1, 4) == 4.5
    (kept,) = store.folder().iterdir()
    *_, code = (store.read(kept) or b"").split(b"\n", 2)
    assert code.startswith(b"\x7fELF") or sys.platform != "linux"
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    program = "import sys; from slow import total; print(total(1, 4), total.compiled, 'numba' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert (found.stdout, found.stderr) == ("4.5 True False\n", "")


@posix
def test_nobody_waits(module: ModuleType, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(compiler, "compiled")
    calls = ready(module.total)
    assert not any(calls[:-1])
    assert len(calls) > 1
    assert [message[:20] for message in caplog.messages] == ["compiling the engine"]
    worker.Worker.current.process.stdin.close()  # as when this process ends
    worker.Worker.current.process.wait(60)


@posix
def test_what_is_kept_is_loaded_at_once(module: ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    ready(module.total)
    caplog.clear()
    again = importlib.reload(module)
    assert again.total(1, 4) == 4.5
    assert again.total.compiled
    assert caplog.messages == []


@posix
def test_where_nothing_can_be_kept_it_is_handed_over(
    module: ModuleType, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(compiler, "compiled")
    (tmp_path / "kept").touch()
    ready(module.total)
    assert [message.split(" (")[0] for message in caplog.messages[1:]] == [
        f"the compiled engine cannot be kept in {str(store.folder())!r}"
    ]


@posix
def test_a_worker_that_is_killed_leaves_the_work_to_this_process(module: ModuleType) -> None:
    assert module.total(1, 4) == 4.5
    worker.Worker.current.process.kill()
    with patch.object(compiler, "compiled", wraps=compiler.compiled) as compiling:
        ready(module.total)
    assert compiling.call_count == 1
    assert module.half(3) == 2.0  # and the next one has a worker of its own
    assert worker.Worker.current.process.poll() is None


@posix
def test_no_worker_at_all(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: object, **options: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(worker.subprocess, "Popen", refused)
    assert len(ready(module.total)) <= 2


@posix
def test_what_was_begun_is_finished_when_the_process_has_ended(module: ModuleType, tmp_path: Path) -> None:
    """By one of two at once: what is kept is one whole entry."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    ways = dict(env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    program = "from slow import total; print(total(1, 4), total.compiled)"
    for process in [subprocess.Popen([sys.executable, "-c", program], **ways) for _ in range(2)]:
        out, err = process.communicate()
        assert (process.returncode, out, err[:20]) == (0, "4.5 False\n", "compiling the engine")
    deadline = time.monotonic() + 300
    while not [*store.folder().glob("slow.total-*")] and time.monotonic() < deadline:
        time.sleep(0.1)
    (kept,) = store.folder().glob("slow.total-*")
    assert store.read(kept)
    assert ready(module.total) == [True]


def test_without_a_compiler_all_is_python(module: ModuleType, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}", "NUMBA_DISABLE_JIT": "1"}
    program = "from slow import half, total; print(total(1, 4), total.compiled, half(3))"
    told = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert (told.stdout, told.stderr) == ("4.5 False 2.0\n", "")
