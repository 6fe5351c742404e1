"""Corpus: every kind of input, read exactly; what is no text is refused where it stops being one."""

import bz2
import gzip
import io
import lzma
import os
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from letterwise.config import DataConfig
from letterwise.data.reading import source, unpack
from letterwise.data.reading.corpus import Finder, open_corpus
from letterwise.errors import UserError

NASTY = "a\r\nb\rc\n\x00\u2028\u0301e😀 ünï\ufeff𝔘"


def read(*names: object, notes: list[str] | None = None, **options: str) -> str:
    """The text that some inputs name."""
    note = (notes if notes is not None else []).append
    opened = open_corpus(DataConfig(input_file=tuple(map(str, names)), **options), note)
    arrays = [points for source in opened.sources for points in source.code_points(note)]
    return "".join(map(chr, np.concatenate(arrays))) if arrays else ""


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text(st.characters(exclude_categories=["Cs"])).filter(lambda t: not t.startswith("\ufeff")), chunk=st.integers(1, 7)
)
def test_text_is_read_exactly_whatever_the_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, chunk: int
) -> None:
    monkeypatch.setattr(source, "CHUNK", chunk)
    (tmp_path / "t.txt").write_bytes(text.encode())
    assert read(tmp_path / "t.txt", encoding="utf-8") == text


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress), (".zst", zstandard.compress), ("", bytes)],
)
def test_compressed_files(tmp_path: Path, suffix: str, pack) -> None:
    path = tmp_path / f"t.txt{suffix}"
    path.write_bytes(pack(NASTY.encode()))
    assert read(path, encoding="utf-8") == NASTY
    path.write_bytes(pack(b"one ") + pack(b"two"))  # several streams in one file, as `cat` makes them
    assert read(path) == "one two"


@pytest.mark.parametrize("name", ["a::b.gz", "http:c.gz", "d[1]*.gz", "e f.txt.gz", "file:g.gz"])
def test_a_compressed_files_name_is_no_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(gzip.compress(b"text"))
    assert read(name) == "text"


PACKERS = [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress), (".zst", zstandard.compress)]


@pytest.mark.parametrize("left", [1, 700, 4000])
@pytest.mark.parametrize(("suffix", "pack"), PACKERS)
def test_archives_that_end_too_soon(tmp_path: Path, suffix: str, pack, left: int) -> None:
    path = tmp_path / f"t.txt{suffix}"
    path.write_bytes(pack(os.urandom(5000))[:-left])
    with pytest.raises(UserError, match=f"t.txt{suffix}.*damaged"):
        read(path, vocab="byte")


@pytest.mark.parametrize(("suffix", "pack"), PACKERS)
def test_what_only_has_an_archives_name(tmp_path: Path, suffix: str, pack) -> None:
    path = tmp_path / f"t.txt{suffix}"
    for content in (b"plain text", pack(b"text") + b"more"):
        path.write_bytes(content)
        with pytest.raises(UserError, match=f"t.txt{suffix}.*damaged"):
            read(path)


def test_zst_in_small_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = NASTY * 50
    (tmp_path / "t.zst").write_bytes(zstandard.compress(text[:99].encode()) + zstandard.compress(text[99:].encode()))
    for step in (1, 7, 50):
        monkeypatch.setattr(unpack, "ZSTD_STEP", step)
        assert read(tmp_path / "t.zst", encoding="utf-8") == text


def test_zip_with_several_members(tmp_path: Path) -> None:
    notes: list[str] = []
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr("b.txt", "second ")
        archive.writestr("a/first.txt", "first ")
        archive.writestr("image.png", b"\x89PNG\0\0\xff")
        archive.writestr("/top.txt", "top ")
        archive.writestr(".hidden/no.txt", "no")
        archive.writestr("folder/", "")
    assert read(tmp_path / "t.zip", notes=notes) == "top first second "
    assert "1 of 4 files are not text" in notes[0]
    (tmp_path / "other.txt").write_text("and the folder's own")
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
        archive.writestr("image.png", b"\x89PNG\0\0\xff")
    assert read(tmp_path, notes=notes) == "and the folder's owntop first second "  # a zip without text is no obstacle
    assert "2 of 6 files are not text" in notes[1]


def test_several_files_in_the_given_order(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / name).write_text(name)
    assert read(tmp_path / "b", tmp_path / "a") == "ba"


def test_folders_and_globs(tmp_path: Path) -> None:
    (tmp_path / "sub/.hidden").mkdir(parents=True)
    (tmp_path / "b.txt").write_text("2")
    (tmp_path / "sub/c.txt").write_text("3")
    (tmp_path / "a.md").write_text("1")
    (tmp_path / ".secret").write_text("no")
    (tmp_path / "sub/.hidden/x.txt").write_text("no")
    (tmp_path / "sub/loop").symlink_to(tmp_path)
    (tmp_path / "data.bin").write_bytes(b"\0\xff")
    notes: list[str] = []
    assert read(tmp_path, notes=notes) == "123"
    assert "not text" in notes[0]
    assert read(tmp_path / "*.txt") == "2"
    assert read(tmp_path / "**/*.txt") == "23"  # once, though the loop shows them again and again
    assert read(tmp_path / "s*") == "3"  # a folder that matches
    assert read(tmp_path / "**") == "123"
    with pytest.raises(UserError, match="no file matches"):
        read(tmp_path / "*.csv")


def test_stdin_and_pipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", type("Stdin", (), {"buffer": io.BytesIO(NASTY.encode())}))
    assert read("-", encoding="utf-8") == NASTY
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_text, args=("through a pipe",))
    writer.start()
    assert read(tmp_path / "pipe") == "through a pipe"
    writer.join()


def test_a_byte_order_mark_is_dropped_with_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for chunk in (1, 2**20):
        monkeypatch.setattr(source, "CHUNK", chunk)
        notes: list[str] = []
        (tmp_path / "t").write_bytes(b"\xef\xbb\xbfhello\xef\xbb\xbf")
        assert read(tmp_path / "t", notes=notes) == "hello\ufeff"  # only the first one is a mark
        assert len(notes) == 1
        assert "byte order mark" in notes[0]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=st.text("aé€😀", max_size=12),
    chunk=st.integers(1, 9),
    mark=st.booleans(),
    tail=st.sampled_from([b"", b"z", b"zzzz"]),
)
def test_the_offset_of_a_wrong_byte_is_exact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, chunk: int, mark: bool, tail: bytes
) -> None:
    monkeypatch.setattr(source, "CHUNK", chunk)
    good = (b"\xef\xbb\xbf" if mark else b"") + before.encode()
    for wrong in (b"\xff", b"\xe2\x82"):  # no character's first byte; a character that never ends
        (tmp_path / "t").write_bytes(good + wrong + tail)
        with pytest.raises(UserError, match=rf"byte offset {len(good)}\..*--encoding.*--vocab byte"):
            read(tmp_path / "t")


def test_encodings(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes("grüße".encode("latin-1"))
    assert read(tmp_path / "t", encoding="latin-1") == "grüße"
    (tmp_path / "t").write_bytes("grüße".encode("utf-16"))
    assert read(tmp_path / "t", encoding="utf-16") == "grüße"
    (tmp_path / "t").write_bytes("grüße".encode("utf-8-sig"))
    assert read(tmp_path / "t", encoding="utf-8-sig") == "grüße"
    for wrong, words in {
        "utf-9": "did you mean 'utf-8'",
        **dict.fromkeys(["rot13", "zip", "idna", "a\0b"], "is not known"),
    }.items():
        with pytest.raises(UserError, match=words):
            read(tmp_path / "t", encoding=wrong)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32-be", "shift_jis", "gb18030", "euc-kr"])
def test_encodings_of_several_bytes_whatever_the_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    text = "ab、日本 c"
    good = text.encode(encoding) if encoding != "euc-kr" else (text := "ab 한국").encode(encoding)
    for chunk in range(1, 6):
        monkeypatch.setattr(source, "CHUNK", chunk)
        (tmp_path / "t").write_bytes(good)
        assert read(tmp_path / "t", encoding=encoding) == text
        (tmp_path / "t").write_bytes(good + b"\xff")  # a character that the end cuts, or that there is none of
        with pytest.raises(UserError, match=rf"not {encoding.replace('-', '.')}.* text at byte offset {len(good)}\."):
            read(tmp_path / "t", encoding=encoding)


def test_bytes_are_taken_as_they_are(tmp_path: Path) -> None:
    data = bytes(range(256)) + b"\xef\xbb\xbf"
    (tmp_path / "t").write_bytes(data)
    opened = open_corpus(DataConfig(input_file=(str(tmp_path / "t"),), vocab="byte"), print)
    assert b"".join(points.tobytes() for points in opened.sources[0].code_points()) == data


def test_what_cannot_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "poems.txt").write_text("x")
    (tmp_path / "none").mkdir()
    (tmp_path / "bad.zip").write_bytes(b"PK nothing")
    (tmp_path / "bad.zst").write_bytes(b"nothing at all")
    for name, words in {
        "poem.txt": "did you mean .*poems.txt",
        "else.txt": "check the name",
        "far/away/x.txt": "no folder",
        "none": "no text in it",
        "bad.zip": "damaged",
        "bad.zst": "damaged",
        "poems.txt/inner": "is a file, not a folder",
        "x" * 300: "too long",
    }.items():
        with pytest.raises(UserError, match=words):
            read(tmp_path / name)

    with pytest.raises(UserError, match="has an empty name"):
        read("")

    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", forbidden)
    with pytest.raises(UserError, match=r"poems.txt.*Permission denied"):
        read(tmp_path / "poems.txt")


def test_binary_data_is_called_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(b"abc\xff\0\0")
    with pytest.raises(UserError, match=r"looks like binary data.*--vocab byte.*--encoding"):
        read(tmp_path / "t")
    with pytest.raises(UserError, match=r"byte offset 3\. It looks like binary data"):
        read(tmp_path / "t", encoding="utf-8")


def test_a_closed_stdin_has_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(UserError, match="stdin is closed"):
        Finder(False, None, lambda text: None).find("-")
