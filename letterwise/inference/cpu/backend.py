"""Backend: a model as the kernel reads it. What writing on a CPU runs on.

rows (text, place, id) ──NgramReader──▶ what counts say ──kernel──▶ logits (V,) of what follows the rows that are wanted
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from letterwise.config import ModelConfig
from letterwise.inference.constraints.language.dfa import DFA, END, NO_DFA
from letterwise.inference.cpu import kernel
from letterwise.inference.cpu.layout import aligned, bricks_of, lay_out
from letterwise.inference.cpu.matmul import LANES, padded
from letterwise.inference.cpu.threads import Team
from letterwise.inference.engine import ROWS
from letterwise.inference.sampling.filters import Filters
from letterwise.inference.sampling.sampler import Sampler
from letterwise.machine import processors
from letterwise.ngrams import Counts
from letterwise.ngrams.reader import NgramReader, Tables, tables

WORTH_A_THREAD = 2**22  # products of a piece of work: with fewer for each thread, waking it takes longer than the work
AT_ONCE = 2**29  # products of what is written at once: some 40 ms, after which Ctrl-C is heard and text is shown
CHARACTERS_AT_ONCE = 128
COMPANY = 5  # texts side by side take about as long as one more alone, which has all weights to itself
NO_COUNTS = Tables(*(np.zeros(2, kind) for kind in (np.int64, np.int64, np.uint32, np.float32, np.float32)))  # never read
NO_FILTERS = Sampler().filters


class CompiledBackend:
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
        self.team = Team(processors(), WORTH_A_THREAD)
        self.tables = tables(counts) if counts and self.bricks.orders else NO_COUNTS

    def cache(self, texts: int) -> "CompiledCache":
        """Room for so many texts."""
        return CompiledCache(self, texts)


class CompiledCache:
    """What the kernel keeps of some texts: keys, values, and their places in the counts."""

    def __init__(self, model: CompiledBackend, texts: int) -> None:
        bricks = model.bricks
        self.model = model
        # heads a power of two apart would share a few places of the cache: so they are a line further apart
        each = padded(bricks.block_size) * padded(bricks.head_dim) + LANES
        self.held = aligned(model.config.n_layer, texts, 2, bricks.kv_heads, each)
        self.reader = NgramReader(model.tables, bricks.orders, texts)
        self.scratch = aligned(2, model.team.threads, kernel.scratch_size(bricks, ROWS))
        self.prior = np.zeros((ROWS, bricks.orders, model.vocab_size + 1), np.float32)

    def begin(self, text: int, before: Sequence[int]) -> None:
        """A text begins anew at place 0, with `before` before it, which only counts see."""
        if self.model.bricks.orders:
            self.reader.begin(text, before)

    def read(self, rows: Int[np.ndarray, "R 3"], wanted: Int[np.ndarray, "W"], logits: Float[np.ndarray, "n V"]) -> None:
        """Read at most 64 rows of (text, place, id), one text's in order. For the `wanted`, `logits[text]` is what follows."""
        if not kernel.write.compiled and len(rows) > 1:  # row by row, as it may be compiled from one to the next
            self.read(rows[:1], wanted[wanted == 0], logits)
            self.read(rows[1:], wanted[wanted > 0] - 1, logits)
            return
        none = np.zeros((len(rows), 0), np.int64)
        ways = NO_FILTERS, none.astype(np.float32), none.astype(np.float64), True, NO_DFA, none, none, none.astype(bool)
        self._together(len(rows), 1, rows, wanted, logits, *ways)

    def write(
        self,
        rows: Int[np.ndarray, "R 3"],
        logits: Float[np.ndarray, "n V"],
        filters: Filters,
        bias: Float[np.ndarray, "R V"],
        uniforms: Float[np.ndarray, "R c"],
        unread: bool,
        dfa: DFA,
        walks: Int[np.ndarray, "R 2"],
    ) -> tuple[Int[np.ndarray, "R c"], Bool[np.ndarray, "R c"]]:
        """Draw c characters for each of at most 64 texts, and read all but the last. -1 stands for scores that are NaN.

        `rows` are the texts, their next places, and the ids to read there first, if they are `unread`: else `logits` are what
        comes next. `uniforms` are what each character is drawn with; told is, too, which of them were used. `walks` are the
        texts' states in the DFA, and the characters left: a text at its end has dfa.END from there on.
        """
        ids, drawn = np.full(uniforms.shape, END), np.zeros(uniforms.shape, bool)
        ways = filters, bias, uniforms, unread, dfa, walks, ids, drawn
        self._together(len(rows), ids.shape[1], rows, np.arange(len(rows)), logits, *ways)
        return ids, drawn

    def at_once(self, texts: int) -> int:
        """How many characters to write before looking around."""
        if not kernel.write.compiled:
            return 1
        return max(1, min(CHARACTERS_AT_ONCE, AT_ONCE // (len(self.model.numbers) * (1 + texts // COMPANY))))

    def _together(self, texts: int, times: int, rows: np.ndarray, *arguments: object) -> None:
        """By as many threads as it pays for."""
        model, turns = self.model, np.zeros(texts, np.int64)
        model.team.run(
            kernel.write, texts * len(model.numbers), times,
            model.bricks, model.numbers, self.held, self.scratch, model.tables, self.reader.states, rows, self.prior,
            *arguments, turns,
        )  # fmt: skip

    def copy(self, text: int, other: "CompiledCache", theirs: int) -> None:
        """Text `text` goes on from where text `theirs` of another memory is."""
        self.held[:, text] = other.held[:, theirs]
        self.reader.states[text] = other.reader.states[theirs]
