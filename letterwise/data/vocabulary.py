"""Vocabulary: characters and their ids, both ways.

    "Rome" ──encode──▶ [30 53 51 43] ──decode──▶ "Rome"        id = place in code-point order

A character vocabulary holds a text's unique characters. The byte vocabulary holds all 256 bytes and takes any file at all.
"""

import codecs
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from letterwise.errors import UserError

CODE_POINTS = sys.maxunicode + 1
Unknown = Literal["error", "skip", "score"]
IDS_AT_ONCE = 2**22
SHOWN = 12  # unknown characters that an error lists
NO_BYTES = re.compile("[\ud800-\udc7f\udd00-\udfff]")  # lone surrogates that stand for no byte, unlike \udc80 … \udcff


@dataclass
class Tally:
    """How many characters of a text were read, and how many of them were skipped since the vocabulary lacks them."""

    read: int = 0
    skipped: int = 0

    def __str__(self) -> str:
        return f"{self.skipped:,} of {self.read:,} characters are not in this model's vocabulary, and were left out"


def smallest_unsigned(size: int) -> np.dtype[Any]:
    """The smallest unsigned type that counts to `size` - 1."""
    return np.dtype(np.uint8 if size <= 2**8 else np.uint16 if size <= 2**16 else np.uint32)


@dataclass(frozen=True)
class Vocabulary:
    """Characters in code-point order (`kind` "char"), or every byte ("byte", `characters` is empty)."""

    kind: Literal["char", "byte"]
    characters: str = ""

    def __len__(self) -> int:
        return 256 if self.kind == "byte" else len(self.characters)

    def __contains__(self, character: str) -> bool:
        return self.kind == "byte" or character in set(self.characters)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest unsigned type that holds every id."""
        return smallest_unsigned(len(self))

    def stored_dtype(self, oov: bool) -> np.dtype[Any]:
        """Of ids in a file; with `oov`, characters that the vocabulary lacks have one, too, and need more room."""
        return np.dtype(np.uint32) if oov and self.kind == "char" else self.dtype

    @cached_property
    def line_break(self) -> int | None:
        """The id of "\\n"; None where the text had none."""
        return int(self.encode("\n")[0]) if "\n" in self else None

    @cached_property
    def line_end(self) -> int:
        r"""The id of \n, also where the text had none: that of an unknown character, `len(self)` + its code point."""
        return len(self) + ord("\n") if self.line_break is None else self.line_break

    @cached_property
    def points(self) -> np.ndarray:
        """Id → code point: (V,) uint32."""
        return code_points(self.characters)

    @cached_property
    def table(self) -> np.ndarray:
        """Code point → id, or V where there is no such character: (0x110000,), in the smallest type."""
        table = np.full(CODE_POINTS, len(self), smallest_unsigned(len(self) + 1))
        table[self.points] = np.arange(len(self))
        return table

    @cached_property
    def narrow(self) -> bytes:
        """The same for ASCII alone, for `bytes.translate`; b"" where not every id is a byte."""
        ids = self.table[: 2**7]
        return bytes(ids.tolist()) + bytes(2**7) if ids.max() < 2**8 else b""

    def ids_of(self, points: np.ndarray) -> np.ndarray:
        """What `table` says of code points (N,), which are ASCII where they are uint8, as those of text."""
        if points.dtype == np.uint8 and self.narrow:
            return np.frombuffer(points.tobytes().translate(self.narrow), np.uint8)
        wide = beyond_ascii(points) if self.narrow else None
        if wide is None:
            return self.table.take(points)
        ids = np.frombuffer(points.astype(np.uint8).tobytes().translate(self.narrow), np.uint8).astype(self.table.dtype)
        ids[wide] = self.table.take(points[wide])
        return ids

    def encode(self, text: str, unknown: Unknown = "error", *, line: int = 1) -> np.ndarray:
        """Ids (N,) of a text that begins in line `line`.

        Raises `UserError` that lists unknown characters, unless they are to be skipped, or to be scored: then they have ids,
        too, V + their code point (see `spell`).
        """
        if self.kind == "byte":
            no_bytes = NO_BYTES.findall(text)
            if no_bytes and unknown != "skip":
                raise unknown_characters("".join(no_bytes), line + text.count("\n", 0, text.index(no_bytes[0])))
            return np.frombuffer(NO_BYTES.sub("", text).encode("utf-8", "surrogateescape"), np.uint8)
        points = code_points(text)
        ids = self.table[points]
        known = ids < len(self)
        if known.all():
            return ids.astype(self.dtype)
        if unknown == "score":
            return self.with_oov(points, ids, known)
        if unknown == "error":
            raise unknown_characters(from_code_points(points[~known]), line + text.count("\n", 0, int(known.argmin())))
        return ids[known].astype(self.dtype)

    def with_oov(self, points: np.ndarray, ids: np.ndarray, known: np.ndarray) -> np.ndarray:
        """`ids` (N,), uint32, where characters that are not `known` have V + their code point."""
        return np.where(known, ids, len(self) + points.astype(np.uint32))

    def spell(self, ids: np.ndarray) -> str:
        """`decode`, where ids of V and more are characters that the vocabulary lacks, as `encode` numbers them."""
        if self.kind == "byte" or not len(ids) or int(ids.max()) < len(self):
            return self.decode(ids)
        points = self.points[np.minimum(ids, len(self) - 1)]
        return from_code_points(np.where(ids < len(self), points, ids - len(self)).astype(np.uint32))

    def decode(self, ids: Any) -> str:
        """The text that ids spell; bytes that are no UTF-8 become lone surrogates, so that `encode` gives them back."""
        if self.kind == "byte":
            return bytes(np.asarray(ids, np.uint8)).decode("utf-8", "surrogateescape")
        ids = np.asarray(ids)
        return from_code_points(self.points[ids]) if ids.size else ""  # an empty list is no array of whole numbers

    def extended(self, other: "Vocabulary") -> "Vocabulary":
        """The characters of both, in code-point order."""
        return Vocabulary(self.kind, "".join(sorted(set(self.characters) | set(other.characters))))

    def text_decoder(self) -> "TextDecoder":
        """A decoder for ids that come one at a time."""
        return TextDecoder(self)

    def to_json(self) -> dict[str, Any]:
        """Plain containers, for files."""
        return {"kind": self.kind, "characters": self.characters}

    @staticmethod
    def from_json(stored: dict[str, Any]) -> "Vocabulary":
        """The inverse of `to_json`. Raises `UserError` on what is no vocabulary."""
        kind, characters = (stored.get("kind"), stored.get("characters")) if isinstance(stored, dict) else (None, stored)
        if kind == "byte" and characters == "":
            return Vocabulary("byte")
        sound = kind == "char" and isinstance(characters, str) and characters
        if not sound or (np.diff(code_points(characters).astype(np.int32)) <= 0).any():
            raise UserError(f"not a vocabulary: kind {kind!r} with characters {str(characters)[:SHOWN]!r}")
        return Vocabulary("char", characters)


def unknown_characters(characters: str, line: int, name: str = "") -> UserError:
    """The sentence about characters that a vocabulary lacks, the first of them in this line."""
    found = "".join(sorted(set(characters)))
    where = f"{name!r} has" if name else f"there {'are' if len(found) > 1 else 'is'}"
    return UserError(
        f"{where} {len(found)} character{'s' * (len(found) > 1)} not in this model's vocabulary, the first in line {line:,}: "
        f"{found[:SHOWN]!r}. Use --unknown skip to drop them, or train on text that contains them."
    )


def require_ids(ids: np.ndarray, vocab_size: int) -> None:
    """Raises `UserError` where ids (N,) are no characters of the vocabulary: compiled code would look them up elsewhere."""
    for start in range(0, len(ids), IDS_AT_ONCE):
        some = ids[start : start + IDS_AT_ONCE]
        if some.min() < 0 or some.max() >= vocab_size:
            wrong = int(some[np.argmax((some < 0) | (some >= vocab_size))])
            raise UserError(
                f"id {wrong} is not in this vocabulary of {vocab_size} characters: the ids are another model's, or damaged. "
                "If they come from the cache (LETTERWISE_CACHE), delete it, and try again."
            )


class TextDecoder:
    """Turns ids into text as they come; bytes of a character that is not complete yet are held back."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.bytes = codecs.getincrementaldecoder("utf-8")("surrogateescape") if vocabulary.kind == "byte" else None

    def feed(self, ids: Sequence[int]) -> str:
        """The text that is certain now."""
        return self.bytes.decode(bytes(ids)) if self.bytes else "".join(map(self.vocabulary.characters.__getitem__, ids))

    def finish(self) -> str:
        """What was held back."""
        return self.bytes.decode(b"", final=True) if self.bytes else ""


def beyond_ascii(points: np.ndarray) -> np.ndarray | None:
    """Where code points (N,) are not ASCII; None where that is more than one in eight, and nothing is gained by taking the rest
    by itself."""
    wide = (points >= 2**7).nonzero()[0]
    return wide if len(wide) <= len(points) // 8 else None


def code_points(text: str) -> np.ndarray:
    """Code points (N,), uint32; lone surrogates included."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def from_code_points(points: np.ndarray) -> str:
    """The inverse of `code_points`."""
    return points.tobytes().decode("utf-32-le", "surrogatepass")
