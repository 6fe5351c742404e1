"""Archive: a compressed file, block by block; docs/formats.md has the layout.

    file ──▶ header: magic, version, mode, model, length, digest · then for each MiB ──spelling──▶ coder ──▶ one block

One block is in memory at a time, whatever the file's size. Each is decoded right after it was encoded, by another predictor,
and compared. What a file claims is held against fixed bounds before room is made for it.
"""

import hashlib
import math
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from letterwise.compression.coder import Predictor, decode, encode
from letterwise.compression.fingerprint import BYTES
from letterwise.compression.frozen import STREAMS_AT_MOST, streams_for
from letterwise.compression.spelling import PARTS_AT_MOST, Spelled, from_varint, spell, to_varint, unspell, whole_characters
from letterwise.data.vocabulary import Vocabulary
from letterwise.errors import UserError

MAGIC, VERSION = b"LTRW", 1
FROZEN, ONLINE = 0, 1  # modes
DIGEST = 8  # bytes of the content's sha256 that are kept
BLOCK = 2**20  # bytes of content
CHUNK = 2**20
NUMBER_AT_MOST = 9  # bytes of a number

Predictors = Callable[[int], Predictor]  # so many streams, from the beginning of a text


@dataclass(frozen=True)
class Packed:
    """What became of a content: sizes in bytes, the header included, and how many streams it went in (at most)."""

    original_bytes: int
    compressed_bytes: int
    streams: int

    @property
    def bits_per_byte(self) -> float:
        """How many bits a byte takes; not a number where there is none."""
        return 8 * self.compressed_bytes / self.original_bytes if self.original_bytes else math.nan


def compress(
    source: BinaryIO,
    target: BinaryIO,
    vocabulary: Vocabulary,
    model: bytes,
    predictors: Predictors,
    *,
    online: bool = False,
) -> Packed:
    """Read `source` from its beginning to its end, twice, and write it compressed to `target`.

    `model` is the fingerprint of what predicts. `predictors(S)` gives a fresh predictor of S streams; `online`, the same one
    stream runs through all blocks. Raises `UserError` when the content changes meanwhile, or does not come back the same.
    """
    length, digest = measure(source)
    header = MAGIC + bytes([VERSION, ONLINE if online else FROZEN]) + model + to_varint(length) + digest
    written, most = target.write(header), 1
    ours, theirs = (predictors(1), predictors(1)) if online else (None, None)
    passed = 0
    for content in blocks(source):
        spelled = spell(content, vocabulary)
        streams = 1 if online else streams_for(len(spelled.ids))
        packed = encode(ours or predictors(streams), spelled.ids, streams, len(vocabulary))
        back = decode(theirs or predictors(streams), packed, len(spelled.ids), streams, len(vocabulary))
        if unspell(Spelled(back, spelled.escapes), vocabulary, len(content)) != content:
            raise UserError(
                f"what was compressed does not come back the same (bytes {passed} to {passed + len(content)}), and is not "
                "kept: this machine does not calculate the same twice. Try again, and report it if it stays so."
            )
        numbers = (len(content), len(spelled.ids), streams, len(spelled.escapes), len(packed))
        about = b"".join(map(to_varint, numbers)) + zlib.crc32(content).to_bytes(4, "little")
        written += target.write(about + spelled.escapes + packed)
        passed, most = passed + len(content), max(most, streams)
    if passed != length:
        raise UserError(f"the file changed from {length} to {passed} bytes while it was read: wait until it is written.")
    return Packed(length, written, most)


def decompress(
    source: BinaryIO,
    target: BinaryIO,
    vocabulary: Vocabulary,
    model: bytes,
    predictors: Callable[[bool], Predictors],
) -> Packed:
    """The inverse. `predictors(online)` chooses between a frozen model and one that learns.

    Raises `UserError` when this is no such file, of another model, damaged, or cut off; what was written until then is to be
    thrown away.
    """
    header = source.read(len(MAGIC) + 2)
    if header[: len(MAGIC)] != MAGIC:
        raise UserError(f"this is no file that `letterwise compress` wrote: it begins with {header[: len(MAGIC)]!r}.")
    if len(header) < len(MAGIC) + 2:
        raise damaged("it is cut off")
    if header[-2] != VERSION:
        raise UserError(
            f"this file has compression format {header[-2]}, and this Letterwise reads {VERSION}: upgrade Letterwise."
        )
    online, read, most = header[-1] == ONLINE, 0, 1
    made_by = take(source, BYTES)
    if made_by != model:
        raise UserError(
            f"this file was compressed with model {made_by.hex()}, and this is model {model.hex()}: name the one that "
            "it was made with."
        )
    if header[-1] not in (FROZEN, ONLINE):
        raise damaged(f"its mode is {header[-1]}")
    length, digest = take_number(source), take(source, DIGEST)
    seen = hashlib.sha256()
    fresh = predictors(online)
    same = fresh(1) if online else None
    while read < length:
        size, chars, streams, escapes, bits = (take_number(source) for _ in range(5))
        sound = 0 < size <= min(BLOCK, length - read) and chars <= size and escapes <= size * (1 + PARTS_AT_MOST)
        if not sound or not 1 <= streams <= (1 if online else STREAMS_AT_MOST) or bits > 8 * size + 64 or bits % 4:
            raise damaged(f"a block claims {size} bytes in {chars} characters")
        checksum, extra, packed = take(source, 4), take(source, escapes), take(source, bits)
        ids = decode(same or fresh(streams), packed, chars, streams, len(vocabulary))
        try:
            content = unspell(Spelled(ids, extra), vocabulary, size)
        except ValueError as error:
            raise damaged(str(error)) from error
        if zlib.crc32(content).to_bytes(4, "little") != checksum:
            raise damaged(f"the checksum of bytes {read} to {read + size} is another")
        target.write(content)
        seen.update(content)
        read, most = read + len(content), max(most, streams)
    if read != length or seen.digest()[:DIGEST] != digest or source.read(1):
        raise damaged("its digest is another, or something follows its end")
    return Packed(length, source.tell(), most)


def measure(source: BinaryIO) -> tuple[int, bytes]:
    """Length and digest of a content; it stands at its beginning again."""
    length, seen = 0, hashlib.sha256()
    source.seek(0)
    while chunk := source.read(CHUNK):
        length += len(chunk)
        seen.update(chunk)
    source.seek(0)
    return length, seen.digest()[:DIGEST]


def blocks(source: BinaryIO) -> Iterator[bytes]:
    """The content in blocks that end with a whole character of UTF-8, where it is that."""
    held = b""
    while True:
        held += source.read(BLOCK - len(held))
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


def take_number(source: BinaryIO) -> int:
    """A number of up to 9 bytes (see `to_varint`)."""
    told = b""
    while not told or told[-1] >= 0x80:
        told += take(source, 1)
        if len(told) > NUMBER_AT_MOST:
            raise damaged("a number is too long")
    return from_varint(told, 0)[0]


def damaged(why: str) -> UserError:
    """The sentence for a file that does not come back."""
    return UserError(
        f"this compressed file is damaged, or comes from a machine that calculates differently: {why}. Restore it from a copy."
    )
