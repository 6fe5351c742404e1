"""Backend: a model as the kernel reads it. What writing on a CPU runs on.

tokens (row, place, id) ──NgramReader──▶ what counts say ──kernel──▶ logits (V,) of what follows those that are wanted
                                                      └─decode──▶ characters, one after another
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from letterwise.config import ModelConfig
from letterwise.inference.backend import CHUNK, Draw
from letterwise.inference.constraints.language.dfa import END
from letterwise.inference.cpu import decode, kernel
from letterwise.inference.cpu.dfa_tables import DFATables
from letterwise.inference.cpu.layout import aligned, bricks_of, lay_out
from letterwise.inference.cpu.matmul import LANES, padded
from letterwise.inference.cpu.threads import Team
from letterwise.inference.sampling.filters import FILTERS
from letterwise.machine import processors
from letterwise.ngrams import Counts
from letterwise.ngrams.reader import NgramReader, Tables, tables

WORTH_A_THREAD = 2**22  # products of a piece of work: with fewer for each thread, waking it takes longer than the work
AT_ONCE = 2**29  # products of what is written at once: some 40 ms, after which Ctrl-C is heard and text is shown
CHARACTERS_AT_ONCE = 128
COMPANY = 5  # texts side by side take about as long as one more alone, which has all weights to itself
NO_COUNTS = Tables(*(np.zeros(2, kind) for kind in (np.int64, np.int64, np.uint32, np.float32, np.float32)))  # never read
NO_DRAWS = decode.Draws(
    np.zeros(0, np.int64), np.zeros(0, FILTERS), np.zeros((0, 0), np.float32), np.zeros((0, 0)), np.zeros(0, np.int32),
    np.zeros((0, 0), np.int64), np.zeros((0, 0), np.int64), np.zeros((0, 0), bool), np.zeros(0, np.int64),
)  # fmt: skip


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

    def cache(self, rows: int) -> "CompiledCache":
        """Room for so many texts."""
        return CompiledCache(self, rows)


class CompiledCache:
    """What the kernel keeps of the texts in some rows: keys, values, and their places in the counts. See `backend.Cache`."""

    def __init__(self, backend: CompiledBackend, rows: int) -> None:
        bricks = backend.bricks
        self.backend = backend
        # heads a power of two apart would share a few places of the processor's cache: so they are a line further apart
        each = padded(bricks.block_size) * padded(bricks.head_dim) + LANES
        self.held = aligned(bricks.layers, rows, 2, bricks.kv_heads, each)
        self.reader = NgramReader(backend.tables, rows)
        self.scratch = aligned(2, backend.team.threads, kernel.scratch_size(bricks, CHUNK))
        self.prior = np.zeros((CHUNK, bricks.orders, backend.vocab_size + 1), np.float32)
        self.dfas = DFATables()

    def begin(self, row: int, before: Sequence[int]) -> None:
        """A window begins at place 0, with `before` before it, which only counts see."""
        if self.backend.bricks.orders:
            self.reader.begin(row, before)

    def read(self, tokens: Int[np.ndarray, "N 3"], wanted: Int[np.ndarray, "W"], logits: Float[np.ndarray, "n V"]) -> None:
        """Read at most `CHUNK` tokens. For the `wanted` ones, `logits[row]` is what follows."""
        if not decode.decode.compiled and len(tokens) > 1:  # one by one, as it may be compiled from one to the next
            self.read(tokens[:1], wanted[wanted == 0], logits)
            self.read(tokens[1:], wanted[wanted > 0] - 1, logits)
            return
        self._run(1, tokens, wanted, logits, True, NO_DRAWS)

    def at_once(self, rows: int) -> int:
        """How many characters to draw before looking around."""
        if not decode.decode.compiled:
            return 1
        return max(1, min(CHARACTERS_AT_ONCE, AT_ONCE // (len(self.backend.numbers) * (1 + rows // COMPANY))))

    def draw(
        self, draws: Sequence[Draw], logits: Float[np.ndarray, "n V"], unread: bool
    ) -> tuple[Int[np.ndarray, "R n"], Bool[np.ndarray, "R n"]]:
        """Draw characters for at most `CHUNK` rows, and read all but the last of each."""
        shape, guides = (len(draws), draws[0].n), [draw.guide for draw in draws]
        uniforms = np.zeros(shape)
        for row, draw in zip(uniforms, draws, strict=True):
            row[: draw.n] = draw.state.uniforms(draw.n)
        tables, places = self.dfas.pack([guide.dfa if guide else None for guide in guides])
        states = [(guide.state, guide.left) if guide else (0, 0) for guide in guides]
        ways = [(*place, *state) for place, state in zip(places, states, strict=True)]
        asked = decode.Draws(
            np.array([draw.n for draw in draws]), np.array([draw.state.sampler.filters for draw in draws], FILTERS),
            np.array([draw.state.bias for draw in draws]), uniforms, tables, np.array(ways),
            np.full(shape, END), np.zeros(shape, bool), np.zeros(len(draws), np.int64),
        )  # fmt: skip
        tokens = np.array([(draw.row, draw.place, draw.id) for draw in draws])
        self._run(shape[1], tokens, np.arange(len(draws)), logits, unread, asked)
        return asked.ids, asked.drawn

    def _run(
        self, steps: int, tokens: np.ndarray, wanted: np.ndarray, logits: np.ndarray, unread: bool, draws: decode.Draws
    ) -> None:
        """By as many threads as it pays for."""
        model = self.backend
        model.team.run(
            decode.decode, len(tokens) * len(model.numbers), steps,
            model.bricks, model.numbers, self.held, self.scratch, model.tables, self.reader.states, tokens, self.prior, wanted,
            logits, unread, draws,
        )  # fmt: skip

    def copy(self, row: int, other: "CompiledCache", theirs: int) -> None:
        """A row goes on from where a row of another cache of this model is."""
        self.held[:, row] = other.held[:, theirs]
        self.reader.states[row] = other.reader.states[theirs]
