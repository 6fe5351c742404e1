"""Atomic folder: all of its files or none; nothing of somebody else's is lost."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from letterwise.atomic import replacing_folder
from letterwise.errors import UserError

ROOT = Path(__file__).parents[2]


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_folder_appears_when_all_is_written(tmp_path: Path) -> None:
    with replacing_folder(tmp_path / "new/export") as folder:
        (folder / "inner").mkdir()
        (folder / "inner/a").write_text("one")
        assert not (tmp_path / "new/export").exists()
    assert names(tmp_path) == ["new/export/inner/a"]


@pytest.mark.parametrize("failure", [ZeroDivisionError, KeyboardInterrupt])
def test_what_fails_half_way_leaves_no_trace(tmp_path: Path, failure: type[BaseException]) -> None:
    def half() -> None:
        with replacing_folder(tmp_path / "export") as folder:
            (folder / "a").write_text("half")
            raise failure

    with pytest.raises(failure):
        half()
    assert list(tmp_path.iterdir()) == []


def test_what_the_system_refuses_in_the_block_is_a_sentence(tmp_path: Path) -> None:
    def full() -> None:
        with replacing_folder(tmp_path / "export"):
            raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match=r"cannot write .*export': No space left on device"):
        full()
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_export_is_replaced_only_if_asked(tmp_path: Path) -> None:
    place = tmp_path / "export"
    place.mkdir()
    with replacing_folder(place) as folder:  # an empty one is no loss
        (folder / "a").write_text("one")
    with pytest.raises(UserError, match=r"holds files already, like 'a': add --overwrite"), replacing_folder(place):
        pass
    with replacing_folder(place, replaceable={"a", "b"}) as folder:
        (folder / "b").write_text("two")
    assert names(tmp_path) == ["export/b"]


@pytest.mark.parametrize("other", ["notes.txt", "inner/a", ".git/config"])
def test_somebody_elses_files_are_never_replaced(tmp_path: Path, other: str) -> None:
    (tmp_path / "export" / other).parent.mkdir(parents=True)
    (tmp_path / "export" / other).write_text("mine")
    with pytest.raises(UserError, match="which no export wrote"), replacing_folder(tmp_path / "export", replaceable={"a"}):
        pass
    assert (tmp_path / "export" / other).read_text() == "mine"


def test_a_place_that_is_no_folder_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "round").symlink_to(tmp_path / "round")
    for place in ("file", "file/inside", "", "/", "a\0b", "n" * 256, "round/x", "\ud800"):
        with pytest.raises(UserError), replacing_folder(place):
            pass
    assert sorted(os.listdir(tmp_path)) == ["file", "round"]


def test_a_link_to_a_folder_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with replacing_folder(tmp_path / "link") as folder:
        (folder / "a").write_text("one")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real/a").read_text() == "one"


@pytest.mark.skipif(os.name != "posix", reason="signals and locks of POSIX")
def test_a_killed_writer_leaves_what_the_next_one_removes(tmp_path: Path) -> None:
    script = f"""
import time
from letterwise.atomic import replacing_folder
with replacing_folder({str(tmp_path / "export")!r}) as folder:
    (folder / "a").write_text("half")
    print("written", flush=True)
    time.sleep(60)
"""
    writer = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert writer.stdout
    assert writer.stdout.readline() == "written\n"
    with replacing_folder(tmp_path / "export") as folder:  # another writer, meanwhile: the first one's folder is its own
        (folder / "a").write_text("whole")
        assert len(list(tmp_path.iterdir())) == 2
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    assert len(list(tmp_path.iterdir())) == 2
    with replacing_folder(tmp_path / "export", replaceable={"a"}) as folder:
        (folder / "a").write_text("again")
    assert names(tmp_path) == ["export/a"]
