"""Encode: a corpus as ids, a chunk at a time: the text may be larger than memory.

    sources ──code points──▶ vocabulary ──code points──▶ ids ──▶ ids.bin, and where its parts end
                                                          └──▶ begun.json, of a large text: who is killed goes on from there

A `TextRequest` is all that decides which ids they are, so their fingerprint is a function of it. Where lines are examples
(`lines`), they are shuffled and dealt to the parts, and ids begin with a line break.
"""

import collections
import hashlib
import itertools
import json
import math
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from letterwise.atomic import write_bytes
from letterwise.config import DataConfig
from letterwise.data.cache import VERSION, Meaning
from letterwise.data.line_ends import LINE_BREAK, RETURN, note_returns
from letterwise.data.lines import Lines, LineSource, find_lines, shuffled
from letterwise.data.passes import Hashed, Seen, Worker
from letterwise.data.reading.corpus import Corpus
from letterwise.data.reading.source import Source
from letterwise.data.reading.unchanged import LARGE, MANY
from letterwise.data.vocabulary import (
    Tally,
    Unknown,
    Vocabulary,
    from_code_points,
    unknown_characters,
)
from letterwise.errors import UserError
from letterwise.progress import Note
from letterwise.text_encoding import canonical_encoding

BEGUN = "begun.json"  # beside ids that are being written
TEXTS = ("text-0.bin", "text-1.bin")  # and, of lines that are dealt after that, the ids of text and validation text meanwhile
SAVED_EVERY = 2**28  # bytes of ids that a kill costs at most

Digests = list[tuple[str, int]]  # of each source: sha256, and how many bytes


@dataclass(frozen=True)
class TextRequest:
    """A text, and how it becomes ids: in the `given` vocabulary or in one of its own, which may begin from that of a `base`.

    `in_order`, its lines stay in place.
    """

    config: DataConfig
    corpus: Corpus
    given: Vocabulary | None = None
    unknown: Unknown = "error"
    in_order: bool = False
    base: Vocabulary | None = None

    @property
    def sources(self) -> list[Source]:
        """All that is read: the text, and what it is validated on."""
        return [*self.corpus.sources, *self.corpus.val_sources]

    @property
    def shuffled(self) -> bool:
        """Whether lines are dealt to the parts."""
        return self.config.lines and not self.in_order

    @property
    def oov(self) -> bool:
        """Whether characters that the vocabulary lacks have ids, too: V + their code point."""
        return self.unknown == "score"

    def digests(self, max_bytes: float = math.inf) -> Digests:
        """Of all that is read. Raises `UserError` for more bytes than that."""
        digests = Digests()
        for source in self.sources:
            digests.append(source.digest(max_bytes))
            max_bytes -= digests[-1][1]
        return digests

    def read_through(self) -> tuple[Digests, Vocabulary | None]:
        """Digests of all that is read, and of a large text that has to be read for these, its vocabulary: in one pass."""
        new = [source for source in self.sources if not source.known and source.file]
        large = len(new) >= MANY or sum(os.path.getsize(source.file or "") for source in new) >= LARGE
        if self.given or self.config.vocab == "byte" or not large:
            return self.digests(), None
        digests, seen = Digests(), Seen()
        with Worker() as worker:
            for source in self.sources:
                read = Hashed(source.pieces, worker)
                for points in replace(source, pieces=read.pieces).code_points():
                    seen.add(points)
                digests.append(read.digest())
        found = seen.vocabulary()
        return digests, found.extended(self.base) if self.base else found

    def fingerprint(self, of_sources: Digests) -> str:
        """sha256 over the content and every setting that changes ids or split."""
        config, corpus = self.config, self.corpus
        digests = [digest for digest, _ in of_sources]
        facts: dict[str, Any] = {
            "version": VERSION,
            "content": digests[: len(corpus.sources)],
            "val_content": digests[len(corpus.sources) :],
            "vocab": config.vocab,
            "encoding": canonical_encoding(config.encoding or "utf-8") if config.vocab == "char" else None,
            "val_fraction": config.val_fraction,
            "percent": corpus.percent,
            "vocabulary": self.given.to_json() if self.given else None,
            "unknown": self.unknown,
        }
        if self.unknown == "skip":
            facts["skipped"] = "counted"
        if self.base:
            facts["base_vocabulary"] = self.base.to_json()
        if config.test_fraction:
            facts["test_fraction"] = config.test_fraction
        encodings = [source.encoding for source in self.sources]
        if config.vocab == "char" and config.encoding is None and set(encodings) != {"utf-8"}:
            facts["encoding"] = encodings  # as their first bytes say
        if config.lines:
            facts["lines"] = "in order" if self.in_order else "shuffled"
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def vocabulary(self) -> Vocabulary:
        """The one that is given, or all unique characters of the text, and of the base's vocabulary."""
        found = self.given or find_vocabulary(self.config.vocab, self.sources)
        return found.extended(self.base) if self.base else found

    def shares(self) -> tuple[float, float, float]:
        """How much of the text training, validation and test part get."""
        if self.corpus.val_sources:
            return 1.0, 0.0, 0.0
        if self.corpus.percent:
            train, val, test = self.corpus.percent
            return train / 100, val / 100, test / 100
        val, test = self.config.val_fraction, self.config.test_fraction
        return 1 - val - test, val, test

    def bounds(self, length: int, val_length: int) -> tuple[int, int, int]:
        """Where training, validation and test part end; both lengths, of text and validation text, in characters."""
        if self.corpus.val_sources:
            return length, length + val_length, length + val_length
        if self.corpus.percent:
            train, val, _ = self.corpus.percent
            return length * train // 100, length * (train + val) // 100, length
        held_out = self.config.val_fraction + self.config.test_fraction
        return int(length * (1 - held_out)), int(length * (1 - self.config.test_fraction)), length


def find_vocabulary(kind: Literal["char", "byte"], sources: list[Source]) -> Vocabulary:
    """The unique characters of the sources, in code-point order; or every byte."""
    if kind == "byte":
        return Vocabulary("byte")
    seen = Seen()
    for source in sources:
        for points in source.code_points():
            seen.add(points)
    return seen.vocabulary()


@dataclass
class Reading:
    """How far a text is read: up to byte `skip` of a source, and its line; and what was written by then.

    `ids` counts those of the text, and of what it is validated on. Of the source, `returns` are carriage returns.
    """

    vocabulary: Vocabulary
    source: int = 0
    skip: int | None = 0
    line: int = 1
    returns: int = 0
    ids: list[int] = field(default_factory=lambda: [0, 0])
    crc32: int = 0
    tally: Tally = field(default_factory=Tally)

    def save(self, folder: Path) -> None:
        """Keep it beside the ids, which are on the disk."""
        facts = {**asdict(self), "vocabulary": self.vocabulary.to_json()}
        write_bytes(folder / BEGUN, json.dumps(facts).encode())


def begun(folder: Path) -> Reading | None:
    """How far the ids in a folder were written by a process that was killed; None where there are none to go on from."""
    try:
        facts: dict[str, Any] = json.loads((folder / BEGUN).read_bytes())
        vocabulary, tally = Vocabulary.from_json(facts.pop("vocabulary")), Tally(**facts.pop("tally"))
        return Reading(vocabulary, tally=tally, **facts)
    except (OSError, ValueError, KeyError, TypeError, UserError):
        return None


def write_ids(request: TextRequest, reading: Reading, digests: Digests, folder: Path, note: Note) -> tuple[int, Meaning]:
    """Write ids.bin into a folder, from where `reading` is on; crc32 and meaning of the ids.

    Raises `UserError` on what cannot be encoded, is empty, or has no longer these `digests`.
    """
    vocabulary, ends = reading.vocabulary, list[int]()
    size, large = vocabulary.stored_dtype(request.oov).itemsize, sum(size for _, size in digests) >= SAVED_EVERY
    save = partial(reading.save, folder) if large else None
    with Worker() as worker:
        texts = [_text_ids(request, reading, digests, val, worker, note) for val in (False, True)]
        if request.shuffled:
            for chunks, ids, name in zip(texts, reading.ids, TEXTS, strict=True):
                _put(chunks, folder / name, ids * size, reading, worker, save)
            reading.crc32 = 0
            dealt = _dealt_lines(request, vocabulary, folder, note)
            _put(_joined(dealt, ends), folder / "ids.bin", 0, reading, worker, None)
        else:
            _put(itertools.chain(*texts), folder / "ids.bin", sum(reading.ids) * size, reading, worker, save)
    for name in (BEGUN, *TEXTS):  # in this order: who is killed in between begins anew
        (folder / name).unlink(missing_ok=True)
    bounds = (ends[0], ends[1], ends[2]) if request.shuffled else request.bounds(*reading.ids)
    return reading.crc32, Meaning(vocabulary, bounds, request.corpus.names, request.shuffled, request.oov, reading.tally)


def _put(
    chunks: Iterable[np.ndarray], path: Path, begin: int, reading: Reading, worker: Worker, save: Callable[[], None] | None
) -> None:
    """Write ids to a file, behind its first `begin` bytes, and `save` now and then how far they are read."""
    with path.open("r+b" if begin else "wb") as file:
        saved = written = file.truncate(file.seek(begin))

        def write(ids: np.ndarray) -> None:
            reading.crc32 = zlib.crc32(ids.data, reading.crc32)
            file.write(ids.data)

        for ids in chunks:
            worker.do(write, ids)
            written += ids.nbytes
            if save and reading.skip and written >= saved + SAVED_EVERY:
                worker.wait()
                _to_disk(file)
                save()
                saved = written
        worker.wait()
        _to_disk(file)


def _joined(parts: Iterable[Iterator[np.ndarray]], ends: list[int]) -> Iterator[np.ndarray]:
    """All of some parts, one after another; where each of them ends is put into `ends`."""
    end = 0
    for part in parts:
        for ids in part:
            end += len(ids)
            yield ids
        ends.append(end)


def _to_disk(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _text_ids(
    request: TextRequest, reading: Reading, digests: Digests, val: bool, worker: Worker, note: Note
) -> Iterator[np.ndarray]:
    """The ids of the text, or of what it is validated on, from where `reading` is on.

    Raises `UserError`, at their end, when there were none, or the text has changed.
    """
    corpus = request.corpus
    before = reading.tally.read
    for i, source in enumerate(corpus.val_sources if val else corpus.sources, val * len(corpus.sources)):
        read = Hashed(source.pieces, worker)
        source = replace(source, pieces=read.pieces)
        if i < reading.source:
            collections.deque(source.chunks(), maxlen=0)
        else:
            if i > reading.source:
                reading.source, reading.skip, reading.line, reading.returns = i, 0, 1, 0
            for ids in _source_ids(source, reading, request.unknown, note):
                reading.ids[val] += len(ids)
                yield ids
        if read.digest() != digests[i]:
            raise UserError(f"{', '.join(corpus.names)} changed while it was read: wait until it is written, and try again.")
    if (corpus.val_sources if val else corpus.sources) and not reading.ids[val]:
        names = request.config.val_file if val else corpus.names
        lacks = "is empty" if reading.tally.read == before else "has no character that the model knows"
        raise UserError(f"{', '.join(names)} {lacks}: there is nothing to learn or to score.")


def _source_ids(source: Source, reading: Reading, unknown: Unknown, note: Note) -> Iterator[np.ndarray]:
    """A source's ids, a chunk at a time, from where `reading` is on."""
    vocabulary, tally = reading.vocabulary, reading.tally
    partly = reading.skip and isinstance(source, LineSource)  # what is said of lines is said of a whole text
    said = (lambda text: None) if partly else note
    for points, skip in replace(source, skip=reading.skip or source.skip).decoded(said):
        tally.read += len(points)
        reading.skip, reading.returns = skip, reading.returns + int(np.count_nonzero(points == RETURN))
        ids = points
        if vocabulary.kind == "char":
            ids = vocabulary.ids_of(points)
            if int(ids.max(initial=0)) == len(vocabulary):
                known = ids < len(vocabulary)
                if unknown == "error":
                    line = reading.line + int(np.count_nonzero(points[: known.argmin()] == LINE_BREAK))
                    raise unknown_characters(from_code_points(points[~known].astype(np.uint32)), line, source.name)
                ids = vocabulary.with_oov(points, ids, known) if unknown == "score" else ids[known]
                tally.skipped += len(points) - len(ids)
            ids = ids.astype(vocabulary.stored_dtype(unknown == "score"), copy=False)
        reading.line += int(np.count_nonzero(points == LINE_BREAK))
        yield ids
    if not isinstance(source, LineSource):  # which looks before \r\n becomes \n
        note_returns(source.name, reading.line - 1, reading.returns, note)


def _dealt_lines(request: TextRequest, vocabulary: Vocabulary, folder: Path, note: Note) -> Iterator[Iterator[np.ndarray]]:
    """The lines of training, validation and test part; before all of them, a line break."""
    text, val_text = (_lines_of(folder / name, vocabulary) for name in TEXTS)
    train, val, test = shuffled(text.digests, request.shares())
    has_val_text, names = bool(request.corpus.val_sources), ", ".join(request.corpus.names)
    if has_val_text:
        known = np.isin(text.digests[train], val_text.digests)
        if known.any():
            note(f"{known.sum():,} lines of the text are in --val_file, too, and are left out of the training part.")
        train, val = train[~known], np.argsort(val_text.digests, kind="stable")
    if not len(train):
        raise UserError(f"{names} has no line to learn that is not empty, or in --val_file.")
    begin = np.array([vocabulary.line_break], vocabulary.dtype)
    yield itertools.chain([begin], text.taken(train))
    yield (val_text if has_val_text else text).taken(val)
    yield text.taken(test)


def _lines_of(path: Path, vocabulary: Vocabulary) -> Lines:
    """The lines of a text whose ids are in a file."""
    empty = not path.stat().st_size
    return find_lines(np.zeros(0, vocabulary.dtype) if empty else np.memmap(path, vocabulary.dtype, mode="r"), vocabulary)
