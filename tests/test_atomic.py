"""Atomic: whole or not at all."""

from pathlib import Path

import pytest

from letterwise.atomic import replacing, write_bytes
from letterwise.errors import UserError


def test_a_file_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    write_bytes(tmp_path / "new/folder/file", b"one")
    write_bytes(tmp_path / "new/folder/file", b"two")
    assert (tmp_path / "new/folder/file").read_bytes() == b"two"
    assert len(list((tmp_path / "new/folder").iterdir())) == 1


def test_what_fails_half_way_leaves_no_trace(tmp_path: Path) -> None:
    write_bytes(tmp_path / "file", b"old")

    def half() -> None:
        with replacing(tmp_path / "file") as file:
            file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert (tmp_path / "file").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for place in (tmp_path / "file/inside", tmp_path / "folder"):
        with pytest.raises(UserError, match="cannot write"):
            write_bytes(place, b"x")
