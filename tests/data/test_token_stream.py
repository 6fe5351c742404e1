"""Stream: ids are the text's, and a kept entry is used when, and only when, it is whole and meant."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from letterwise.config import DataConfig
from letterwise.data import cache as cached
from letterwise.data import encode
from letterwise.data import prepare as preparing
from letterwise.data.cache import reopen
from letterwise.data.encode import TextRequest
from letterwise.data.prepare import encode_corpus, prepare
from letterwise.data.token_stream import TokenStream
from letterwise.data.vocabulary import Tally, Vocabulary
from letterwise.errors import UserError

ROOT = Path(__file__).parents[2]


def prepared(path: Path, **options) -> TokenStream:
    return prepare(DataConfig(input_file=(str(path),), **options), note=lambda text: None)


@pytest.fixture
def text(tmp_path: Path, cache: Path) -> Path:
    path = tmp_path / "t.txt"
    path.write_text("hello, world! " * 10)
    return path


def encodings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Counts how often ids are written."""
    written: list[str] = []
    original = preparing._encode
    monkeypatch.setattr(preparing, "_encode", lambda *a: (written.append("once"), original(*a))[1])
    return written


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda t: t[0] != "\ufeff"))
def test_ids_spell_the_text(tmp_path: Path, cache: Path, text: str) -> None:
    (tmp_path / "t").write_bytes(text.encode())
    made = prepared(tmp_path / "t", encoding="utf-8")
    assert made.vocabulary.characters == "".join(sorted(set(text)))
    assert made.vocabulary.decode(made.ids) == text
    assert made.ids.dtype == made.vocabulary.dtype
    assert not made.ids.flags.writeable


@pytest.mark.parametrize(("count", "kind"), [(200, "uint8"), (300, "uint16"), (70_000, "uint32")])
def test_the_smallest_type_is_on_disk(tmp_path: Path, cache: Path, count: int, kind: str) -> None:
    characters = "".join(chr(0x10000 + i) for i in range(count))
    (tmp_path / "t").write_text(characters)
    made = prepared(tmp_path / "t")
    assert made.ids.dtype == np.dtype(kind)
    assert (cache / "streams" / made.fingerprint / "ids.bin").stat().st_size == count * made.ids.itemsize
    assert made.vocabulary.decode(made.ids) == characters


def test_bytes(tmp_path: Path, cache: Path) -> None:
    data = bytes(range(255, -1, -1)) * 3
    (tmp_path / "t").write_bytes(data)
    assert prepared(tmp_path / "t", vocab="byte").ids.tobytes() == data


def test_the_split_is_the_texts_end(text: Path) -> None:
    made = prepared(text)
    assert made.bounds == (126, 140, 140)
    assert np.concatenate([made.part("train"), made.part("val")]).tolist() == made.part("all").tolist()
    assert len(made.part("test")) == 0
    assert prepared(text, val_fraction=0.0).bounds == (140, 140, 140)
    with pytest.raises(UserError, match="split 'vall'"):
        made.part("vall")


def test_tiny_shakespeare_would_be_cut_where_nanogpt_cuts_it() -> None:
    corpus = type("Corpus", (), {"val_sources": [], "percent": None})
    assert TextRequest(DataConfig(), corpus).bounds(1_115_394, 0) == (1_003_854, 1_115_394, 1_115_394)


def test_published_splits_are_exact() -> None:
    corpus = type("Corpus", (), {"val_sources": [], "percent": (90, 5, 5)})
    assert TextRequest(DataConfig(), corpus).bounds(100_000_000, 0) == (90_000_000, 95_000_000, 100_000_000)


def test_a_validation_file_has_its_characters_in_the_vocabulary(text: Path, tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_text("zebra")
    made = prepared(text, val_file=(str(tmp_path / "v.txt"),))
    assert made.bounds == (140, 145, 145)
    assert made.vocabulary.decode(made.part("val")) == "zebra"
    assert made.vocabulary.decode(made.part("train")) == "hello, world! " * 10


def test_a_kept_entry_is_used_again(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = encodings(monkeypatch)
    first, second = prepared(text), prepared(text)
    assert written == ["once"]
    assert first.fingerprint == second.fingerprint
    assert reopen(first.fingerprint).ids.tolist() == first.ids.tolist()
    copy = text.with_name("copy.txt")
    shutil.copy(text, copy)
    again = prepared(copy)
    assert again.fingerprint == first.fingerprint  # content, not name or time, is what counts
    assert again.sources == (str(copy),)


def test_content_and_settings_make_another_entry(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {prepared(text).fingerprint}
    for options in ({"val_fraction": 0.2}, {"vocab": "byte"}, {"encoding": "latin-1"}, {"val_file": (str(text),)}):
        seen.add(prepared(text, **options).fingerprint)
    text.write_text("hello, world? " * 10)
    seen.add(prepared(text).fingerprint)
    assert len(seen) == 6


@pytest.mark.parametrize(
    "harm",
    ["flip", "cut", "grow", "no ids", "no meta", "half a meta", "other version", "other bounds", "no facts", "a folder less"],
)
def test_a_damaged_entry_is_never_used(text: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, harm: str) -> None:
    good = prepared(text)
    expected, place = good.ids.tolist(), cache / "streams" / good.fingerprint
    ids, meta = place / "ids.bin", place / "meta.json"
    match harm:
        case "flip":
            ids.write_bytes(bytes([ids.read_bytes()[0] ^ 1]) + ids.read_bytes()[1:])
        case "cut":
            ids.write_bytes(ids.read_bytes()[:-1])
        case "grow":
            ids.write_bytes(ids.read_bytes() + b"\0")
        case "no ids":
            ids.unlink()
        case "no meta":
            meta.unlink()
        case "half a meta":
            meta.write_text(meta.read_text()[:40])
        case "other bounds":
            meta.write_text(meta.read_text().replace('"bounds": [126', '"bounds": [125'))
        case "no facts":
            meta.write_text('"text"')
        case "a folder less":
            shutil.rmtree(place)
        case "other version":
            meta.write_text(json.dumps({**json.loads(meta.read_text()), "version": 0}))
    assert reopen(good.fingerprint) is None
    written = encodings(monkeypatch)
    assert prepared(text).ids.tolist() == expected
    assert written == ["once"]


def test_nothing_half_written_stays(text: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cached, "write_bytes", full)
    with pytest.raises(UserError, match="No space left"):
        prepared(text)
    assert list((cache / "streams").iterdir()) == []


def test_leftovers_of_the_killed_are_cleared_after_a_day(text: Path, cache: Path) -> None:
    old, new = cache / "streams/0123.tmp-a", cache / "streams/0123.tmp-b"
    for place in (old, new):
        place.mkdir(parents=True)
        (place / "ids.bin").write_bytes(b"half")
    os.utime(old, (0, 0))
    made = prepared(text)
    assert {place.name for place in (cache / "streams").iterdir()} == {new.name, made.fingerprint}


def test_a_text_that_changes_while_it_is_read_is_not_kept(text: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = encode.find_vocabulary

    def meanwhile(*arguments) -> Vocabulary:
        text.write_text("hello, " * 30)  # the same characters: only the content can tell
        return original(*arguments)

    monkeypatch.setattr(encode, "find_vocabulary", meanwhile)
    with pytest.raises(UserError, match=r"t.txt changed while it was read"):
        prepared(text)
    assert list((cache / "streams").iterdir()) == []


def test_a_cache_that_cannot_be_written_is_done_without(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LETTERWISE_CACHE", str(tmp_path / "file"))
    notes: list[str] = []
    made = prepare(DataConfig(input_file=(str(text),)), note=notes.append)
    assert len(made.ids) == 140
    assert "cannot be written" in notes[0]


def test_two_builders_at_once_do_no_harm(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "t"
    path.write_text("many characters, " * 100_000)
    build = (
        "import sys; from letterwise.config import DataConfig; from letterwise.data.prepare import prepare\n"
        "print(prepare(DataConfig(input_file=(sys.argv[1],)), note=lambda text: None).ids.sum())"
    )
    builders = [subprocess.Popen([sys.executable, "-c", build, str(path)], cwd=ROOT, stdout=subprocess.PIPE) for _ in range(3)]
    answers = {builder.communicate()[0] for builder in builders}
    assert [builder.returncode for builder in builders] == [0, 0, 0]
    assert len(answers) == 1
    assert len(list((cache / "streams").iterdir())) == 1


def test_an_empty_text_is_refused(tmp_path: Path, cache: Path) -> None:
    for content in (b"", b"\xef\xbb\xbf"):
        (tmp_path / "t").write_bytes(content)
        with pytest.raises(UserError, match="is empty"):
            prepared(tmp_path / "t")


def test_an_empty_validation_file_is_refused(text: Path, tmp_path: Path) -> None:
    (tmp_path / "v.txt").touch()
    with pytest.raises(UserError, match=r"v.txt is empty"):
        prepared(text, val_file=(str(tmp_path / "v.txt"),))


def test_a_text_of_one_character(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "t").write_text("é")
    made = prepared(tmp_path / "t")
    assert made.bounds == (0, 1, 1)
    assert made.vocabulary.decode(made.ids) == "é"


def test_what_there_is_to_say_about_an_encoding_is_said_each_time(tmp_path: Path, cache: Path) -> None:
    """Also where the text is taken from the cache."""
    for content, said in ((b"\xef\xbb\xbfhello", "byte order mark"), ("hello".encode("utf-16-be"), "looks like utf-16-be")):
        (tmp_path / "t").write_bytes(content)
        config = DataConfig(input_file=(str(tmp_path / "t"),))
        for _ in range(2):
            notes: list[str] = []
            made = prepare(config, note=notes.append)
            assert made.vocabulary.decode(made.ids) == "hello"
            assert [said in note for note in notes] == [True]
            encode_corpus(config, made.vocabulary, note=notes.append)
            assert [said in note for note in notes] == [True, True]


def test_a_byte_model_reads_bytes_whatever_the_configuration(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "t").write_bytes("é€".encode() + b"\xff")
    made = encode_corpus(DataConfig(input_file=(str(tmp_path / "t"),)), Vocabulary("byte"), note=print)
    assert made.ids.tobytes() == "é€".encode() + b"\xff"


def test_a_given_vocabulary(text: Path, tmp_path: Path) -> None:
    own = prepared(text).vocabulary
    (tmp_path / "other").write_text("hello öld wörld")
    config = DataConfig(input_file=(str(tmp_path / "other"),))
    with pytest.raises(UserError, match=r"the first in line 1: 'ö'.*--unknown skip"):
        encode_corpus(config, own, note=print)
    skipped = encode_corpus(config, own, unknown="skip", note=print)
    assert own.decode(skipped.ids) == "hello ld wrld"
    again = encode_corpus(config, own, unknown="skip", note=print)  # from the cache
    assert skipped.tally == again.tally == Tally(read=15, skipped=2)
    (tmp_path / "other").write_text("öö")
    with pytest.raises(UserError, match="no character that the model knows"):
        encode_corpus(config, own, unknown="skip", note=print)
    with pytest.raises(UserError, match="there is nothing"):
        encode_corpus(DataConfig(input_file=(str(tmp_path / "other"),)), Vocabulary("char", "q"), unknown="skip", note=print)


def test_data_needs_no_torch(text: Path) -> None:
    probe = (
        "import sys; from letterwise.config import DataConfig; from letterwise.data.prepare import prepare\n"
        "prepare(DataConfig(input_file=(sys.argv[1],)), note=print); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", probe, str(text)], cwd=ROOT, check=True)
