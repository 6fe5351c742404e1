"""How bytes spell characters: marks, statistics, contradictions; what is binary is never taken for text."""

import codecs
import marshal
import os
import random
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterwise.errors import UserError
from letterwise.text_encoding import (
    MARKS,
    SNIFFED,
    WIDE,
    StreamDecoder,
    decided,
    decoded,
    guessed,
    kind_of,
    looks_binary,
    read_text_file,
)

TEXTS = [
    "It was a dark and stormy night; the rain fell in torrents.\n",
    "Вечер был тихий, и над рекой стоял туман.\n",
    "天地玄黄，宇宙洪荒。日月盈昃，辰宿列张。\n寒来暑往，秋收冬藏。\n",
    "いろはにほへと ちりぬるを わかよたれそ つねならむ\n",
    "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता\n",
    "كل الناس يولدون أحراراً ومتساوين في الكرامة والحقوق.\n",
    "Ελληνικά και ολίγον τι\n",
    "한국어 문장입니다. 두 번째 문장.\n",
    "emoji 😀😀 and 𝔘nicode beyond the first plane\n",
]


@pytest.mark.parametrize("text", TEXTS)
def test_wide_units_are_known_by_their_marks_and_without(text: str) -> None:
    for times in (1, 40):
        for encoding in WIDE:
            content = (text * times).encode(encoding)
            assert guessed(content) == encoding
            assert decided("t", content, None).encoding == encoding
            assert decoded(content, "t", "--a") == text * times
            family = encoding.rpartition("-")[0]
            assert decoded(content, "t", "--a", family) == text * times
            mark = next(mark for mark, name in MARKS.items() if name == encoding)
            assert decoded(mark + content, "t", "--a") == decoded(mark + content, "t", "--a", family) == text * times
            assert decoded(mark + content, "t", "--a", encoding) == text * times
            whole = decoded((text * times).encode(), "t", "--a")
            assert whole == decoded(codecs.BOM_UTF8 + (text * times).encode(), "t", "--a") == text * times


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "koi8-r", "shift_jis", "gb18030", "utf-8", "ascii", "big5"])
def test_one_byte_units_are_never_taken_for_wide_ones(encoding: str) -> None:
    for text in [*TEXTS, "Bush hid the facts", "grüße, ça va déjà? " * 9]:
        content = text.encode(encoding, "ignore")
        assert guessed(content) is None
        with_nul = content * 50 + b"\0"  # one stray NUL makes no wide text of it
        assert guessed(with_nul) is None
        assert looks_binary(with_nul, decided("t", with_nul, None))


def binaries() -> dict[str, bytes]:
    """Beginnings of files that are no text."""
    draw = np.random.default_rng(0)
    wave = (np.sin(np.arange(30_000) / 20) * 9000).astype("<i2")
    return {
        "python": Path(os.path.realpath(sys.executable)).read_bytes()[:SNIFFED],
        "compiled": marshal.dumps(compile(Path(codecs.__file__).read_text(), "x", "exec"))[:SNIFFED],
        "random": draw.bytes(SNIFFED),
        "sound": wave.tobytes(),
        "characters as uint16": draw.integers(0, 65, 30_000).astype("<u2").tobytes(),
        "GPT-2 tokens as uint16": (50257 * draw.random(30_000) ** 3).astype("<u2").tobytes(),
        "float32": draw.standard_normal(16_000).astype("<f4").tobytes(),
        "int32": draw.integers(0, 1000, 16_000).astype("<i4").tobytes(),
        "zeros": bytes(SNIFFED),
        "png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + draw.bytes(3000),
    }


@pytest.mark.parametrize("name", binaries())
def test_binary_data_is_no_text(name: str) -> None:
    start = binaries()[name]
    assert guessed(start) is None
    assert looks_binary(start, decided("t", start, None))


@given(st.binary(max_size=40), st.sampled_from([None, "utf-8", "utf-16", "utf-32", "utf-7", "utf-16-be", "latin-1", "cp932"]))
def test_any_bytes_are_text_or_a_sentence(content: bytes, asked: str | None) -> None:
    try:
        told = decoded(content, "t", "--a", asked)
    except UserError as error:
        told = str(error)
    assert told == told.encode().decode()  # no half of a character, which has no bytes


def test_what_contradicts_itself_is_refused() -> None:
    for content, asked, words in [
        (codecs.BOM_UTF16_LE + b"a\0", "utf-16-be", "byte order mark of utf-16-le"),
        (codecs.BOM_UTF16_LE + b"a\0", "utf-8", "byte order mark of utf-16-le"),
        (b"plain", "utf-16", "no byte order mark of utf-16: say --encoding utf-16-le or --encoding utf-16-be"),
        (b"", "utf-16", "no byte order mark"),
        (b"+2AA-", "utf-7", "half of a character"),
        (b"x", "utf-9", "did you mean 'utf-8'"),
        (b"x\xff", None, "byte offset 1"),
        (codecs.BOM_UTF8 + b"x\xff", None, "byte offset 4"),
    ]:
        with pytest.raises(UserError, match=words):
            decoded(content, "t", "--a", asked)
    assert "is read as" in decided("t", codecs.BOM_UTF8 + b"x", "latin-1").remark


def test_small_files(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(codecs.BOM_UTF16_LE + "n = 1\n".encode("utf-16-le"))
    assert read_text_file(tmp_path / "a.toml", "--config") == "n = 1\n"
    for name in (tmp_path / "none", tmp_path, tmp_path / ("x" * 300), "a\0b", tmp_path / "a.toml/b"):
        with pytest.raises(UserError, match=r"^--config: cannot read "):
            read_text_file(name, "--config")
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(2**27)
    with pytest.raises(UserError, match="larger than 64 MiB"):
        read_text_file(tmp_path / "huge", "--config")


@pytest.mark.parametrize("encoding", [None, *WIDE, "utf-16", "latin-1", "utf-8"])
def test_a_stream_in_pieces_reads_like_the_whole(encoding: str | None) -> None:
    text = "one\r\ntwo é\n" * 3
    content = text.encode(encoding or "utf-8")
    marks = [mark for mark, name in MARKS.items() if name == (encoding or "utf-8")] if encoding != "utf-16" else []
    for mark in [b"", *marks]:
        for seed in range(20):
            draw, decoder, read, rest = random.Random(seed), StreamDecoder(None if mark else encoding), "", mark + content
            while rest:
                cut = draw.randint(1, 9)
                read, rest = read + decoder.feed(rest[:cut]), rest[cut:]
            assert read + decoder.feed(b"", final=True) == text
    assert StreamDecoder(None).feed(b"a\xffb\n") == "a\ufffdb\n"  # what is no text is replaced: a stream goes on
    assert StreamDecoder("utf-7").feed(b"+2AA-\n", final=True) == "\ufffd\n"


def test_well_known_files_are_named() -> None:
    assert "gzip" in kind_of(b"\x1f\x8b\x08")
    assert "tar" in kind_of(bytes(257) + b"ustar")
    assert kind_of(b"nothing known") == ""
