"""Compiled: a model as the kernel reads it. What writing on a CPU runs on.

rows (text, place, id) ──Reader──▶ what counts say ──kernel──▶ logits (V,) of what follows the rows that are wanted
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from numba import get_num_threads

from letterwise.config import ModelConfig
from letterwise.counts import Counts
from letterwise.counts.reader import Reader, tables
from letterwise.inference import kernel
from letterwise.inference.predictor import ROWS
from letterwise.inference.weights import aligned, bricks_of, lay_out

WORTH_A_THREAD = 2**20  # products: with fewer for each, handing them out takes longer than doing them


class Compiled:
    """A model's weights and counts, in the kernel's order."""

    def __init__(
        self,
        config: ModelConfig,
        vocab_size: int,
        arrays: dict[str, np.ndarray],
        counts: Counts | None = None,
        line_break: int | None = None,
    ) -> None:
        """`arrays` are the weights as a model file names them; `line_break` is for a model of lines."""
        self.config, self.vocab_size, self.line_break = config, vocab_size, line_break
        self.bricks = bricks_of(config, vocab_size)
        self.numbers = lay_out(config, self.bricks, arrays)
        self.threads = get_num_threads()
        self.tables = tables(counts) if counts and self.bricks.orders else None

    def memory(self, texts: int) -> "Memory":
        """Room for so many texts."""
        return Memory(self, texts)


class Memory:
    """What the kernel keeps of some texts: keys, values, and their places in the counts."""

    def __init__(self, model: Compiled, texts: int) -> None:
        bricks = model.bricks
        self.model = model
        self.held = aligned(model.config.n_layer, texts, 2, bricks.kv_heads, bricks.block_size * bricks.head_dim)
        self.reader = Reader(model.tables, bricks.orders, texts) if model.tables else None
        self.scratch = aligned(kernel.scratch_size(bricks, ROWS))
        self.prior = np.zeros((ROWS, bricks.orders, model.vocab_size + 1), np.float32)

    def begin(self, text: int, before: Sequence[int]) -> None:
        """A text begins anew at place 0, with `before` before it, which only counts see."""
        if self.reader:
            self.reader.begin(text, before)

    def read(self, rows: Int[np.ndarray, "R 3"], wanted: Int[np.ndarray, "W"], logits: Float[np.ndarray, "n V"]) -> None:
        """Read at most 64 rows of (text, place, id), one text's in order. For the `wanted`, `logits[text]` is what follows."""
        model = self.model
        if self.reader:
            self.reader.read(rows, self.prior)
        threads = min(model.threads, max(1, len(rows) * len(model.numbers) // WORTH_A_THREAD))
        kernel.forward(model.bricks, model.numbers, self.held, self.scratch, rows, self.prior, wanted, logits, threads)

    def copy(self, text: int, other: "Memory", theirs: int) -> None:
        """Text `text` goes on from where text `theirs` of another memory is."""
        self.held[:, text] = other.held[:, theirs]
        if self.reader and other.reader:
            self.reader.states[text] = other.reader.states[theirs]
