"""Windows: texts being read side by side, each in its own row and at its own position. The policy for a full context.

    row ▸ pending ids ──read──▶ logits (V,) of the character after them       any chunking, in any batch: the same logits

A text may be longer than the context. When the context is full, a new window begins on the last half of it, so every
prediction sees at least half a context (as evaluation's protocol `sliding` does at that stride). Windows begin at fixed
positions of the text, whatever the chunking. Re-reading half a window every half window keeps the cost of a character
constant however long the text grows, and works with every encoding of positions, learned ones included. Counts need only the
last characters, so they read straight through.

A model of lines begins a new window with each line break that it reads, and knows nothing of what was before. When nothing was
read yet, it stands after a line break.
"""

from collections.abc import Collection, Iterator, Sequence
from itertools import chain

import numpy as np

from letterwise.inference.backend import Backend
from letterwise.shapes import Float

LONE = np.zeros(1, np.int64)  # the only token is wanted


class Windows:
    """Some rows, each with a text that is read.

    Attributes:
        pending: what each row was given and has not read.
        logits: what comes next in each (n, V), float32, once it is read; in a row that has read nothing, all alike.
        held: how many characters of its window each has read.
    """

    def __init__(self, backend: Backend, rows: int = 1) -> None:
        self.backend, self.cache = backend, backend.cache(rows)
        self.block_size, self.line_break = backend.config.block_size, backend.line_break
        self.kept, self.reach = self.block_size // 2, backend.config.counts_reach
        self.history: list[list[int]] = [[] for _ in range(rows)]  # each window's ids, and the few before that counts see
        self.held = [0] * rows
        self.pending = {} if self.line_break is None else {row: [self.line_break] for row in range(rows)}
        self.logits: Float[np.ndarray, "n V"] = np.zeros((rows, backend.vocab_size), np.float32)

    def begin(self, row: int) -> None:
        """A new text, of which nothing was read."""
        self.history[row], self.held[row], self.logits[row] = [], 0, 0.0
        self.pending.pop(row, None)
        self.cache.begin(row, [])
        if self.line_break is not None:
            self.pending[row] = [self.line_break]

    def read(self, some: Collection[int] | None = None) -> None:
        """Let each row, or some rows, read what they were given."""
        for _ in self.reading(some):
            pass

    def reading(self, some: Collection[int] | None = None, most: int = 2**31) -> Iterator[None]:
        """The same, at most so many characters at a time: others may be served between these."""
        rows = [row for row in self.pending if some is None or row in some]
        if not rows:
            return
        if len(rows) == 1 and self.goes_on(rows[0]):  # a character behind the others, as most often: nothing to sort out
            token = np.array([[rows[0], self.held[rows[0]], self.pending[rows[0]][0]]])
            self.note(rows[0], self.pending.pop(rows[0]))
            self.cache.read(token, LONE, self.logits)
            return
        taken = [self._take(row, self.pending.pop(row)) for row in rows]
        lengths = np.array([len(fresh) for _, fresh in taken], np.int64)
        ends, tokens = lengths.cumsum(), np.empty((lengths.sum(), 3), np.int64)
        tokens[:, 0] = np.repeat(rows, lengths)
        tokens[:, 1] = np.arange(len(tokens)) + np.repeat([first for first, _ in taken] - ends + lengths, lengths)
        tokens[:, 2] = np.fromiter(chain.from_iterable(fresh for _, fresh in taken), np.int64, len(tokens))
        wanted, step = ends - 1, min(self.cache.tokens_at_once, most)  # the last token of each row
        for start in range(0, len(tokens), step):
            if start:
                yield
            some = wanted[np.searchsorted(wanted, start) : np.searchsorted(wanted, start + step)]
            self.cache.read(tokens[start : start + step], some - start, self.logits)

    def goes_on(self, row: int) -> bool:
        """Has it one character to read, which fits its window?"""
        ids = self.pending.get(row, ())
        return len(ids) == 1 and ids[0] != self.line_break and self.held[row] < self.block_size

    def room(self, row: int) -> int:
        """How many more characters its window takes."""
        return self.block_size - self.held[row]

    def note(self, row: int, ids: Sequence[int]) -> None:
        """These were read in the cache, behind what the row had read."""
        self.history[row] += ids
        self.held[row] += len(ids)

    def _take(self, row: int, ids: list[int]) -> tuple[int, list[int]]:
        """Note the new ids. What has to be read, from which position on: more than these when a new window begins."""
        if self.line_break in ids:
            ids = ids[len(ids) - 1 - ids[::-1].index(self.line_break) :]
            self.history[row], self.held[row] = [], 0
            self.cache.begin(row, [])
        history, held = self.history[row], self.held[row]
        rolls = max(0, -(-(held + len(ids) - self.block_size) // (self.block_size - self.kept)))
        history += ids
        if not rolls:
            self.held[row] += len(ids)
            return held, ids
        begin = len(history) - len(ids) - held + rolls * (self.block_size - self.kept)
        fresh = history[begin:]
        del history[: max(0, begin - self.reach)]
        self.held[row] = len(fresh)
        self.cache.begin(row, history[: len(history) - len(fresh)])
        return 0, fresh

    def copy(self, row: int, other: "Windows", other_row: int) -> None:
        """A row goes on from where a row of other windows is."""
        if other_row in other.pending:
            other.read()
        self.pending.pop(row, None)
        self.cache.copy(row, other.cache, other_row)
        self.history[row], self.held[row] = other.history[other_row][:], other.held[other_row]
        self.logits[row] = other.logits[other_row]
