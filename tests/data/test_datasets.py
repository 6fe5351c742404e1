"""Data sets: what is embedded is the same every time; what is downloaded is what it should be, or it is not used."""

import dataclasses
import hashlib
import io
import zipfile
from pathlib import Path

import pooch
import pytest

from letterwise.config import DataConfig
from letterwise.data.prepare import prepare
from letterwise.data.reading import datasets
from letterwise.data.reading.corpus import open_corpus
from letterwise.data.reading.datasets import DATASETS, cache_dir, downloaded, python_docs, unicode_names
from letterwise.errors import UserError

CONTENT = b"anarchism originated as a term of abuse " * 20


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """As if the published checksums were those of CONTENT."""
    for name in ("shakespeare", "text8"):
        told = hashlib.new(DATASETS[name].algorithm, CONTENT).hexdigest()
        monkeypatch.setitem(DATASETS, name, dataclasses.replace(DATASETS[name], checksum=told))


def serving(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    def retrieve(url: str, known_hash: None, path: Path, fname: str) -> str:
        path.mkdir(parents=True, exist_ok=True)
        (path / fname).write_bytes(content)
        return str(path / fname)

    monkeypatch.setattr(pooch, "retrieve", retrieve)


def zipped(content: bytes) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("text8", content)
    return archive.getvalue()


def test_python_docs_is_prose_without_repeats() -> None:
    text = python_docs()
    assert text == python_docs()
    assert len(text) > 300_000
    paragraphs = text.strip("\n").split("\n\n")
    assert len(paragraphs) == len(set(paragraphs))


def test_unicode_names_is_a_name_to_a_line() -> None:
    names = unicode_names().splitlines()
    assert len(names) == len(set(names)) > 30_000
    assert "LATIN SMALL LETTER A" in names
    assert "CJK UNIFIED IDEOGRAPH-4E00" not in names  # only spells the code point 4E00
    assert "SQUARED CJK UNIFIED IDEOGRAPH-624B" in names  # is U+1F210
    assert not any(name.startswith("HANGUL SYLLABLE") for name in names)
    assert names[:50] != sorted(names[:50])


def test_embedded_texts_tell_what_they_are(cache: Path) -> None:
    notes: list[str] = []
    made = prepare(DataConfig(), note=notes.append)
    assert made.sources == ("dataset:python-docs",)
    assert "sha256" in notes[0]
    assert made.vocabulary.decode(made.ids[:1000]) == python_docs()[:1000]


@pytest.mark.usefixtures("known")
def test_a_download_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    serving(monkeypatch, zipped(CONTENT))
    made = prepare(DataConfig(dataset="text8"), note=lambda text: None)
    assert made.bounds == (720, 760, 800)
    monkeypatch.setattr(pooch, "retrieve", lambda *a, **k: pytest.fail("was there already"))
    path = downloaded("text8", print)
    assert path.read_bytes() == CONTENT
    assert sorted(path.parent.iterdir()) == [path]


@pytest.mark.usefixtures("known")
def test_what_was_put_there_by_hand_is_used_if_it_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    path = cache_dir() / "datasets/shakespeare.txt"
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    assert downloaded("shakespeare", print) == path
    path.write_bytes(CONTENT + b"!")
    with pytest.raises(UserError, match=r"shakespeare.txt' is not shakespeare: its sha256 is"):
        downloaded("shakespeare", print)


def test_what_cannot_be_opened_there_is_one_sentence(cache: Path) -> None:
    (cache / "datasets/text8.txt").mkdir(parents=True)
    with pytest.raises(UserError, match=r"cannot read .*text8.txt.*directory"):
        downloaded("text8", print)


DAMAGED = zipped(CONTENT).replace(b"anarchism", b"monarchist", 1)


@pytest.mark.parametrize("content", [CONTENT, zipped(CONTENT + b"?"), DAMAGED, b""])
@pytest.mark.usefixtures("known")
def test_a_wrong_download_is_refused_and_not_kept(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    serving(monkeypatch, content)
    with pytest.raises(UserError, match="text8"):
        downloaded("text8", lambda text: None)
    assert list((cache_dir() / "datasets").iterdir()) == []


@pytest.mark.parametrize("name", ["shakespeare", "text8", "enwik8"])
def test_without_a_network_one_sentence_says_where_to_put_it(monkeypatch: pytest.MonkeyPatch, cache: Path, name: str) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(pooch, "retrieve", no_network)
    with pytest.raises(UserError) as refused:
        open_corpus(DataConfig(dataset=name, vocab="byte"), lambda text: None)
    assert str(cache / "datasets" / f"{name}.txt") in str(refused.value)
    assert DATASETS[name].checksum in str(refused.value)


def test_enwik8_by_characters_gets_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("letterwise.data.reading.corpus.dataset_text", lambda name, note: io.BytesIO)
    notes: list[str] = []
    open_corpus(DataConfig(dataset="enwik8"), notes.append)
    assert "per byte" in notes[0]


def test_the_cache_is_the_users_own_unless_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LETTERWISE_CACHE")
    assert datasets.cache_dir().name == "letterwise"
