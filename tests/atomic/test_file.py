"""Atomic: whole or not at all; one temporary file per writer; what cannot be replaced is written to."""

import errno
import os
import re
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from letterwise.atomic import remove_leftovers, replacing, write_bytes
from letterwise.errors import UserError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    write_bytes(tmp_path / "new/folder/file", b"one")
    write_bytes(tmp_path / "new/folder/file", b"two", previous=tmp_path / "new/folder/before")
    assert (tmp_path / "new/folder/file").read_bytes() == b"two"
    assert (tmp_path / "new/folder/before").read_bytes() == b"one"
    assert names(tmp_path / "new/folder") == ["before", "file"]


@pytest.mark.parametrize("failure", [ZeroDivisionError, OSError(errno.EIO, "of the input"), KeyboardInterrupt])
def test_what_fails_half_way_leaves_no_trace_and_its_own_error(tmp_path: Path, failure) -> None:
    """An input that cannot be read is not blamed on the output."""
    write_bytes(tmp_path / "file", b"old")

    def half() -> None:
        with replacing(tmp_path / "file") as file:
            file.write(b"half")
            raise failure

    with pytest.raises(failure if isinstance(failure, type) else OSError):
        half()
    assert (tmp_path / "file").read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "round").symlink_to(tmp_path / "round")
    places = ("file/inside", "folder", "folder/", "new/", "", ".", "..", "/", "n" * 256, "a\0b", "round", "round/x", "\ud800")
    for place in (*places, tmp_path / "folder"):
        with pytest.raises(UserError, match=r"cannot write|is empty"):
            write_bytes(place, b"x")
    assert names(tmp_path) == ["file", "folder", "round"]
    assert names(tmp_path / "folder") == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux only")
def test_a_full_disk_is_a_sentence() -> None:
    with pytest.raises(UserError, match="cannot write '/dev/full': No space left"):
        write_bytes("/dev/full", b"x")


def test_a_name_as_long_as_names_may_be(tmp_path: Path) -> None:
    write_bytes(tmp_path / ("n" * 255), b"x")
    assert names(tmp_path) == ["n" * 255]


def test_the_mode_of_what_was_there_is_kept(tmp_path: Path) -> None:
    for mode in (0o600, 0o664, 0o755):
        (tmp_path / "file").touch()
        (tmp_path / "file").chmod(mode)
        write_bytes(tmp_path / "file", b"x")
        assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "link").symlink_to("target")
    (tmp_path / "dangling").symlink_to("elsewhere")
    write_bytes(tmp_path / "link", b"new")
    write_bytes(tmp_path / "dangling", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "dangling").is_symlink()
    assert (tmp_path / "target").read_bytes() == (tmp_path / "elsewhere").read_bytes() == b"new"
    assert names(tmp_path) == ["dangling", "elsewhere", "link", "target"]


def test_devices_and_pipes_are_written_to(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    write_bytes(tmp_path / "pipe", b"through" * 20_000)
    reader.join()
    assert read == [b"through" * 20_000]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    (tmp_path / "null").symlink_to("/dev/null")
    write_bytes(tmp_path / "null", b"x")
    assert names(tmp_path) == ["null", "pipe"]
    program = "from letterwise.atomic import write_bytes; write_bytes('/dev/stdout', b'x'); print('y')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"xy\n"


def test_two_writers_of_one_process_do_not_share_a_file(tmp_path: Path) -> None:
    with replacing(tmp_path / "file") as one, replacing(tmp_path / "file") as two:
        one.write(b"one")
        two.write(b"two")
        assert len(names(tmp_path)) == 2
    assert (tmp_path / "file").read_bytes() == b"one"  # it ended last
    assert names(tmp_path) == ["file"]


def test_many_threads_leave_one_whole_file(tmp_path: Path) -> None:
    contents = [bytes([i]) * 100_000 for i in range(8)]
    threads = [threading.Thread(target=write_bytes, args=(tmp_path / "file", content)) for content in contents for _ in "123"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "file").read_bytes() in contents
    assert names(tmp_path) == ["file"]


def test_what_killed_writers_left_is_removed_and_what_living_ones_write_is_not(tmp_path: Path) -> None:
    program = f"""
import os, signal
from letterwise.atomic import replacing
with replacing({str(tmp_path / "file")!r}) as file:
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", program], check=False)
    (left,) = names(tmp_path)
    assert re.fullmatch(r"file\.tmp-[0-9a-f]{16}", left)
    others = ["file.tmp-notes", "file.tmp-0123456789abcdef.txt", "file.tmp-0123456789ABCDEF", "other.tmp-0123456789abcdef"]
    for name in others:
        (tmp_path / name).touch()
    with replacing(tmp_path / "file") as file:
        file.write(b"new")
        remove_leftovers(tmp_path / "file")
        assert len(names(tmp_path)) == 1 + len(others)
        assert left not in names(tmp_path)
    assert (tmp_path / "file").read_bytes() == b"new"
    assert names(tmp_path) == sorted(["file", *others])
