"""Tokenizer: the characters of a Hugging Face tokenizer, if that is what its tokens are.

tokenizer.json ──normalizer, splits, model──▶ a character, a byte, or none (special tokens), for each id ──▶ Tokens
"""

from pathlib import Path
from typing import Any

from letterwise.checkpoint.torch_archive import Refused
from letterwise.interop.byte_names import byte_names
from letterwise.interop.importing.characters import is_character
from letterwise.interop.importing.files import about, read_json
from letterwise.interop.importing.original import Tokens

BYTES = {name: byte for byte, name in enumerate(byte_names())}
ANY_CHARACTER = (r"[\s\S]", r"[\S\s]", r"[\d\D]", r"[\w\W]", "(?m).", "(?m:.)", ".|\n", r".|\n", "")  # as Oniguruma reads them


def tokens_of(path: Path, rows: int) -> Tokens:
    """What each of the `rows` of an embedding stands for. Raises `UserError` when they are not all characters."""
    described = read_json(path)
    with about(path):
        model = described.get("model")
        named = _named(model)
        if not named:
            raise Refused("has no vocabulary that Letterwise can read")
        if max(named.values()) >= rows:
            raise Refused(
                f"has tokens up to number {max(named.values()):,}, and the model {rows:,}: they do not belong together"
            )
        _require_no_merges(described["model"], named)
        by_bytes, special = _splits_into_bytes(described), _special(described)
        ordinary = {token: id for token, id in named.items() if token not in special or is_character(token)}
        if not ordinary:
            raise Refused("has special tokens only, and none that is a character")
        longer = [token for token in ordinary if not is_character(token)]
        if longer:
            raise Refused(
                f"is not character-level: of its {len(named):,} tokens {len(longer):,} are longer than a character, such as "
                f"{longer[0][:40]!r}"
            )
        characters: list[str | None] = [None] * rows
        for token, id in ordinary.items():
            characters[id] = chr(BYTES[token]) if by_bytes and token in BYTES else token
        return _as_bytes(characters) if by_bytes else Tokens(characters)


def _named(model: Any) -> dict[str, int]:
    """The vocabulary of a model of a tokenizer; empty where it is no WordLevel or BPE one."""
    vocabulary = model.get("vocab") if isinstance(model, dict) and model.get("type", "BPE") in ("BPE", "WordLevel") else None
    sound = isinstance(vocabulary, dict) and all(type(id) is int and id >= 0 for id in vocabulary.values())
    if not sound or len(set(vocabulary.values())) < len(vocabulary):
        return {}
    return vocabulary


def _special(described: dict[str, Any]) -> set[str]:
    """Tokens that no text is split into unless it spells them out: <unk>, <s>, …"""
    added = described.get("added_tokens")
    entries = added if isinstance(added, list) else []
    named = {entry["content"] for entry in entries if isinstance(entry, dict) and isinstance(entry.get("content"), str)}
    unknown = described["model"].get("unk_token")
    return named | ({unknown} if isinstance(unknown, str) else set())


def _require_no_merges(model: dict[str, Any], named: dict[str, int]) -> None:
    if (merges := model.get("merges")) and isinstance(merges, list):
        raise Refused(f"is not character-level: {len(merges):,} rules merge characters into {len(named):,} tokens")


def _splits_into_bytes(described: dict[str, Any]) -> bool:
    """Whether texts are split into bytes, and not characters. Raises `Refused` for what does neither."""
    if (normalizer := described.get("normalizer")) not in (None, {"type": "Sequence", "normalizers": []}):
        raise Refused(f"changes texts before it reads them (normalizer {_kind(normalizer)}), which Letterwise does not")
    before, by_model = described.get("pre_tokenizer"), described["model"].get("type", "BPE") == "BPE"
    match before:
        case None if by_model:
            return False
        case {"type": "ByteLevel", "add_prefix_space": False} if by_model:
            return True
        case {"type": "Split", "pattern": {"Regex": str(pattern)}, "behavior": "Isolated"} if pattern in ANY_CHARACTER:
            return False
        case {"type": "Split", "pattern": {"String": ""}, "behavior": "Isolated"}:
            return False
        case _:
            raise Refused(f"does not split texts into single characters (pre_tokenizer {_kind(before)})")


def _kind(part: Any) -> str:
    return str(part.get("type"))[:40] if isinstance(part, dict) else str(part)[:40]


def _as_bytes(characters: list[str | None]) -> Tokens:
    """The vocabulary of bytes where all are there, or of ASCII characters."""
    found = [ord(character) for character in characters if character is not None]
    if sorted(found) == list(range(256)):
        return Tokens(characters, bytes=True)
    if max(found) < 128 and len(set(found)) == len(found):
        return Tokens(characters)
    raise Refused(f"splits texts into bytes, and has {len(set(found))} of the 256")
