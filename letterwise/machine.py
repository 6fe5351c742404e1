"""Machine: how many processors and how much memory this process may use, and where it may keep what can be made again.

    scheduler affinity, cgroup CPU quota ──processors──▶ threads
    free memory, cgroup memory limit ──memory_available──▶ bytes
    $LETTERWISE_CACHE, user's cache folder ──cache_dir──▶ path

A container sees the whole machine in most places; its limits stand in the control group that the process belongs to
(Linux kernel documentation, "Control Group v2": cpu.max, memory.max; version 1: cpu.cfs_quota_us, memory.limit_in_bytes).
"""

import math
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")
UNLIMITED = 2**60  # version 1 writes "no limit" as a number near 2⁶³


def processors(root: Path = ROOT) -> int:
    """How many threads can run at once: affinity and CPU quota decide; OMP_NUM_THREADS can only lower it."""
    said = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    asked = int(said) if said.isdecimal() and int(said) else math.inf
    return max(1, math.ceil(min(asked, allowed(), _cpu_quota(root))))


def allowed() -> int:
    """How many processors the scheduler may put this process on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_available(root: Path = ROOT) -> int | None:
    """Bytes that this process can still take, page cache that can be dropped included; None where the system does not say."""
    bounds = [*_free_memory(root), *_memory_left(root)]
    return max(0, min(bounds)) if bounds else None


def cache_dir() -> Path:
    """Where ids, downloads and compiled code are kept: $LETTERWISE_CACHE, else the user's cache folder.

    A user who has no home, or may not write there, as in a container that was started with a number for a user or whose files
    are read-only, has a folder among the temporary ones.
    """
    named = os.path.expanduser(os.environ.get("LETTERWISE_CACHE", ""))
    if named and not named.startswith("~"):
        return Path(named)
    import platformdirs

    try:
        usual = Path(platformdirs.user_cache_dir("letterwise"))
    except RuntimeError:  # there is no HOME, and no entry for the user
        usual = Path()
    if usual.is_absolute() and (os.path.exists(usual) or _may_make(usual)):
        return usual
    return Path(tempfile.gettempdir(), f"letterwise-{os.getuid() if hasattr(os, 'getuid') else 'cache'}")


def _may_make(folder: Path) -> bool:
    """May this user make a folder there?"""
    there = next(parent for parent in folder.parents if os.path.exists(parent))
    return os.path.isdir(there) and os.access(there, os.W_OK | os.X_OK)


def _cpu_quota(root: Path) -> float:
    """The tightest quota, in processors; infinite without one."""
    quotas = [math.inf]
    for group in _groups(root, "cpu"):
        quota, period = [*_words(group / "cpu.max"), "", ""][:2]
        if not quota:
            quota, period = _word(group / "cpu.cfs_quota_us"), _word(group / "cpu.cfs_period_us")
        if quota.isdecimal() and period.isdecimal() and int(period):
            quotas.append(int(quota) / int(period))
    return min(quotas)


def _memory_left(root: Path) -> Iterator[int]:
    """What each control group's limit leaves."""
    for group in _groups(root, "memory"):
        for limit_name, used_name in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
            limit, used = _word(group / limit_name), _word(group / used_name)
            if limit.isdecimal() and used.isdecimal() and int(limit) < UNLIMITED:
                droppable = _fields(group / "memory.stat").get("inactive_file", 0)
                yield int(limit) - max(0, int(used) - droppable)


def _free_memory(root: Path) -> Iterator[int]:
    """What the kernel says is available."""
    fields = _fields(root / "proc/meminfo")
    if "MemAvailable:" in fields:
        yield fields["MemAvailable:"] * 2**10


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The control groups of this process, from its own up to the root: the limits of all of them hold."""
    base = root / "sys/fs/cgroup"
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, name = [*line.split(":", 2), "", ""][:3]
        if controllers and controller not in controllers.split(","):
            continue
        top = base / controller if controllers else base
        group = top / name.strip().lstrip("/")
        while group != top and top in group.parents:
            yield group
            group = group.parent
        yield top  # in a container, the group's own name is often not there, and the top is its own


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return []


def _words(path: Path) -> list[str]:
    return [word for line in _lines(path) for word in line.split()]


def _word(path: Path) -> str:
    return (_words(path) or [""])[0]


def _fields(path: Path) -> dict[str, int]:
    """Lines of name and number."""
    rows = [line.split() for line in _lines(path)]
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdecimal()}
