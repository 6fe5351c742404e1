"""Large texts: who is killed while encoding goes on from there, and what nobody has written to is not read again."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from letterwise.config import DataConfig
from letterwise.data import cache as cached
from letterwise.data import encode
from letterwise.data import prepare as preparing
from letterwise.data.lines import LineSource
from letterwise.data.prepare import prepare
from letterwise.data.reading import unchanged
from letterwise.data.reading.source import CHUNK, Source
from letterwise.data.token_stream import TokenStream
from letterwise.data.vocabulary import Vocabulary
from letterwise.errors import UserError

ROOT = Path(__file__).parents[2]
KILLED = """
import os, signal, sys
from letterwise.config import DataConfig
from letterwise.data import encode, prepare
encode.SAVED_EVERY = prepare.SAVED_EVERY = 2**19
save, left = encode.Reading.save, [int(sys.argv[1])]
def saved(*arguments):
    save(*arguments)
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
encode.Reading.save = saved
lines = len(sys.argv) > 4
prepare.prepare(DataConfig(input_file=(sys.argv[2],), val_file=(sys.argv[3],), lines=lines), note=print)
"""


@pytest.fixture
def text(tmp_path: Path, cache: Path) -> tuple[str, str]:
    """Characters of one to four bytes, in several files, which chunks cut anywhere; and what it is validated on."""
    rng = np.random.default_rng(0)
    (tmp_path / "text").mkdir()
    for name, size in (("a", CHUNK), ("b", 6 * CHUNK), ("c", 100)):
        characters = np.array(list("abc\n\ré€🙂"))[rng.integers(0, 8, size // 2)]
        (tmp_path / "text" / name).write_text("".join(characters), newline="")
    (tmp_path / "v").write_text("cab€" * CHUNK)
    return str(tmp_path / "text"), str(tmp_path / "v")


@pytest.mark.parametrize("saves", [1, 2, 3])
def test_who_is_killed_while_encoding_goes_on_from_there(
    text: tuple[str, str], cache: Path, monkeypatch: pytest.MonkeyPatch, saves: int
) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(saves), *text], cwd=ROOT, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    (begun,) = (cache / "streams").glob("*.tmp-begun")
    written = encode.begun(begun)
    assert written
    assert sum(written.ids) >= saves * 2**19
    with (begun / "ids.bin").open("ab") as file:
        file.write(b"what was written after that")
    monkeypatch.setattr(encode, "SAVED_EVERY", 2**19)
    monkeypatch.setattr(preparing, "SAVED_EVERY", 2**19)
    monkeypatch.setattr(encode, "find_vocabulary", None)  # that is known, too
    notes: list[str] = []
    made = prepare(DataConfig(input_file=text[:1], val_file=text[1:]), note=notes.append)
    assert f"the first {sum(written.ids):,} characters were encoded before: this goes on from there." in notes
    content = "".join(path.read_bytes().decode() for path in sorted(Path(text[0]).iterdir()))
    assert made.vocabulary.decode(made.part("train")) == content
    assert made.vocabulary.decode(made.part("val")) == Path(text[1]).read_text()
    assert made.tally.read == len(made.ids)
    assert sorted(path.name for path in made.folder.iterdir()) == ["ids.bin", "meta.json"]
    assert [path.name for path in (cache / "streams").iterdir()] == [made.fingerprint]


@pytest.mark.parametrize("saves", [1, 2])
def test_who_is_killed_while_encoding_lines_goes_on_from_there(
    text: tuple[str, str], cache: Path, monkeypatch: pytest.MonkeyPatch, saves: int
) -> None:
    """And all is as if nothing had happened."""
    killed = subprocess.run([sys.executable, "-c", KILLED, str(saves), *text, "lines"], cwd=ROOT, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    (begun,) = (cache / "streams").glob("*.tmp-begun")
    written = encode.begun(begun)
    assert written
    with (begun / encode.TEXTS[bool(written.ids[1])]).open("ab") as file:
        file.write(b"what was written after that")
    config = DataConfig(input_file=text[:1], val_file=text[1:], lines=True)
    with monkeypatch.context() as patched:
        patched.setattr(encode, "SAVED_EVERY", 2**19)
        patched.setattr(preparing, "SAVED_EVERY", 2**19)
        patched.setattr(encode, "find_vocabulary", None)
        notes: list[str] = []
        made = prepare(config, note=notes.append)
    assert f"the first {sum(written.ids):,} characters were encoded before: this goes on from there." in notes
    assert sorted(path.name for path in made.folder.iterdir()) == ["ids.bin", "meta.json"]
    ids = made.ids.copy()
    shutil.rmtree(made.folder)
    anew = prepare(config, note=notes.append)
    assert (made.bounds, made.vocabulary, made.tally) == (anew.bounds, anew.vocabulary, anew.tally)
    np.testing.assert_array_equal(ids, anew.ids)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_lines_are_those_of_the_bytes_wherever_one_goes_on(size: int) -> None:
    data = "a\r\nbé\r\r\n€\n\n\r\nx".encode() * 3
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    expected = data.decode().replace("\r\n", "\n") + "\n"

    def spelled(skip: int) -> list[tuple[str, int | None]]:
        source = LineSource("x", lambda: iter(pieces), "utf-8", skip=skip)
        return [("".join(map(chr, points)), place) for points, place in source.decoded()]

    read = ""
    for some, place in spelled(0):
        read += some
        if place:
            assert read + "".join(rest for rest, _ in spelled(place)) == expected
    assert read == expected


def test_a_text_that_changes_is_not_gone_on_with(text: tuple[str, str], cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where that is noticed only at the end."""
    subprocess.run([sys.executable, "-c", KILLED, "2", *text], cwd=ROOT, capture_output=True)
    monkeypatch.setattr(encode, "SAVED_EVERY", 2**19)
    monkeypatch.setattr(preparing, "SAVED_EVERY", 2**19)
    write = encode.write_ids
    path = Path(text[0], "b")

    def meanwhile(*arguments):
        path.write_bytes(path.read_bytes().replace(b"a", b"b"))
        return write(*arguments)

    monkeypatch.setattr(preparing, "write_ids", meanwhile)
    with pytest.raises(UserError, match="changed while it was read"):
        prepare(DataConfig(input_file=text[:1], val_file=text[1:]), note=print)
    assert list((cache / "streams").iterdir()) == []


def test_two_do_not_write_to_one_folder(text: tuple[str, str], cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "SAVED_EVERY", 2**19)
    write, folders = encode.write_ids, []

    def writing(request, reading, digests, folder: Path, note):
        folders.append(folder)
        if len(folders) == 1:
            prepared(text)
        return write(request, reading, digests, folder, note)

    monkeypatch.setattr(preparing, "write_ids", writing)
    made = prepared(text)
    assert len(set(folders)) == 2
    assert [path.name for path in (cache / "streams").iterdir()] == [made.fingerprint]


def prepared(text: tuple[str, str]) -> TokenStream:
    return prepare(DataConfig(input_file=text[:1], val_file=text[1:]), note=lambda text: None)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are read to their end, where every text is a large one."""
    for module in (unchanged, cached):
        monkeypatch.setattr(module, "LARGE", 0)
    monkeypatch.setattr(unchanged, "SETTLED_NS", 0)
    names, original = [], Source.digest
    monkeypatch.setattr(
        Source, "digest", lambda s, *a: (names.append(Path(s.name).name) if not s.known else None, original(s, *a))[1]
    )
    return names


def test_what_nobody_has_written_to_is_not_read_again(text: tuple[str, str], read: list[str]) -> None:
    first = prepared(text)
    assert read == ["a", "b", "c", "v"]
    read.clear()
    assert prepared(text).fingerprint == first.fingerprint
    assert read == []
    Path(text[0], "b").write_text("abc")
    changed = prepared(text)
    assert read == ["b"]
    content = "".join(path.read_bytes().decode() for path in sorted(Path(text[0]).iterdir()))
    assert changed.vocabulary.decode(changed.part("train")) == content


def test_a_file_that_was_changed_just_now_is_read_again(
    text: tuple[str, str], read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unchanged, "SETTLED_NS", 10**15)
    prepared(text)
    prepared(text)
    assert read == ["a", "b", "c", "v"] * 2


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"x": 3}'])
def test_what_is_known_of_files_may_be_damaged(text: tuple[str, str], read: list[str], cache: Path, content: bytes) -> None:
    first = prepared(text)
    (kept,) = (cache / "streams").glob("unchanged-*")
    kept.write_bytes(content)
    read.clear()
    assert prepared(text).fingerprint == first.fingerprint
    assert read == ["a", "b", "c", "v"]


def test_the_encoding_of_a_file_that_is_known_is_said_and_used(tmp_path: Path, read: list[str], cache: Path) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f/wide").write_bytes("hello".encode("utf-16"))
    for _ in range(2):
        notes: list[str] = []
        made = prepare(DataConfig(input_file=(str(tmp_path / "f"),)), note=notes.append)
        assert made.vocabulary.decode(made.ids) == "hello"
        assert any("byte order mark" in note for note in notes)
    assert read == ["wide"]


def test_a_large_entry_is_checked_again_when_it_was_written_to(text: tuple[str, str], read: list[str]) -> None:
    made = prepared(text)
    assert cached.reopen(made.fingerprint)
    ids = made.folder / "ids.bin"
    with ids.open("r+b") as file:
        file.write(bytes([made.ids[0] ^ 1]))
    assert cached.reopen(made.fingerprint) is None
    os.utime(ids, ns=(0, 0))
    assert cached.reopen(made.fingerprint) is None


def test_a_checked_entry_is_not_scanned(text: tuple[str, str], read: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    made = prepared(text)
    monkeypatch.setattr(cached, "scanned", None)
    assert cached.reopen(made.fingerprint)


def test_what_was_just_written_is_not_scanned_either(
    text: tuple[str, str], read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unchanged, "SETTLED_NS", 10**15)
    monkeypatch.setattr(cached, "scanned", None)
    assert cached.reopen(prepared(text).fingerprint)


def test_digests_and_characters_of_a_large_text_are_found_in_one_pass(
    text: tuple[str, str], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = prepared(text)
    shutil.rmtree(cache)
    monkeypatch.setattr(encode, "LARGE", 0)
    monkeypatch.setattr(encode, "find_vocabulary", None)
    monkeypatch.setattr(encode.TextRequest, "digests", None)
    large = prepared(text)
    assert (large.fingerprint, large.vocabulary, large.bounds) == (small.fingerprint, small.vocabulary, small.bounds)
    np.testing.assert_array_equal(large.ids, small.ids)


@pytest.mark.parametrize("size", [30, 100, 300])
def test_characters_are_those_that_numpy_finds(size: int) -> None:
    """Whether a chunk is ASCII, nearly so, or not at all."""
    rng = np.random.default_rng(size)
    every = np.unique([*rng.choice([*range(128), *range(200, 60_000, 60)], size), 70_000])
    chunks = [rng.choice(every[: rng.integers(1, len(every) + 1)], 1000) for _ in range(20)]
    chunks += [np.where(rng.random(1000) < 0.05, rng.choice(every, 1000), every[0]) for _ in range(20)]
    chunks = [
        chunk.astype(np.uint8 if chunk.max() < 128 else np.uint16 if chunk.max() < 2**16 else np.uint32) for chunk in chunks
    ]
    assert len({chunk.dtype for chunk in chunks}) == 3
    seen = encode.Seen()
    for chunk in chunks:
        seen.add(chunk)
    vocabulary = seen.vocabulary()
    assert vocabulary.characters == "".join(map(chr, np.unique(np.concatenate(chunks))))
    fewer = Vocabulary("char", vocabulary.characters[::2])
    for chunk in chunks:
        for known in (vocabulary, fewer):
            np.testing.assert_array_equal(known.ids_of(chunk), known.table[chunk])


def test_reading_takes_the_time_of_its_files_not_their_square(tmp_path: Path) -> None:
    """A list that was made anew for each file took minutes for 100,000 of them."""
    sources = [Source(str(i), lambda: iter([b"x"]), known=("0", 1)) for i in range(30_000)]
    corpus = type("Corpus", (), {"sources": sources, "val_sources": []})
    request = encode.TextRequest(DataConfig(), corpus)
    assert len(request.digests()) == 30_000


def test_code_points_are_those_of_the_bytes_wherever_chunks_end() -> None:
    content = "aé€🙂\ud7ff\r\n" * 50
    data = content.encode()
    for size in (1, 2, 3, 7, 100):
        pieces = [data[i : i + size] for i in range(0, len(data), size)]
        source = Source("x", lambda pieces=pieces: iter(pieces), "utf-8")
        read, places = "", list[tuple[int | None, int]]()
        for points, skip in source.decoded():
            read += "".join(map(chr, points))
            places.append((skip, len(read)))
        assert read == content
        for skip, length in places:
            rest = Source("x", lambda pieces=pieces: iter(pieces), "utf-8", skip=skip)
            assert "".join(chr(point) for points in rest.code_points() for point in points) == content[length:]
    assert Vocabulary("char", "a").table.dtype == np.uint8
