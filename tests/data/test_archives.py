"""Archives: read member by member, in order; what is damaged ends in a sentence and never in a shorter text."""

import bz2
import gzip
import io
import lzma
import re
import resource
import tarfile
import zipfile
from pathlib import Path

import pytest
import zstandard

from letterwise.config import DataConfig
from letterwise.data.reading.corpus import open_corpus
from letterwise.data.reading.unpack import unpacked
from letterwise.errors import UserError


def read(*names: object, notes: list[str] | None = None, **options: str) -> str:
    """The text that some inputs name."""
    note = (notes if notes is not None else []).append
    opened = open_corpus(DataConfig(input_file=tuple(map(str, names)), **options), note)
    return "".join("".join(map(chr, points)) for source in opened.sources for points in source.code_points(note))


def tar(members: dict[str, bytes], mode: str = "w", form: int = tarfile.GNU_FORMAT) -> bytes:
    """A tar archive of some files."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=mode, format=form) as archive:  # type: ignore[call-overload]
        for name, held in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(held)
            archive.addfile(info, io.BytesIO(held))
    return content.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [("t.txt", tar({"a.txt": b"first. "})), ("t.gz", gzip.compress(tar({"a.txt": b"first. "}))),
     ("t.XZ", lzma.compress(tar({"a.txt": b"first. "}))), ("t", gzip.compress(b"first. "))],
    ids=["tar", "tar.gz", "tar.xz", "gz"],  # the bytes hold the time: as names they would differ between test processes
)  # fmt: skip
def test_an_archive_whose_name_does_not_say_so_is_read_under_the_one_that_is_advised(
    name: str, content: bytes, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match="give its name the ending") as refused:
        read(tmp_path / name)
    ending = re.search(r"the ending (\.[\w.]+)\. To insist", str(refused.value))
    assert ending
    (tmp_path / f"t{ending[1]}").write_bytes(content)
    assert read(tmp_path / f"t{ending[1]}") == "first. "


def test_what_is_packed_twice_is_unpacked_once(tmp_path: Path) -> None:
    (tmp_path / "t.gz").write_bytes(gzip.compress(gzip.compress(b"first. ")))
    with pytest.raises(UserError, match="gzip data inside: unpack the file once"):
        read(tmp_path / "t.gz")


LONG = "deep/" * 30 + "name.txt"
MEMBERS = {"b.txt": b"second? no: first. ", "a.txt": "ünï ".encode(), LONG: b"long. ", ".x/h": b"no", "i.png": b"\x89PNG\0\xff"}


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize(
    ("name", "pack"),
    [("t.tar", bytes), ("t.tgz", gzip.compress), ("t.tar.bz2", bz2.compress), ("t.TAR.XZ", lzma.compress),
     ("t.tar.zst", zstandard.compress), ("t.tar.gz", gzip.compress)],
)  # fmt: skip
def test_tar_members_in_their_order(tmp_path: Path, name: str, pack, form: int) -> None:
    notes: list[str] = []
    (tmp_path / name).write_bytes(pack(tar(MEMBERS, form=form)))
    assert read(tmp_path / name, notes=notes) == "second? no: first. ünï long. "
    assert "1 of 4 files are not text" in notes[0]
    assert read(tmp_path) == "second? no: first. ünï long. "  # in a folder, too
    again = unpacked(tmp_path / name)
    assert [b"".join(source.chunks()) for source in (again[1], again[0], again[2])] == [
        MEMBERS[n] for n in ("a.txt", "b.txt", LONG)
    ]


def test_only_regular_files_of_a_tar(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "t.tar", "w") as archive:
        for kind in (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo(f"member{kind!r}")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        info = tarfile.TarInfo("t.txt")
        info.size = 4
        archive.addfile(info, io.BytesIO(b"text"))
    assert read(tmp_path / "t.tar") == "text"


def test_a_tar_that_is_cut_or_changed_is_never_shorter(tmp_path: Path) -> None:
    whole, path = tar({f"{i}.txt": b"text %d " % i for i in range(3)}), tmp_path / "t.tar"
    for size in range(0, 3 * 1024 + 512, 256):  # before the block that ends it
        path.write_bytes(whole[:size])
        with pytest.raises(UserError, match=r"damaged|no text"):
            read(path)
    for block in (0, 2, 4):  # a header's checksum: `tarfile` takes the second for the end of the archive
        for place in (0, 100, 130, 150):
            damaged = bytearray(whole)
            damaged[512 * block + place] ^= 1
            path.write_bytes(damaged)
            with pytest.raises(UserError, match="damaged"):
                read(path)
    path.write_bytes(whole + whole)  # `cat a.tar b.tar`: tar itself reads the first
    with pytest.raises(UserError, match="more behind its end"):
        read(path)


@pytest.mark.parametrize(
    ("ending", "pack"),
    [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)],
)
def test_every_flipped_bit_is_harmless_or_seen(tmp_path: Path, ending: str, pack) -> None:
    """All single-bit flips of a file of three streams: the same text, or a sentence."""
    path = tmp_path / f"t{ending}"
    text = [b"to be, or not to be: ", b"that is the question. ", b"Whether"]
    whole = b"".join(map(pack, text))
    refused = 0
    for bit in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        [source] = unpacked(path)
        try:
            held = b"".join(source.chunks())
        except UserError:
            refused += 1
        else:
            assert held == b"".join(text), bit
    assert refused > 4 * len(whole)  # (a gzip header holds bits that say nothing)


def test_zeros_behind_a_stream_are_padding_where_the_format_has_it(tmp_path: Path) -> None:
    for ending, pack, zeros, sound in [
        (".gz", gzip.compress, 5, True), (".xz", lzma.compress, 8, True), (".xz", lzma.compress, 5, False),
        (".bz2", bz2.compress, 4, False), (".gz", gzip.compress, 0, True),
    ]:  # fmt: skip
        path = tmp_path / f"t{ending}"
        for content in (pack(b"one") + bytes(zeros), pack(b"on") + bytes(zeros) + pack(b"e")):
            path.write_bytes(content)
            if sound:
                assert read(path) == "one"
            else:
                with pytest.raises(UserError, match="damaged"):
                    read(path)


def test_many_archives_keep_few_files_open(tmp_path: Path) -> None:
    for i in range(150):
        with zipfile.ZipFile(tmp_path / f"{i:03}.zip", "w") as archive:
            archive.writestr("b.txt", f"{i} ")
            archive.writestr("a.txt", "a")
        (tmp_path / f"{i:03}.tgz").write_bytes(gzip.compress(tar({"c.txt": b"c", "d.txt": b"d"})))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
    try:
        assert read(tmp_path) == "".join(f"cda{i} " for i in range(150))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_stream_that_unpacks_to_much_comes_in_pieces(tmp_path: Path) -> None:
    for ending, pack in ((".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)):
        (tmp_path / f"t{ending}").write_bytes(pack(bytes(20 * 2**20)))
        [source] = unpacked(tmp_path / f"t{ending}")
        sizes = [len(piece) for piece in source.chunks()]
        assert sum(sizes) == 20 * 2**20
        assert max(sizes) <= 4 * 2**20
