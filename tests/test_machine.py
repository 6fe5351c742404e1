"""Machine: a control group's limits hold, wherever they stand."""

import os
from pathlib import Path

import pytest

from letterwise.machine import memory_available, processors

OLD = "sys/fs/cgroup/cpu/"  # version 1
FREE = "MemTotal: 8000 kB\nMemAvailable: 4000 kB\n"


def machine(root: Path, group: str, files: dict[str, str]) -> Path:
    for name, text in {"proc/self/cgroup": group, "proc/meminfo": FREE, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.fixture(autouse=True)
def _many_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)))


@pytest.mark.parametrize(
    ("group", "files", "threads"),
    [
        ("0::/\n", {}, 16),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "max 100000\n"}, 16),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),
        ("0::/box/job\n", {"sys/fs/cgroup/box/cpu.max": "150000 100000\n"}, 2),  # a parent's limit holds, too
        ("0::/box\n", {"sys/fs/cgroup/box/cpu.max": "10000 100000\n"}, 1),
        ("4:cpu,cpuacct:/box\n", {OLD + "cpu.cfs_quota_us": "300000", OLD + "cpu.cfs_period_us": "100000"}, 3),
        ("4:cpu,cpuacct:/\n", {OLD + "cpu.cfs_quota_us": "-1", OLD + "cpu.cfs_period_us": "100000"}, 16),
    ],
)  # fmt: skip
def test_processors(tmp_path: Path, group: str, files: dict[str, str], threads: int) -> None:
    assert processors(machine(tmp_path, group, files)) == threads


@pytest.mark.parametrize(("said", "threads"), [("1", 1), ("3", 3), ("5", 4), ("32", 4), ("2,8", 2), ("0", 4), ("many", 4)])
def test_the_environment_lowers_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, threads: int) -> None:
    """Of 16 processors and a quota of 4: more threads than that would only wait for each other."""
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert processors(machine(tmp_path, "0::/\n", {"sys/fs/cgroup/cpu.max": "400000 100000"})) == threads


@pytest.mark.parametrize(
    ("group", "files", "free"),
    [
        ("0::/\n", {}, 4000 * 2**10),
        ("0::/a/b\n", {"sys/fs/cgroup/a/memory.max": "1000", "sys/fs/cgroup/a/memory.current": "400"}, 600),
        ("0::/\n", {"sys/fs/cgroup/memory.max": "max", "sys/fs/cgroup/memory.current": "400"}, 4000 * 2**10),
        ("0::/\n", {"sys/fs/cgroup/memory.max": "1000", "sys/fs/cgroup/memory.current": "1400"}, 0),
        ("0::/\n", {"sys/fs/cgroup/memory.max": "1000", "sys/fs/cgroup/memory.current": "900",
                    "sys/fs/cgroup/memory.stat": "anon 100\ninactive_file 800\n"}, 900),
        ("9:memory:/box\n", {"sys/fs/cgroup/memory/memory.limit_in_bytes": "5000",
                             "sys/fs/cgroup/memory/memory.usage_in_bytes": "1000"}, 4000),
    ],
)  # fmt: skip
def test_memory(tmp_path: Path, group: str, files: dict[str, str], free: int) -> None:
    assert memory_available(machine(tmp_path, group, files)) == free


def test_this_machine_has_some() -> None:
    assert processors() >= 1
    assert (memory_available() or 2**30) > 2**20


def test_a_system_that_does_not_say(tmp_path: Path) -> None:
    assert memory_available(tmp_path) is None
    assert processors(tmp_path) == 16
