r"""Text encoding: how bytes spell characters, decided from what was asked and from the first bytes; the one place that decides.

    what --encoding says ┐
    the first bytes ─────┴─decided──▶ Spelling("utf-16-be", skip=2, remark)          refused where the two contradict
    a small file ──read_text_file──▶ its text: configurations, schemas, grammars, prompts
    bytes of a stream ──StreamDecoder──▶ characters, as they come

An encoding belongs to a file and to the command that reads it, never to a model. Without --encoding a file is UTF-8, unless a
byte order mark says otherwise, or its bytes can only be UTF-16 or UTF-32. What is none of these is binary data.
"""

import codecs
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from letterwise.errors import UserError, did_you_mean

FAMILIAR = ("utf-8", "utf-16", "utf-32", "latin-1", "cp1252", "ascii", "shift_jis", "gb18030", "koi8-r", "big5", "euc-kr")
FOR_HOST_NAMES = ("idna", "punycode", "undefined")  # codecs that spell no files
MARKS = {  # the longest first: that of UTF-32-LE begins like that of UTF-16-LE
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
WIDE = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
SNIFFED = 64 * 2**10  # bytes at a file's beginning that are looked at
NARROW_NEVER = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")  # bytes that no text of one-byte units has (ESC is in logs)
SURROGATES = re.compile("[\ud800-\udfff]")
NONE_AT_MOST = 0.005  # share of a text's characters that are not assigned, private, or control characters
LARGEST_WHOLE = 64 * 2**20  # bytes of a file that is read whole
KINDS = (  # how well-known binary files begin, and what to do with one
    (b"\x1f\x8b", "gzip data: give its name the ending .gz"),
    (b"BZh", "bzip2 data: give its name the ending .bz2"),
    (b"\xfd7zXZ\0", "xz data: give its name the ending .xz"),
    (b"\x28\xb5\x2f\xfd", "zstd data: give its name the ending .zst"),
    (b"PK\x03\x04", "a zip archive: give its name the ending .zip, if it holds plain text"),
    (b"7z\xbc\xaf", "a 7z archive: unpack it"),
    (b"%PDF", "a PDF: extract its text first"),
    (b"LTRW", "a file that `letterwise compress` wrote: unpack it with `letterwise decompress`"),
)
TAR_MAGIC, TAR_AT = b"ustar", 257


@dataclass(frozen=True)
class Spelling:
    """How a file's bytes spell its text, from byte `skip` on; `remark` is what there is to say about it, "" for nothing."""

    encoding: str
    skip: int = 0
    remark: str = ""


def canonical_encoding(encoding: str) -> str:
    """The one name of a codec that has several. Raises `UserError` when there is none that spells text."""
    try:
        codec = codecs.lookup(encoding)
        codecs.getincrementaldecoder(encoding)
    except (LookupError, ValueError):
        codec = None
    if codec is None or not codec._is_text_encoding or codec.name in FOR_HOST_NAMES:  # type: ignore[attr-defined]
        raise UserError(f"encoding {encoding!r} is not known: {did_you_mean(encoding, FAMILIAR)}")
    return codec.name.removesuffix("-sig")  # `utf-8-sig` is UTF-8 whose byte order mark is dropped, as we do


def decided(name: str, start: bytes, asked: str | None) -> Spelling:
    """How the file `name` spells its text: `start` is its first `SNIFFED` bytes (all, of a shorter one).

    Raises `UserError` where its byte order mark contradicts `asked`, or where only that could show the order of bytes.
    """
    mark, marked = next(((mark, encoding) for mark, encoding in MARKS.items() if start.startswith(mark)), (b"", ""))
    if asked is None:
        if marked:
            return Spelling(marked, len(mark), _dropped(name, marked))
        narrow = b"\0" not in start and _is_utf8(start)
        if not narrow and (guess := guessed(start)):
            return Spelling(guess, 0, f"{name!r} has no byte order mark and looks like {guess}: --encoding says otherwise.")
        return Spelling("utf-8")
    asked = canonical_encoding(asked)
    if asked in ("utf-16", "utf-32"):  # the order of bytes is the file's to say
        if marked.startswith(asked):
            return Spelling(marked, len(mark))
        if guess := guessed(start, tuple(encoding for encoding in WIDE if encoding.startswith(asked))):
            return Spelling(guess)
        raise UserError(f"{name!r} has no byte order mark of {asked}: say --encoding {asked}-le or --encoding {asked}-be.")
    if marked == asked:
        return Spelling(asked, len(mark), _dropped(name, asked))
    if marked and asked.startswith("utf-"):
        raise UserError(
            f"{name!r} begins with the byte order mark of {marked}, not of {asked}: leave out --encoding, or say {marked}."
        )
    return Spelling(asked, 0, f"{name!r} has a byte order mark of {marked}, and is read as {asked}." if marked else "")


def guessed(start: bytes, candidates: tuple[str, ...] = WIDE) -> str | None:
    """Which of the encodings in units of two or four bytes this is, by its statistics; None if it is hardly any.

    A text in one-byte units has no NUL and next to no control characters, and text in wide units has them everywhere. Read in
    the right units, it has characters that exist, some of them common to most scripts, and none that only programs use.
    """
    rare = len(NARROW_NEVER.findall(start)) / max(1, len(start))
    if len(start) < 4 or rare < (0.15 if start.isascii() else 0.02):  # ASCII with some NULs is no text of wide units
        return None
    best, max_common = None, 0.0
    for encoding in candidates:
        try:
            text = codecs.getincrementaldecoder(encoding)("strict").decode(start)
        except UnicodeDecodeError:
            continue
        if text and sum(map(_is_none, text)) <= len(text) * NONE_AT_MOST:
            common = sum(character < "\x7f" or character in "\u3000\u3001\u3002\uff0c" for character in text) / len(text)
            best, max_common = (
                (encoding, common) if common > max_common else (best, max_common)
            )  # swapped, letters are Chinese, too
    return best


def looks_binary(start: bytes, spelling: Spelling) -> bool:
    """Whether the first bytes of a file are hardly text in this spelling: a NUL where characters are one byte, or no text."""
    if b"\0" in start and spelling.encoding not in WIDE:
        return True
    try:  # a character that is cut at the end is no error
        codecs.getincrementaldecoder(spelling.encoding)("strict").decode(start[spelling.skip :])
    except UnicodeError:
        return True
    return False


def kind_of(start: bytes, packed: str = "") -> str:
    """What a binary file seems to be, and what to do then; "" where that is not known.

    `packed` is the ending by which it was unpacked already, like .gz.
    """
    if start[TAR_AT:].startswith(TAR_MAGIC):
        return f"a tar archive: give its name the ending .tar{packed}"
    known = next((kind for magic, kind in KINDS if start.startswith(magic)), "")
    return f"{known.split(':')[0]} inside: unpack the file once" if known and packed else known


def read_text_file(path: str | Path, flag: str) -> str:
    """The text of a small file (a configuration, schema, grammar, prompt), of 64 MiB at most; its byte order mark dropped.

    Raises `UserError`, which begins with `flag`, when it cannot be read, is too large, or is no text.
    """
    try:
        with open(path, "rb") as file:
            content = read_whole(file, str(path), flag)
    except (OSError, ValueError) as error:  # a name with NUL in it is a ValueError
        reason = error.strerror or str(error) if isinstance(error, OSError) else str(error)
        raise UserError(f"{flag}: cannot read {str(path)!r}: {reason}. Check the name and its permissions.") from error
    return decoded(content, str(path), flag)


def read_whole(file: BinaryIO, name: str, flag: str) -> bytes:
    """All that is in a small file. Raises `UserError`, which begins with `flag`, when it is larger than 64 MiB, or endless."""
    content = file.read(LARGEST_WHOLE + 1)
    if len(content) > LARGEST_WHOLE:
        raise UserError(f"{flag}: {name!r} is larger than {LARGEST_WHOLE >> 20} MiB: is it the right file?")
    return content


def decoded(content: bytes, name: str, flag: str, encoding: str | None = None) -> str:
    """The text that the whole content of a file spells. Raises `UserError`, which begins with `flag`, where it spells none."""
    spelling = decided(name, content[:SNIFFED], encoding)
    try:
        text = content[spelling.skip :].decode(spelling.encoding)
    except UnicodeError as error:
        at = f" at byte offset {spelling.skip + error.start}" if isinstance(error, UnicodeDecodeError) else ""
        raise UserError(f"{flag}: {name!r} is not {spelling.encoding} text{at}: write it in UTF-8.") from error
    require_characters(text, name, spelling.encoding)
    return text


def require_characters(text: str, name: str, encoding: str) -> None:
    """Raises `UserError` for halves of characters, which some codecs (UTF-7, unicode_escape) let through."""
    if found := SURROGATES.search(text):
        raise UserError(
            f"{name!r} spells half of a character in {encoding} (U+{ord(found[0]):04X}, a lone surrogate), which is none: "
            "mend the file, or name its real encoding with --encoding."
        )


class StreamDecoder:
    """The characters of stdin, whose bytes come in pieces; what is no text becomes U+FFFD, since a stream goes on."""

    def __init__(self, encoding: str | None) -> None:
        """Raises `UserError` for an encoding that is none."""
        self.asked, self.held = encoding and canonical_encoding(encoding), b""
        self.decoder: codecs.IncrementalDecoder | None = None

    def feed(self, chunk: bytes, final: bool = False) -> str:
        """The characters that are certain now. Its first four bytes, which may be a byte order mark, are waited for."""
        if self.decoder is None:
            self.held += chunk
            if len(self.held) < max(map(len, MARKS)) and not final and b"\n" not in self.held:
                return ""
            spelling = decided("stdin", self.held[:SNIFFED], self.asked)
            self.decoder = codecs.getincrementaldecoder(spelling.encoding)("replace")
            chunk, self.held = self.held[spelling.skip :], b""
        return SURROGATES.sub("\ufffd", self.decoder.decode(chunk, final))


def _dropped(name: str, encoding: str) -> str:
    return f"{name!r} starts with a byte order mark of {encoding}, which is dropped."


def _is_utf8(start: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")("strict").decode(start)
    except UnicodeDecodeError:
        return False
    return True


def _is_none(character: str) -> bool:
    """A control character that texts do not have, or a place of Unicode that is not assigned, or private."""
    return unicodedata.category(character) in ("Cc", "Cn", "Co") and character not in "\t\n\r\f\v\x1b\ufeff"
