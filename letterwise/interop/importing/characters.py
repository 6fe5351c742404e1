"""Characters: which character each token of a checkpoint is, where the checkpoint itself does not say.

meta.pkl of nanoGPT ──read_plain_pickle──▶ itos, checked ─┐
the text it learned ──its set of characters, sorted───────┴──▶ Tokens
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from letterwise.checkpoint.torch_archive import Refused
from letterwise.config import DataConfig
from letterwise.data.encode import find_vocabulary
from letterwise.data.reading.corpus import open_corpus
from letterwise.errors import UserError
from letterwise.interop.importing.files import about, read_description
from letterwise.interop.importing.original import Tokens, Wanted
from letterwise.interop.importing.plain_pickle import read_plain_pickle
from letterwise.progress import Note

PIECES = (50_257, 50_304)  # tokens of GPT-2, and the same rounded up as nanoGPT does
SURROGATES = range(0xD800, 0xE000)


def from_meta(path: Path) -> Tokens:
    """The characters that a meta.pkl of nanoGPT names. Raises `UserError` when it names none, or no single characters."""
    with about(path):
        meta = read_plain_pickle(read_description(path))
        itos = meta.get("itos") if isinstance(meta, dict) else None
        named: dict[Any, Any] = dict(enumerate(itos)) if isinstance(itos, list) else itos if isinstance(itos, dict) else {}
        if not named or any(type(id) is not int or id not in range(len(named)) for id in named):
            raise Refused("has no `itos` that gives a character for each of 0, 1, 2, …")
        characters = [named[id] for id in range(len(named))]
        longer = [token for token in characters if not is_character(token)]
        if longer:
            raise Refused(f"is not of a character-level model: {len(longer):,} of its {len(named):,} tokens are no single "
                          f"characters, such as {str(longer[0])[:40]!r}")  # fmt: skip
        if len(set(characters)) < len(characters):
            twice = next(c for c in characters if characters.count(c) > 1)
            raise Refused(f"has the character {twice!r} more than once")
        stoi = meta.get("stoi")
        if stoi is not None and stoi != {character: id for id, character in enumerate(characters)}:
            raise Refused("has a `stoi` that is not the inverse of its `itos`")
    return Tokens(characters)


def from_text(names: Sequence[str], vocab_size: int, note: Note) -> Tokens:
    r"""The sorted set of a text's characters, as minGPT makes it: where one is too many, without \r, as Python reads files.

    Raises `UserError` when they are not as many as the model has tokens.
    """
    config = DataConfig(input_file=tuple(names))
    corpus = open_corpus(config, note)
    characters = find_vocabulary("char", [*corpus.sources]).characters
    if len(characters) == vocab_size + 1:
        characters = characters.replace("\r", "")
    if len(characters) != vocab_size:
        raise UserError(
            f"the model has {vocab_size:,} tokens, and {', '.join(names)} {len(characters):,} different characters: "
            "name the text it learned with --vocabulary_from."
        )
    return Tokens(characters)


def named_tokens(wanted: Wanted, vocab_size: int, note: Note) -> Tokens:
    """The characters that a person named, by a text or a meta.pkl. Raises `UserError` where they do not fit the model."""
    if wanted.vocabulary_from and wanted.meta:
        raise UserError("--meta and --vocabulary_from both name the characters: give one.")
    if wanted.vocabulary_from:
        return from_text(wanted.vocabulary_from, vocab_size, note)
    path = Path(wanted.meta or "")
    return require_fit(from_meta(path), vocab_size, path)


def is_character(token: Any) -> bool:
    """Is it a text of one character?"""
    return isinstance(token, str) and len(token) == 1 and ord(token) not in SURROGATES


def require_fit(tokens: Tokens, vocab_size: int, path: Path) -> Tokens:
    """The tokens, if they are as many as the model's. Raises `UserError` otherwise."""
    if len(tokens.characters) != vocab_size:
        raise UserError(
            f"the model has {vocab_size:,} tokens, and {str(path)!r} {len(tokens.characters):,}: it belongs to another model."
        )
    return tokens


def not_known(vocab_size: int) -> UserError:
    """The sentence for a model whose characters nobody named."""
    if vocab_size in PIECES:
        return UserError(f"the model has {vocab_size:,} tokens, which are GPT-2's pieces of words: it is not character-level.")
    return UserError(
        f"the model does not say which character each of its {vocab_size:,} tokens is: name the meta.pkl of its text with "
        "--meta, or the text it learned with --vocabulary_from."
    )
