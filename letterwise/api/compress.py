"""Compress: any bytes, compressed by a model's predictions, and back.

bytes · a file · stdin ──compress──▶ packed ──decompress, by the same model──▶ the same bytes
"""

import io
from contextlib import AbstractContextManager
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, BinaryIO

from letterwise.api.loaded import LoadedModel
from letterwise.atomic import replacing
from letterwise.checkpoint.texts import own_text
from letterwise.config.file_names import local
from letterwise.progress import Progress
from letterwise.stdin import reading

if TYPE_CHECKING:
    from letterwise.compression import Packed, Predictors


Bytes = bytes | bytearray | memoryview


class Compressor(LoadedModel):
    """A model that compresses."""

    def compress(self, content: Bytes | str | PathLike[str], *, online: bool = False, primed: bool = False) -> bytes:
        """Any bytes, or the file of that name, compressed by this model's predictions.

        Args:
            content: bytes, or the path of a file.
            online: learn from what was read so far, on both sides: smaller, and slower.
            primed: the same, after reading the text that the model was trained on, which both sides need: smaller still.

        Raises:
            UserError: the file cannot be read; or, primed, the training text is gone.

        Example:
            >>> model.decompress(model.compress(b"The owl \\xff")) == b"The owl \\xff"
            True
        """
        packed = io.BytesIO()
        with opened(content) as source:
            self._compress(source, packed, online, primed)
        return packed.getvalue()

    def decompress(self, packed: Bytes | str | PathLike[str]) -> bytes:
        """The inverse of `compress`. Raises `UserError` when it is damaged, or another model's."""
        content = io.BytesIO()
        with opened(packed) as source:
            self._decompress(source, content)
        return content.getvalue()

    def compress_file(
        self,
        input_file: str | PathLike[str],
        output_file: str | PathLike[str],
        *,
        online: bool = False,
        primed: bool = False,
    ) -> "Packed":
        """The same from file to file, in memory that does not grow with them. The output is there whole or not at all."""
        with reading(local(input_file)) as source, replacing(local(output_file)) as target:
            return self._compress(source, target, online, primed)

    def decompress_file(self, input_file: str | PathLike[str], output_file: str | PathLike[str]) -> "Packed":
        """The inverse of `compress_file`."""
        with reading(local(input_file)) as source, replacing(local(output_file)) as target:
            return self._decompress(source, target)

    def _compress(self, source: BinaryIO, target: BinaryIO, online: bool, primed: bool = False) -> "Packed":
        from letterwise.compression import FROZEN, ONLINE, PRIMED, compress, fingerprint

        mode = PRIMED if primed else ONLINE if online else FROZEN
        return compress(source, target, self.vocabulary, fingerprint(self.file), self._predictors(mode), mode=mode)

    def _decompress(self, source: BinaryIO, target: BinaryIO) -> "Packed":
        from letterwise.compression import decompress, fingerprint

        return decompress(source, target, self.vocabulary, fingerprint(self.file), self._predictors)

    def _predictors(self, mode: int) -> "Predictors":
        """What predicts both ways: the model as it is, or as it learns, perhaps after its training text."""
        from letterwise.compression import FROZEN, PRIMED
        from letterwise.compression.frozen import Frozen

        if mode == FROZEN:
            return partial(Frozen, self.compiled)
        from letterwise.online import Online, beginning

        if mode != PRIMED:
            return lambda streams: Online(self.file)
        missing = "a primed archive is made and read beside the text that the model was trained on."
        begin = beginning(self.file, own_text(self.file, Progress().note, missing=missing).part("train"))
        return lambda streams: Online(self.file, begin)


def opened(content: Bytes | str | PathLike[str]) -> AbstractContextManager[BinaryIO]:
    """Bytes, or the file of that name, to be read."""
    return io.BytesIO(content) if isinstance(content, Bytes) else reading(local(content))
