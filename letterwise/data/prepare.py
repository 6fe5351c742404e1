"""Prepare: a text that is named, as ids: encoded once, and then taken from the cache.

    DataConfig ──open_corpus──▶ TextRequest ──fingerprint──▶ in the cache? ──yes──▶ TokenStream
                                     └──────────no──▶ vocabulary ──▶ ids, kept ──────▲

The text may be larger than memory. A cache entry is complete and checked, or it is not used.
"""

from dataclasses import replace
from pathlib import Path

from letterwise.config import DataConfig
from letterwise.data.cache import Meaning, reopen, write_entry
from letterwise.data.encode import TextRequest, write_ids
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
        return _prepare(TextRequest(config, open_corpus(config, note), base=base), note)


def encode_corpus(
    config: DataConfig, vocabulary: Vocabulary, *, unknown: Unknown = "error", in_order: bool = False, note: Note
) -> TokenStream:
    """The text that `config` names, in a given vocabulary. `in_order`, its lines stay where they are, as one text.

    Raises `UserError` on other characters, unless they are to be skipped, or scored: then they have ids of V and more (see
    `Vocabulary.encode`), and \\r\\n is read as \\n where the vocabulary lacks \\r.
    """
    config = replace(config, vocab=vocabulary.kind)
    with announced(note, "reading the text"):
        return _prepare(TextRequest(config, open_corpus(config, note), vocabulary, unknown, in_order), note)


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
        found = request.fingerprint(BYTES_PER_CHAR * chars + SLACK_BYTES)
    except UserError as error:
        raise TextGone(f"the text of training cannot be read ({clause(error)})") from error
    if found != fingerprint:
        raise TextGone(f"the text changed since training (fingerprint {fingerprint[:12]}, now {found[:12]})")
    if request.vocabulary() != vocabulary:
        raise TextGone("the text of training has other characters than the model")
    return _encode(request, vocabulary, fingerprint, note)


def _prepare(request: TextRequest, note: Note) -> TokenStream:
    config, given = request.config, request.given
    if request.corpus.percent and config.test_fraction:
        raise UserError(f"dataset {config.dataset!r} has a test part of its own: leave out --test_fraction.")
    if config.lines or (given and reads_plain_ends(given, lines=False, oov=request.oov)):
        request = replace(request, corpus=_with_line_ends(request.corpus, whole=request.shuffled))
    fingerprint = request.fingerprint()
    cached = reopen(fingerprint, note, oov=request.oov)
    if cached and cached.vocabulary.kind == config.vocab and given in (None, cached.vocabulary):
        for source in request.sources:  # what there is to say about encodings is said each time: a guess may be wrong
            if source.remark:
                note(source.remark)
        return replace(cached, sources=request.corpus.names)  # the same content may have been kept under another name
    vocabulary = request.vocabulary()
    if not given and len(vocabulary) > LARGE_VOCABULARY:
        note(
            f"{len(vocabulary):,} different characters: memory and time grow with each of them, however rare it is; "
            "--vocab byte needs 256, whatever the text."
        )
    return _encode(request, vocabulary, fingerprint, note)


def _encode(request: TextRequest, vocabulary: Vocabulary, fingerprint: str, note: Note) -> TokenStream:
    """Encode, and keep what comes of it in the cache. Raises `UserError` when the text changes meanwhile."""

    def write(folder: Path) -> tuple[int, Meaning]:
        written = write_ids(request, vocabulary, folder, note)
        if request.fingerprint() != fingerprint:
            names = ", ".join(request.corpus.names)
            raise UserError(f"{names} changed while it was read: wait until it is written, and try again.")
        return written

    return write_entry(fingerprint, write, note)


def _with_line_ends(corpus: Corpus, whole: bool) -> Corpus:
    """The corpus, its lines' ends all alike, and, where each file's lines are `whole`, after its last one, too."""
    sources, val_sources = (
        [LineSource(**vars(source), whole=whole) for source in sources] for sources in (corpus.sources, corpus.val_sources)
    )
    return replace(corpus, sources=sources, val_sources=val_sources)
