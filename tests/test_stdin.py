"""Stdin: all of it is read, also where a read finds nothing yet; and what cannot be read has a sentence."""

import io
import os
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from letterwise import stdin
from letterwise.config import DataConfig
from letterwise.data.reading.corpus import open_corpus
from letterwise.errors import UserError

PIECES = [b"The cat\n", b"sat on ", b"the mat.\n"] * 3


@contextmanager
def hesitant(pieces: list[bytes], monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """A stdin that does not wait, and whose writer hesitates before each piece."""
    reads, writes = os.pipe()
    os.set_blocking(reads, False)
    monkeypatch.setattr(sys, "stdin", open(reads, closefd=False))  # noqa: SIM115

    def write() -> None:
        for piece in pieces:
            time.sleep(0.02)
            os.write(writes, piece)
        os.close(writes)

    writer = threading.Thread(target=write)
    writer.start()
    yield
    writer.join()
    os.close(reads)


def test_a_pipe_that_does_not_wait_is_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    with hesitant(PIECES, monkeypatch):
        assert stdin.opened().read() == b"".join(PIECES)


def test_pieces_arrive_as_they_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    with hesitant(PIECES, monkeypatch):
        arrived = list(stdin.arriving())
    assert b"".join(arrived) == b"".join(PIECES)
    assert len(arrived) > 1


def test_a_corpus_takes_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with hesitant(PIECES, monkeypatch):
        [source] = open_corpus(DataConfig(input_file=("-",)), print).sources
    assert b"".join(source.chunks()) == b"".join(PIECES)


def test_what_cannot_be_read_has_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for handle in (os.open(tmp_path, os.O_RDONLY), os.open(os.devnull, os.O_WRONLY)):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(fileno=lambda handle=handle: handle))
        with pytest.raises(UserError, match="cannot read stdin: "):
            stdin.opened().read()
        os.close(handle)
    for closed in (None, open(os.devnull)):  # noqa: SIM115
        if closed:
            closed.close()
        monkeypatch.setattr(sys, "stdin", closed)
        with pytest.raises(UserError, match="stdin is closed"):
            stdin.opened()


def test_a_stdin_that_is_no_file_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"The cat")))
    assert stdin.opened().read() == b"The cat"
