"""Archive: a compressed file, block by block; docs/formats.md has the layout.

    file ──▶ header: magic, version, mode, model, arithmetic · a block for each MiB (spelling ▸ coder) · end: length, digest

The content is read once, from a file or a pipe, and one block is in memory at a time. Each is decompressed right after it was
compressed, or meanwhile where the model learns (beside.py), by another predictor, and compared. Sizes in a file are checked
against fixed bounds before memory is allocated for them.
"""

import hashlib
import io
import math
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from letterwise.compression import probe
from letterwise.compression.beside import Beside
from letterwise.compression.coder import Predictor, decode, encode
from letterwise.compression.fingerprint import BYTES
from letterwise.compression.frozen import MAX_STREAMS, streams_for
from letterwise.compression.spelling import (
    MAX_ESCAPE_OVERHEAD,
    Spelled,
    from_varint,
    spell,
    to_varint,
    unspell,
    whole_characters,
)
from letterwise.data.vocabulary import Vocabulary
from letterwise.errors import UserError, sentence

MAGIC, VERSION = b"LTRW", 2  # 2: the arithmetic; length and digest at the end
FROZEN, ONLINE, PRIMED = 0, 1, 2  # modes: primed is online, after the text that the model was trained on
DIGEST, CHECKSUM = 8, 4  # bytes of the content's sha256 that are kept, and of a crc32
BLOCK = 2**20  # bytes of content
CHUNK = 2**20
MAX_NUMBER_BYTES = 9  # bytes of a number

Predictors = Callable[[int], Predictor]  # by the number of streams: a fresh one, at the beginning of a text
Decoding = Callable[[bytes, int, int], np.ndarray]  # bits, characters, streams ──▶ ids


@dataclass(frozen=True)
class Packed:
    """Sizes in bytes, the header included, and into how many streams the content was cut (at most)."""

    original_bytes: int
    compressed_bytes: int
    streams: int

    @property
    def bits_per_byte(self) -> float:
        """How many bits a byte takes; NaN where there is none."""
        return 8 * self.compressed_bytes / self.original_bytes if self.original_bytes else math.nan


def compress(
    source: BinaryIO,
    target: BinaryIO,
    vocabulary: Vocabulary,
    model: bytes,
    predictors: Predictors,
    *,
    mode: int = FROZEN,
) -> Packed:
    """Read `source` to its end, and write it compressed to `target`.

    `model` is the fingerprint of the model. `predictors(S)` gives a fresh predictor of S streams; in all modes but `FROZEN`,
    the same one stream runs through all blocks. Raises `UserError` when a block does not come back the same, or when a file
    says something else when it is read again.
    """
    begin = source.tell() if source.seekable() else None
    header, online = MAGIC + bytes([VERSION, mode]) + model, mode != FROZEN
    header += probe.arithmetic(predictors(1), len(vocabulary))
    written, max_streams, length, digest = target.write(header + crc(header)), 1, 0, hashlib.sha256()
    beside = Beside(predictors(1), predictors(1), len(vocabulary)) if online else None
    decoding = beside.decoded if beside else decoding_by(predictors, len(vocabulary))
    for content in blocks(source):
        spelled = spell(content, vocabulary)
        streams = 1 if online else streams_for(len(spelled.ids))
        packed = beside.encode(spelled.ids) if beside else encode(predictors(streams), spelled.ids, streams, len(vocabulary))
        numbers = (len(content), len(spelled.ids), streams, len(spelled.escapes), len(packed))
        block = b"".join(map(to_varint, numbers)) + crc(content) + spelled.escapes + packed
        if not comes_back(block, content, vocabulary, decoding):
            raise UserError(
                f"what was compressed does not come back the same (bytes {length} to {length + len(content)}), and is not "
                "kept: this machine does not calculate the same twice. Try again, and report it if it stays so."
            )
        written += target.write(block)
        digest.update(content)
        length, max_streams = length + len(content), max(max_streams, streams)
    if begin is not None and digest_of(source, begin) != digest.digest():
        raise UserError(f"the file changed while it was read ({length:,} bytes): wait until it is written, and try again.")
    written += target.write(to_varint(0) + to_varint(length) + digest.digest()[:DIGEST])
    return Packed(length, written, max_streams)


def decompress(
    source: BinaryIO,
    target: BinaryIO,
    vocabulary: Vocabulary,
    model: bytes,
    predictors: Callable[[int], Predictors],
) -> Packed:
    """The inverse. `predictors(mode)` chooses between a frozen model and one that learns.

    Raises `UserError` when this is no such file, of another model, of other arithmetic, damaged, or cut off; what was written
    until then is to be thrown away.
    """
    mode, fresh = open_header(source, vocabulary, model, predictors)
    read, max_streams, digest, length = HEADER, 1, hashlib.sha256(), 0
    same = None if mode == FROZEN else fresh(1)
    decoding = decoding_by(lambda streams: same or fresh(streams), len(vocabulary))
    while True:
        size, used = take_number(source)
        read += used
        if not size:
            break
        content, streams, used = read_block(source, size, vocabulary, decoding, MAX_STREAMS if mode == FROZEN else 1)
        target.write(content)
        digest.update(content)
        read, length, max_streams = read + used, length + size, max(max_streams, streams)
    claimed, used = take_number(source)
    if take(source, DIGEST) != digest.digest()[:DIGEST] or claimed != length or source.read(1):
        raise damaged("its digest is another, or something follows its end")
    return Packed(length, read + used + DIGEST, max_streams)


HEADER = len(MAGIC) + 2 + BYTES + probe.BYTES + CHECKSUM  # bytes


def open_header(
    source: BinaryIO, vocabulary: Vocabulary, model: bytes, predictors: Callable[[int], Predictors]
) -> tuple[int, Predictors]:
    """Read the header: the mode, and its predictors.

    Raises `UserError` where this model or machine cannot decompress the file.
    """
    magic = source.read(len(MAGIC))
    if magic != MAGIC:
        raise UserError(f"this is no file that `letterwise compress` wrote: it begins with {magic!r}.")
    version = take(source, 1)
    if version[0] != VERSION:
        raise UserError(
            f"this file has compression format {version[0]}, and this Letterwise reads {VERSION}: decompress it with the "
            "version of Letterwise that wrote it."
        )
    rest = take(source, HEADER - len(MAGIC) - 1)
    body, checksum = rest[:-CHECKSUM], rest[-CHECKSUM:]
    mode, made_by, made_with = body[0], body[1 : 1 + BYTES], body[1 + BYTES :]
    if crc(magic + version + body) != checksum or mode not in (FROZEN, ONLINE, PRIMED):
        raise damaged("the checksum of its header is another")
    if made_by != model:
        raise UserError(
            f"this file was compressed with model {made_by.hex()}, and this is model {model.hex()}: name the one that "
            "it was made with."
        )
    fresh = predictors(mode)
    here = probe.arithmetic(fresh(1), len(vocabulary))
    if made_with != here:
        raise UserError(
            f"this file was compressed where the same model gives other probabilities (arithmetic {made_with.hex()}, here "
            f"{here.hex()}): decompress it on the machine that made it, or on one of its kind, with the same versions of "
            "Letterwise and its libraries."
        )
    return mode, fresh


def decoding_by(predictors: Predictors, vocab_size: int) -> Decoding:
    """Decoding by what `predictors` gives for a number of streams."""
    return lambda packed, chars, streams: decode(predictors(streams), packed, chars, streams, vocab_size)


def read_block(
    source: BinaryIO, size: int, vocabulary: Vocabulary, decoding: Decoding, most_streams: int
) -> tuple[bytes, int, int]:
    """The content of a block of `size` bytes, how many streams it came in, and how many bytes of `source` were read.

    Raises `UserError` where it is damaged.
    """
    numbers = [take_number(source) for _ in range(4)]
    chars, streams, escapes, bits = (number for number, _ in numbers)
    plausible = size <= BLOCK and chars <= size and escapes <= size * (1 + MAX_ESCAPE_OVERHEAD)
    if not plausible or not 1 <= streams <= most_streams or bits > 8 * size + 64 or bits % 4:
        raise damaged(f"a block claims {size} bytes in {chars} characters")
    checksum, extra, packed = take(source, CHECKSUM), take(source, escapes), take(source, bits)
    try:
        ids = decoding(packed, chars, streams)
        content = unspell(Spelled(ids, extra), vocabulary, size)
    except ValueError as error:
        raise damaged(str(error)) from error
    if len(content) != size or crc(content) != checksum:
        raise damaged(f"the checksum of a block of {size} bytes is another")
    return content, streams, sum(used for _, used in numbers) + CHECKSUM + escapes + bits


def comes_back(block: bytes, content: bytes, vocabulary: Vocabulary, decoding: Decoding) -> bool:
    """Does this block decompress to this content?"""
    source = io.BytesIO(block)
    try:
        found = read_block(source, take_number(source)[0], vocabulary, decoding, MAX_STREAMS)[0]
        return found == content and not source.read(1)
    except UserError:
        return False


def digest_of(source: BinaryIO, begin: int) -> bytes:
    """sha256 of a file's bytes from a position on."""
    digest = hashlib.sha256()
    source.seek(begin)
    while chunk := source.read(CHUNK):
        digest.update(chunk)
    return digest.digest()


def blocks(source: BinaryIO) -> Iterator[bytes]:
    """The content in blocks that end with a whole character of UTF-8, where it is that. A pipe may give less than is asked."""
    held = b""
    while True:
        while len(held) < BLOCK and (more := source.read(BLOCK - len(held))):
            held += more
        if not held:
            return
        end = whole_characters(held) if len(held) == BLOCK else len(held)
        yield held[:end]
        held = held[end:]


def take(source: BinaryIO, size: int) -> bytes:
    """So many bytes. Raises `UserError` when there are fewer."""
    found = source.read(size)
    if len(found) < size:
        raise damaged("it is cut off")
    return found


def take_number(source: BinaryIO) -> tuple[int, int]:
    """A number of up to 9 bytes (see `to_varint`), and how many there were."""
    encoded = b""
    while not encoded or encoded[-1] >= 0x80:
        encoded += take(source, 1)
        if len(encoded) > MAX_NUMBER_BYTES:
            raise damaged("a number is too long")
    return from_varint(encoded, 0)


def crc(content: bytes) -> bytes:
    """crc32, little endian."""
    return zlib.crc32(content).to_bytes(CHECKSUM, "little")


def damaged(why: str) -> UserError:
    """The error of a file that cannot be decompressed, though model and arithmetic are the same."""
    return UserError(f"this compressed file is damaged: {sentence(why)} Restore it from a copy.")
