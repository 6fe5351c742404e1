"""Data sets: what is embedded is the same every time; what is downloaded is what it should be, or it is not used."""

import dataclasses
import hashlib
import http.server
import io
import socket
import threading
import zipfile
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from letterwise.config import DataConfig
from letterwise.data.prepare import prepare
from letterwise.data.reading import datasets
from letterwise.data.reading.corpus import open_corpus
from letterwise.data.reading.datasets import DATASETS, cache_dir, downloaded, python_docs, unicode_names
from letterwise.errors import UserError

CONTENT = b"anarchism originated as a term of abuse " * 20


Serve = Callable[[bytes], None]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Generator[Serve]:
    """Sets what the addresses of two data sets send: from a server of this process, as if CONTENT had been published."""

    class Handler(http.server.BaseHTTPRequestHandler):
        content = b""

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.content)))
            self.end_headers()
            self.wfile.write(self.content)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    monkeypatch.setenv("NO_PROXY", "*")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        for name in ("shakespeare", "text8"):
            checksum = hashlib.new(DATASETS[name].algorithm, CONTENT).hexdigest()
            url = f"http://127.0.0.1:{server.server_port}/{DATASETS[name].url.rpartition('/')[2]}"
            monkeypatch.setitem(DATASETS, name, dataclasses.replace(DATASETS[name], url=url, checksum=checksum))
        yield lambda content: setattr(Handler, "content", content)
        server.shutdown()


@pytest.fixture
def nobody_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """All addresses are of a port that nobody listens at."""
    monkeypatch.setenv("NO_PROXY", "*")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    for name, dataset in [*DATASETS.items()]:
        if dataset.url:
            monkeypatch.setitem(DATASETS, name, dataclasses.replace(dataset, url=f"http://127.0.0.1:{port}/{name}.zip"))


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


def test_a_download_is_kept(serve: Serve) -> None:
    serve(zipped(CONTENT))
    made = prepare(DataConfig(dataset="text8"), note=lambda text: None)
    assert made.bounds == (720, 760, 800)
    serve(b"was there already")
    path = downloaded("text8", print)
    assert path.read_bytes() == CONTENT
    assert sorted(path.parent.iterdir()) == [path]


def test_a_download_says_how_far_it_is_and_nothing_else(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    """In notes: three pieces of 2^16 bytes, of which the last is not whole."""
    content = b"First Citizen: " * 10_000
    checksum = hashlib.sha256(content).hexdigest()
    monkeypatch.setitem(DATASETS, "shakespeare", dataclasses.replace(DATASETS["shakespeare"], checksum=checksum))
    monkeypatch.setattr(datasets, "NOTE_INTERVAL_S", 0.0)
    serve(content)
    notes: list[str] = []
    assert downloaded("shakespeare", notes.append).read_bytes() == content
    assert notes[0].startswith("shakespeare: downloading http://127.0.0.1:")
    assert notes[1:] == ["shakespeare: 0.1 of 0.1 MB …", "shakespeare: 0.1 of 0.1 MB …", "shakespeare: 0.2 MB …"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("serve")
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
def test_a_wrong_download_is_refused_and_not_kept(serve: Serve, content: bytes) -> None:
    serve(content)
    with pytest.raises(UserError, match="text8"):
        downloaded("text8", lambda text: None)
    assert list((cache_dir() / "datasets").iterdir()) == []


@pytest.mark.parametrize("name", ["shakespeare", "text8", "enwik8"])
@pytest.mark.usefixtures("nobody_serves")
def test_without_a_network_one_sentence_says_where_to_put_it(cache: Path, name: str) -> None:
    with pytest.raises(UserError) as refused:
        open_corpus(DataConfig(dataset=name, vocab="byte"), lambda text: None)
    assert str(cache / "datasets" / f"{name}.txt") in str(refused.value)
    assert DATASETS[name].checksum in str(refused.value)
    assert list((cache / "datasets").iterdir()) == []


def test_enwik8_by_characters_gets_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("letterwise.data.reading.corpus.dataset_text", lambda name, note: io.BytesIO)
    notes: list[str] = []
    open_corpus(DataConfig(dataset="enwik8"), notes.append)
    assert "per byte" in notes[0]


def test_the_cache_is_the_users_own_unless_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LETTERWISE_CACHE")
    assert datasets.cache_dir().name == "letterwise"
