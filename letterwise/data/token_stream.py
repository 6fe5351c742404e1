"""Token stream: a text as ids, and where its parts end.

ids (N,), memory-mapped ──part("train")──▶ a view of them        ──keeping_back──▶ the same, with less of it to train on
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from letterwise.data.vocabulary import Tally, Vocabulary
from letterwise.errors import UserError

PARTS = ("all", "train", "val", "test")


@dataclass(frozen=True)
class TokenStream:
    """An encoded text: read-only ids (N,), and where its parts end: training, validation, test.

    `sources` are what it was made from: absolute paths, "-", or "dataset:NAME". `folder` is where the ids lie. With `lines`,
    each line is an example, whole and with its line break in one part, and each part begins with the line break before its
    first line, which it shares. `tally` tells how many characters were skipped.

    The first `tuning` characters of the training part are kept back: `part("train")` lacks them, and nothing learns from them
    but what chooses among models that were trained. The last ones are the nearest to the validation part, and worth the most.
    """

    ids: np.ndarray
    vocabulary: Vocabulary
    fingerprint: str
    bounds: tuple[int, int, int]
    sources: tuple[str, ...]
    folder: Path
    lines: bool = False
    tally: Tally = field(default_factory=Tally)
    tuning: int = 0

    @property
    def line_break(self) -> int | None:
        """The id that each example begins after, where they are lines."""
        return self.vocabulary.line_break if self.lines else None

    def part(self, name: str) -> np.ndarray:
        """A part's ids, as a view; may be empty. Raises `UserError` for a name that is none."""
        train, val, test = self.bounds
        spans = {"all": (0, test), "train": (self.tuning, train), "val": (train, val), "test": (val, test)}
        if name not in spans:
            raise UserError(f"split {name!r} is not known: it is one of {', '.join(PARTS)}.")
        start, end = spans[name]
        return self.ids[max(0, start - self.lines) : end]

    @property
    def tuning_part(self) -> np.ndarray:
        """The beginning of the training part that is kept back; empty where nothing is."""
        return self.ids[: self.tuning]

    def keeping_back(self, share: float) -> "TokenStream":
        """The same text, with a share of its training part, at the beginning, kept back: of lines, whole ones, and all copies
        of each, which stand side by side (lines.py).
        """
        chars = round(share * self.bounds[0])
        if chars and self.lines:
            cuts = np.flatnonzero(self.ids[:chars] == self.line_break) + 1
            while len(cuts) > 1 and self._repeated(cuts[-2], cuts[-1]):
                cuts = cuts[:-1]
            chars = int(cuts[-1]) if len(cuts) else 0
        return replace(self, tuning=chars)

    def _repeated(self, start: int, end: int) -> bool:
        """Whether what stands between these places stands behind them once more."""
        return np.array_equal(self.ids[start:end], self.ids[end : 2 * end - start])
