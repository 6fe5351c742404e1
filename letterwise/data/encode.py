"""Encode: a corpus as ids, a few MiB at a time: the text may be larger than memory.

    sources ──code points──▶ vocabulary ──code points──▶ ids ──▶ ids.bin, and where its parts end

A `TextRequest` is all that decides which ids they are, so their fingerprint is a function of it. Where lines are examples
(`lines`), they are shuffled and dealt to the parts, and ids begin with a line break.
"""

import hashlib
import itertools
import json
import math
import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from letterwise.config import DataConfig
from letterwise.data.cache import VERSION, Meaning
from letterwise.data.line_ends import LINE_BREAK, warn_about_lines
from letterwise.data.lines import Lines, LineSource, find_lines, shuffled
from letterwise.data.reading.corpus import Corpus
from letterwise.data.reading.source import Source
from letterwise.data.vocabulary import ABSENT, CODE_POINTS, Tally, Unknown, Vocabulary, from_code_points, unknown_characters
from letterwise.errors import UserError
from letterwise.progress import Note
from letterwise.text_encoding import canonical_encoding


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

    def fingerprint(self, max_bytes: float = math.inf) -> str:
        """sha256 over the content and every setting that changes ids or split. Raises `UserError` for more bytes than that."""
        config, corpus = self.config, self.corpus
        digests = list[str]()
        for source in self.sources:
            digest, size = source.digest(max_bytes)
            digests, max_bytes = [*digests, digest], max_bytes - size
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
    seen = np.zeros(CODE_POINTS, bool)
    for source in sources:
        for points in source.code_points():
            seen[points] = True
    return Vocabulary("char", "".join(map(chr, seen.nonzero()[0])))


def write_ids(request: TextRequest, vocabulary: Vocabulary, folder: Path, note: Note) -> tuple[int, Meaning]:
    """Write ids.bin into a folder; crc32 and meaning of the ids. Raises `UserError` on what cannot be encoded, or is empty."""
    tally = Tally()
    texts = (_text_ids(request, vocabulary, val, tally, note) for val in (False, True))
    crc32, ends = 0, list[int]()
    with (folder / "ids.bin").open("wb") as file:
        for part in _dealt_lines(request, texts, vocabulary, folder, note) if request.shuffled else texts:
            for ids in part:
                crc32 = zlib.crc32(ids.data, crc32)
                file.write(ids.data)
            ends.append(file.tell() // vocabulary.stored_dtype(request.oov).itemsize)
        file.flush()
        os.fsync(file.fileno())
    bounds = tuple(ends) if request.shuffled else request.bounds(ends[0], ends[1] - ends[0])
    return crc32, Meaning(vocabulary, bounds, request.corpus.names, request.shuffled, request.oov, tally)


def _text_ids(request: TextRequest, vocabulary: Vocabulary, val: bool, tally: Tally, note: Note) -> Iterator[np.ndarray]:
    """The ids of the text, or of what it is validated on. Raises `UserError`, at their end, when there were none."""
    sources = request.corpus.val_sources if val else request.corpus.sources
    empty, before = bool(sources), tally.read
    for source in sources:
        for ids in _source_ids(source, vocabulary, request.unknown, tally, note):
            empty &= not len(ids)
            yield ids
    if empty:
        names = request.config.val_file if val else request.corpus.names
        lacks = "is empty" if tally.read == before else "has no character that the model knows"
        raise UserError(f"{', '.join(names)} {lacks}: there is nothing to learn or to score.")


def _source_ids(source: Source, vocabulary: Vocabulary, unknown: Unknown, tally: Tally, note: Note) -> Iterator[np.ndarray]:
    """A source's ids, a chunk at a time."""
    chunks = source.code_points(note)
    if not isinstance(source, LineSource):  # which warns before \r\n becomes \n
        chunks = warn_about_lines(chunks, source.name, note, max_length=math.inf)
    line = 1
    for points in chunks:
        tally.read += len(points)
        if vocabulary.kind == "byte":
            yield points
            continue
        ids = vocabulary.table[points]
        known = ids != ABSENT
        if not known.all():
            if unknown == "error":
                line += int((points[: known.argmin()] == LINE_BREAK).sum())
                raise unknown_characters(from_code_points(points[~known].astype(np.uint32)), line, source.name)
            ids = vocabulary.with_oov(points, ids, known) if unknown == "score" else ids[known]
            tally.skipped += len(points) - len(ids)
        line += int((points == LINE_BREAK).sum())
        yield ids.astype(vocabulary.stored_dtype(unknown == "score"))


def _dealt_lines(
    request: TextRequest, texts: Iterable[Iterator[np.ndarray]], vocabulary: Vocabulary, folder: Path, note: Note
) -> Iterator[Iterator[np.ndarray]]:
    """The lines of training, validation and test part; before all of them, a line break."""
    text, val_text = (_lines_of(chunks, vocabulary, folder / f"text-{i}.bin") for i, chunks in enumerate(texts))
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
    for name in folder.glob("text-*.bin"):
        name.unlink()


def _lines_of(chunks: Iterator[np.ndarray], vocabulary: Vocabulary, path: Path) -> Lines:
    """The lines of a text, whose ids are put into a file meanwhile."""
    with path.open("wb") as file:
        for ids in chunks:
            file.write(ids.data)
    empty = not path.stat().st_size
    ids = np.zeros(0, vocabulary.dtype) if empty else np.memmap(path, vocabulary.dtype, mode="r")
    return find_lines(ids, vocabulary)
