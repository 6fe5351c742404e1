"""Prepare: a text that is named, as ids: encoded once, and then taken from the cache.

    DataConfig ──open_corpus──▶ TextRequest ──fingerprint──▶ in the cache? ──yes──▶ TokenStream
                                     └──────────no──▶ vocabulary ──▶ ids, kept ──────▲

The text may be larger than memory. A cache entry is complete and checked, or it is not used.
"""

from dataclasses import replace
from pathlib import Path

from letterwise.config import DataConfig
from letterwise.data.cache import Meaning, begun_folder, made_folder, reopen, trusted_folder, write_entry
from letterwise.data.encode import SAVED_EVERY, Digests, Reading, TextRequest, begun, write_ids
from letterwise.data.line_ends import reads_plain_ends
from letterwise.data.lines import LineSource
from letterwise.data.reading.corpus import Corpus, open_corpus
from letterwise.data.token_stream import TokenStream
from letterwise.data.vocabulary import Unknown, Vocabulary
from letterwise.errors import UserError, clause
from letterwise.progress import Note, announced

BYTES_PER_CHAR, SLACK_BYTES = 16, 2**24  # what a text may take that a model names: four times what UTF-32 takes, and 16 MiB
LARGE_VOCABULARY = 2**15  # Chinese texts have up to ten thousand


def prepare(config: DataConfig, *, base: Vocabulary | None = None, note: Note) -> TokenStream:
    """The text that `config` names, with a vocabulary of its own: every character of it, validation part included.

    The vocabulary of a `base` model is part of it. Raises `UserError` when the text cannot be read, or is empty.
    """
    with announced(note, "reading the text"):
        return _prepare(TextRequest(config, open_corpus(config, note, kept=made_folder()), base=base), note)


def encode_corpus(
    config: DataConfig, vocabulary: Vocabulary, *, unknown: Unknown = "error", in_order: bool = False, note: Note
) -> TokenStream:
    """The text that `config` names, in a given vocabulary. `in_order`, its lines stay where they are, as one text.

    Raises `UserError` on other characters, unless they are to be skipped, or scored: then they have ids of V and more (see
    `Vocabulary.encode`), and \\r\\n is read as \\n where the vocabulary lacks \\r.
    """
    config = replace(config, vocab=vocabulary.kind)
    with announced(note, "reading the text"):
        return _prepare(TextRequest(config, open_corpus(config, note, kept=made_folder()), vocabulary, unknown, in_order), note)


class TextGone(UserError):
    """The text that a model learned is not there. The message lacks its end: what to do instead is for the one who asks."""


def training_text(
    config: DataConfig, fingerprint: str, vocabulary: Vocabulary, chars: int, note: Note, *, base: Vocabulary | None = None
) -> TokenStream:
    """The text that a model learned, as its file describes it: from the cache, or read anew and compared.

    `base` is the vocabulary of the model that it was fine-tuned from.

    A model file may come from anybody and may name any file. So only regular files are opened, no more is read than `chars`
    characters can take, and nothing is kept before the fingerprint is found to be right.

    Raises `TextGone` when it is not there.
    """
    cached = reopen(fingerprint, note)
    if cached is not None and cached.vocabulary == vocabulary:
        return cached
    if "-" in (*config.input_file, *config.val_file):
        raise TextGone("this model was trained on stdin, and its text is no longer in the cache")
    with announced(note, "reading the text of training"):
        return _read_anew(config, fingerprint, vocabulary, chars, note, base)


def _read_anew(
    config: DataConfig, fingerprint: str, vocabulary: Vocabulary, chars: int, note: Note, base: Vocabulary | None
) -> TokenStream:
    """The files of `training_text`, compared with what is known of them."""
    try:
        corpus = open_corpus(config, note, regular_only=True)
        request = TextRequest(config, _with_line_ends(corpus, whole=True) if config.lines else corpus, base=base)
        digests = request.digests(BYTES_PER_CHAR * chars + SLACK_BYTES)
        found = request.fingerprint(digests)
    except UserError as error:
        raise TextGone(f"the text of training cannot be read ({clause(error)})") from error
    if found != fingerprint:
        raise TextGone(f"the text changed since training (fingerprint {fingerprint[:12]}, now {found[:12]})")
    if request.vocabulary() != vocabulary:
        raise TextGone("the text of training has other characters than the model")
    return _encode(request, vocabulary, digests, note)


def _prepare(request: TextRequest, note: Note) -> TokenStream:
    """The text as ids: as it is kept, or encoded now."""
    config, given = request.config, request.given
    if request.corpus.percent and config.test_fraction:
        raise UserError(f"dataset {config.dataset!r} has a test part of its own: leave out --test_fraction.")
    if config.lines or (given and reads_plain_ends(given, lines=False, oov=request.oov)):
        request = replace(request, corpus=_with_line_ends(request.corpus, whole=request.shuffled))
    digests, found = request.read_through()
    if request.corpus.unchanged:
        request.corpus.unchanged.keep(request.sources, digests)
    fingerprint = request.fingerprint(digests)
    cached = reopen(fingerprint, note, oov=request.oov)
    if cached and cached.vocabulary.kind == config.vocab and given in (None, cached.vocabulary):
        for source in request.sources:  # what there is to say about encodings is said each time: a guess may be wrong
            if source.remark:
                note(source.remark)
        return replace(cached, sources=request.corpus.names)  # the same content may have been kept under another name
    there = begun(begun_folder(fingerprint)) if trusted_folder() else None
    vocabulary = there.vocabulary if there else found or request.vocabulary()
    if not given and len(vocabulary) > LARGE_VOCABULARY:
        note(
            f"{len(vocabulary):,} different characters: memory and time grow with each of them, however rare it is; "
            "--vocab byte needs 256, whatever the text."
        )
    return _encode(request, vocabulary, digests, note)


def _encode(request: TextRequest, vocabulary: Vocabulary, digests: Digests, note: Note) -> TokenStream:
    """Encode, and keep what comes of it in the cache. Raises `UserError` when the text changes meanwhile."""

    def write(folder: Path) -> tuple[int, Meaning]:
        reading = begun(folder)
        if reading:
            note(f"the first {sum(reading.ids):,} characters were encoded before: this goes on from there.")
        return write_ids(request, reading or Reading(vocabulary), digests, folder, note)

    large = sum(size for _, size in digests) >= SAVED_EVERY
    return write_entry(request.fingerprint(digests), write, note, large=large)


def _with_line_ends(corpus: Corpus, whole: bool) -> Corpus:
    """The corpus, its lines' ends all alike, and, where each file's lines are `whole`, after its last one, too."""
    sources, val_sources = (
        [LineSource(**vars(source), whole=whole) for source in sources] for sources in (corpus.sources, corpus.val_sources)
    )
    return replace(corpus, sources=sources, val_sources=val_sources)
