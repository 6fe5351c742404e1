"""Encode: a text as memory-mapped ids, made once and kept.

    Corpus ──digest──▶ fingerprint ──kept?──▶ TokenStream(ids, vocabulary, bounds)
       └──code points──▶ vocabulary ──code points──▶ ids.bin ──▲          (only when nothing is kept under that fingerprint)

Nothing here holds the text in memory: it may be larger. A kept entry is complete and checked, or it is not used.

Where lines are examples (`lines`), they are shuffled and dealt to the parts, and ids begin with a line break.
"""

import hashlib
import itertools
import json
import math
import os
import shutil
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from letterwise.atomic import write_bytes
from letterwise.config import DataConfig
from letterwise.data.cache import VERSION, TokenStream, kept_dtype, move, open_kept, place_for, reopen, sealed
from letterwise.data.line_ends import LINE_BREAK, watched
from letterwise.data.lines import Lines, LineSource, find_lines, shuffled
from letterwise.data.reading.corpus import Corpus, open_corpus
from letterwise.data.reading.source import Source
from letterwise.data.vocabulary import ABSENT, CODE_POINTS, Unknown, Vocabulary, from_code_points, unknown_characters
from letterwise.errors import UserError
from letterwise.progress import Note
from letterwise.text_encoding import canonical_encoding

BYTES_PER_CHAR, SLACK_BYTES = 16, 2**24  # what a text may take that a model names: four times what UTF-32 takes, and 16 MiB
MANY_CHARACTERS = 2**15  # Chinese texts have up to ten thousand


def prepare(config: DataConfig, *, note: Note) -> TokenStream:
    """The text that `config` names, with a vocabulary of its own: every character of it, validation part included.

    Raises `UserError` when it cannot be read, or is empty.
    """
    return _stream(config, None, "error", note)


def encode_corpus(
    config: DataConfig, vocabulary: Vocabulary, *, unknown: Unknown = "error", in_order: bool = False, note: Note
) -> TokenStream:
    """The text that `config` names, in a given vocabulary. `in_order`, its lines stay where they are, as one text.

    Raises `UserError` on other characters, unless they are to be skipped, or scored: then they have ids of V and more (see
    `Vocabulary.encode`), and \\r\\n is read as \\n where the vocabulary lacks \\r.
    """
    return _stream(replace(config, vocab=vocabulary.kind), vocabulary, unknown, note, in_order)


def recall(config: DataConfig, fingerprint: str, vocabulary: Vocabulary, chars: int, note: Note) -> TokenStream:
    """The text that a model learned, as its file describes it: as it is kept, or read anew and compared.

    A model file may come from anybody and may name any file. So only regular files are opened, no more is read than `chars`
    characters can take, and nothing is kept before the fingerprint is found to be right.

    Raises `UserError`, without a full stop, when it is not there.
    """
    kept = reopen(fingerprint, note)
    if kept is not None and kept.vocabulary == vocabulary:
        return kept
    if "-" in (*config.input_file, *config.val_file):
        raise UserError("this model was trained on stdin, and its text is no longer in the cache")
    try:
        corpus = open_corpus(config, note, regular_only=True)
        if config.lines:
            corpus = _with_line_ends(corpus, whole=True)
        found = _fingerprint(config, corpus, None, "error", False, most=BYTES_PER_CHAR * chars + SLACK_BYTES)
    except UserError as error:
        raise UserError(f"the text of training cannot be read ({str(error).rstrip('.')})") from error
    if found != fingerprint:
        raise UserError(f"the text changed since training (fingerprint {fingerprint[:12]}, now {found[:12]})")
    found_vocabulary = find_vocabulary(config.vocab, [*corpus.sources, *corpus.val_sources])
    if found_vocabulary != vocabulary:
        raise UserError("the text of training has other characters than the model")
    return _write(config, corpus, None, vocabulary, "error", False, fingerprint, note)


def _stream(config: DataConfig, given: Vocabulary | None, unknown: str, note: Note, in_order: bool = False) -> TokenStream:
    corpus = open_corpus(config, note)
    if corpus.percent and config.test_fraction:
        raise UserError(f"dataset {config.dataset!r} has a test part of its own: leave out --test_fraction.")
    if config.lines or (given and unknown == "score" and "\r" not in given):
        corpus = _with_line_ends(corpus, whole=config.lines and not in_order)
    fingerprint = _fingerprint(config, corpus, given, unknown, in_order)
    kept = reopen(fingerprint, note, strangers=unknown == "score")
    if kept and kept.vocabulary.kind == config.vocab and given in (None, kept.vocabulary):
        return replace(kept, sources=corpus.names)  # the same content may have been kept under another name
    vocabulary = given or find_vocabulary(config.vocab, [*corpus.sources, *corpus.val_sources])
    if not given and len(vocabulary) > MANY_CHARACTERS:
        note(
            f"{len(vocabulary):,} different characters: memory and time grow with each of them, however rare it is; "
            "--vocab byte needs 256, whatever the text."
        )
    return _write(config, corpus, given, vocabulary, unknown, in_order, fingerprint, note)


def _with_line_ends(corpus: Corpus, whole: bool) -> Corpus:
    """The corpus, its lines' ends all alike, and, where each file's lines are `whole`, after its last one, too."""
    sources, val_sources = (
        [LineSource(**vars(source), whole=whole) for source in sources] for sources in (corpus.sources, corpus.val_sources)
    )
    return replace(corpus, sources=sources, val_sources=val_sources)


def _fingerprint(
    config: DataConfig, corpus: Corpus, given: Vocabulary | None, unknown: str, in_order: bool, most: float = math.inf
) -> str:
    """sha256 over the content and every setting that changes ids or split. Raises `UserError` for more than `most` bytes."""
    digests = list[str]()
    for source in [*corpus.sources, *corpus.val_sources]:
        digest, size = source.digest(most)
        digests, most = [*digests, digest], most - size
    facts: dict[str, Any] = {
        "version": VERSION,
        "content": digests[: len(corpus.sources)],
        "val_content": digests[len(corpus.sources) :],
        "vocab": config.vocab,
        "encoding": canonical_encoding(config.encoding or "utf-8") if config.vocab == "char" else None,
        "val_fraction": config.val_fraction,
        "percent": corpus.percent,
        "vocabulary": given.to_json() if given else None,
        "unknown": unknown,
    }
    if config.test_fraction:
        facts["test_fraction"] = config.test_fraction
    found = [source.encoding for source in [*corpus.sources, *corpus.val_sources]]
    if config.vocab == "char" and config.encoding is None and set(found) != {"utf-8"}:
        facts["encoding"] = found  # as their first bytes say
    if config.lines:
        facts["lines"] = "in order" if in_order else "shuffled"
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def find_vocabulary(kind: Literal["char", "byte"], sources: list[Source]) -> Vocabulary:
    """The unique characters of the sources, in code-point order; or every byte."""
    if kind == "byte":
        return Vocabulary("byte")
    seen = np.zeros(CODE_POINTS, bool)
    for source in sources:
        for points in source.code_points():
            seen[points] = True
    return Vocabulary("char", "".join(map(chr, seen.nonzero()[0])))


def _write(
    config: DataConfig,
    corpus: Corpus,
    given: Vocabulary | None,
    vocabulary: Vocabulary,
    unknown: str,
    in_order: bool,
    fingerprint: str,
    note: Note,
) -> TokenStream:
    """Write ids and what they mean beside their place in the cache, then move them there in one step."""
    place, beside = place_for(fingerprint, note)
    strangers = unknown == "score"
    try:
        texts = (
            _text(config.val_file if val else corpus.names, sources, vocabulary, unknown, note)
            for val, sources in enumerate((corpus.sources, corpus.val_sources))
        )
        shuffling = config.lines and not in_order
        with (beside / "ids.bin").open("wb") as file:
            checksum, ends = 0, []
            for chunks in _line_parts(config, corpus, texts, vocabulary, beside, note) if shuffling else texts:
                for ids in chunks:
                    checksum = zlib.crc32(ids.data, checksum)
                    file.write(ids.data)
                ends.append(file.tell() // kept_dtype(vocabulary, strangers).itemsize)
            file.flush()
            os.fsync(file.fileno())
        if _fingerprint(config, corpus, given, unknown, in_order) != fingerprint:
            raise UserError(f"{', '.join(corpus.names)} changed while it was read: wait until it is written, and try again.")
        facts = {
            "version": VERSION,
            "vocabulary": vocabulary.to_json(),
            "bounds": ends if shuffling else _bounds(config, corpus, ends[0], ends[1] - ends[0]),
            "sources": corpus.names,
            "lines": shuffling,
            **({"strangers": True} if strangers else {}),
        }
        write_bytes(beside / "meta.json", json.dumps({**facts, "crc32": sealed(checksum, facts)}).encode())
        if beside != place:
            move(beside, place, vocabulary, strangers)
    except OSError as error:
        raise UserError(
            f"cannot write to the cache {str(place.parent)!r}: {error.strerror}. Set LETTERWISE_CACHE elsewhere."
        ) from error
    finally:
        if beside != place:
            shutil.rmtree(beside, ignore_errors=True)
    made = open_kept(place, fingerprint, strangers)
    assert made
    return made


def _text(
    names: tuple[str, ...], sources: list[Source], vocabulary: Vocabulary, unknown: str, note: Note
) -> Iterator[np.ndarray]:
    """The ids of some sources. Raises `UserError`, at their end, when there were none."""
    empty = bool(sources)
    for source in sources:
        for ids in _ids(source, vocabulary, unknown, note):
            empty &= not len(ids)
            yield ids
    if empty:
        lacks = "has no character that the model knows" if unknown == "skip" else "is empty"
        raise UserError(f"{', '.join(names)} {lacks}: there is nothing to learn or to score.")


def _line_parts(
    config: DataConfig,
    corpus: Corpus,
    texts: Iterable[Iterator[np.ndarray]],
    vocabulary: Vocabulary,
    beside: Path,
    note: Note,
) -> Iterator[Iterator[np.ndarray]]:
    """The lines of training, validation and test part; before all of them, a line break."""
    text, val_text = (_found(chunks, vocabulary, beside / f"text-{i}.bin") for i, chunks in enumerate(texts))
    train, val, test = shuffled(text.digests, _shares(config, corpus))
    if corpus.val_sources:
        known = np.isin(text.digests[train], val_text.digests)
        if known.any():
            note(f"{known.sum():,} lines of the text are in --val_file, too, and are left out of the training part.")
        train, val = train[~known], np.argsort(val_text.digests, kind="stable")
    if not len(train):
        raise UserError(f"{', '.join(corpus.names)} has no line to learn that is not empty, or in --val_file.")
    begin = np.array([vocabulary.line_break], vocabulary.dtype)
    yield itertools.chain([begin], text.taken(train))
    yield (val_text if corpus.val_sources else text).taken(val)
    yield text.taken(test)
    for name in beside.glob("text-*.bin"):
        name.unlink()


def _found(chunks: Iterator[np.ndarray], vocabulary: Vocabulary, path: Path) -> Lines:
    """The lines of a text, whose ids are put into a file meanwhile."""
    with path.open("wb") as file:
        for ids in chunks:
            file.write(ids.data)
    empty = not path.stat().st_size
    ids = np.zeros(0, vocabulary.dtype) if empty else np.memmap(path, vocabulary.dtype, mode="r")
    return find_lines(ids, vocabulary)


def _ids(source: Source, vocabulary: Vocabulary, unknown: str, note: Note) -> Iterator[np.ndarray]:
    """A source's ids, a chunk at a time."""
    chunks = source.code_points(note)
    if not isinstance(source, LineSource):  # which watches them before \r\n becomes \n
        chunks = watched(chunks, source.name, note, longest_meant=math.inf)
    if vocabulary.kind == "byte":
        yield from chunks
        return
    line = 1
    for points in chunks:
        ids = vocabulary.table[points]
        known = ids != ABSENT
        if not known.all():
            if unknown == "error":
                line += int((points[: known.argmin()] == LINE_BREAK).sum())
                raise unknown_characters(from_code_points(points[~known].astype(np.uint32)), line, source.name)
            ids = vocabulary.with_strangers(points, ids, known) if unknown == "score" else ids[known]
        line += int((points == LINE_BREAK).sum())
        yield ids.astype(kept_dtype(vocabulary, unknown == "score"))


def _bounds(config: DataConfig, corpus: Corpus, length: int, val_length: int) -> tuple[int, int, int]:
    """Where training, validation and test part end."""
    if corpus.val_sources:
        return length, length + val_length, length + val_length
    if corpus.percent:
        train, val, _ = corpus.percent
        return length * train // 100, length * (train + val) // 100, length
    held_out = config.val_fraction + config.test_fraction
    return int(length * (1 - held_out)), int(length * (1 - config.test_fraction)), length


def _shares(config: DataConfig, corpus: Corpus) -> tuple[float, float, float]:
    """How much of the text training, validation and test part get."""
    if corpus.val_sources:
        return 1.0, 0.0, 0.0
    if corpus.percent:
        train, val, test = corpus.percent
        return train / 100, val / 100, test / 100
    return 1 - config.val_fraction - config.test_fraction, config.val_fraction, config.test_fraction
