"""Compiled backend: a model, or an ensemble, as the kernel reads it, for writing on a CPU.

tokens (row, position, id) ──kernel──▶ logits (V,) of what follows those that are wanted
                           ──decode──▶ characters, one after another
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from letterwise.checkpoint.model_file import Member
from letterwise.compiling.arguments import Packed
from letterwise.config import ModelConfig
from letterwise.inference.backend import CHUNK, Draw
from letterwise.inference.constraints.cache import constraint_cache
from letterwise.inference.constraints.language.dfa import END
from letterwise.inference.cpu import decode, kernel
from letterwise.inference.cpu.dfa_tables import DFATables
from letterwise.inference.cpu.layout import aligned, kernel_config, pack_weights
from letterwise.inference.cpu.matmul import LANES, padded
from letterwise.inference.cpu.threads import ThreadPool
from letterwise.inference.sampling.filters import FILTERS
from letterwise.machine import processors
from letterwise.ngrams import Counts
from letterwise.ngrams.contexts.reader import context_tables
from letterwise.ngrams.reader import NgramReader, Tables, tables
from letterwise.shapes import Bool, Float, Int

MIN_WORK = 2**22  # products: with fewer for each thread, waking it takes longer than they do
MAX_WORK = 2**29  # products of one call: some 40 ms, after which Ctrl-C is heard and text is shown
MAX_STEPS, MAX_TOKENS = 128, 2**12  # of one call
ROUND = 4  # many texts together may take so many times as long as a few
CACHED = 2**22  # weights of at most so many numbers stay in the processor's cache: then each thread may read all of them
TOGETHER, KEPT = 12, 5 * 2**17  # of so many texts, and so many numbers of theirs, what is kept stays in the processor's cache
SIDE_BY_SIDE = 3  # vectors of a product (matmul.py)
ROWS_PER_PASS = 5  # so many more texts side by side take about as long as one alone
NO_COUNTS = Tables(
    *(np.zeros(2, kind) for kind in (np.int64, np.int64, np.uint32, np.float32, np.float32)), context_tables(None)
)  # never read
NO_DRAWS = decode.Draws(
    np.zeros(0, np.int64), np.zeros(0, FILTERS), np.zeros((0, 0), np.float32), np.zeros((0, 0)), np.zeros(0, np.int32),
    np.zeros((0, 0), np.int64), np.zeros((0, 0), np.int64), np.zeros((0, 0), bool), np.zeros(0, np.int64),
)  # fmt: skip
READING = Packed(NO_DRAWS)


class CompiledBackend:
    """A model's weights and counts, as the kernel reads them."""

    def __init__(
        self,
        config: ModelConfig,
        vocab_size: int,
        arrays: dict[str, np.ndarray],
        counts: Counts | Tables | None = None,
        line_break: int | None = None,
    ) -> None:
        """`arrays` are the weights as a model file names them; `line_break` is for a model of lines.

        `counts` may be in the reader's order already, to be shared.
        """
        self.config, self.vocab_size, self.line_break = config, vocab_size, line_break
        self.networks: tuple[ModelConfig, ...] = (config,)
        self.constraints = constraint_cache()
        self.kernel = kernel_config(config, vocab_size)
        self.weights = pack_weights(config, self.kernel, arrays)
        self.threads = ThreadPool(processors(), MIN_WORK)
        if counts and not isinstance(counts, Tables) and self.kernel.orders:
            counts = tables(counts)
        self.tables = counts if isinstance(counts, Tables) and self.kernel.orders else NO_COUNTS
        self.model = Packed((tuple(self.kernel), self.weights, tuple(self.tables)))
        self.size, self.shares = len(self.weights), (np.float32(1),)

    @property
    def members(self) -> "tuple[CompiledBackend, ...]":
        """What reads: itself alone."""
        return (self,)

    def cache(self, rows: int) -> "CompiledCache":
        """Room for so many texts."""
        return CompiledCache(self, rows)


class CompiledEnsemble:
    """Several models over one vocabulary, with one context, whose logits are added up, each with a weight."""

    def __init__(self, members: Sequence[CompiledBackend], weights: Sequence[float]) -> None:
        first = next((member for member in members if member.config.counts_order), members[0])
        self.config, self.vocab_size, self.line_break = first.config, first.vocab_size, first.line_break
        self.threads, self.constraints = first.threads, first.constraints
        self.networks: tuple[ModelConfig, ...] = tuple(member.config for member in members)
        self.members, self.shares = tuple(members), tuple(np.array(weights, np.float32))
        self.size = sum(member.size for member in members)

    def cache(self, rows: int) -> "CompiledCache":
        """Room for so many texts."""
        return CompiledCache(self, rows)


def compiled_backend(
    networks: Sequence[Member], vocab_size: int, counts: Counts | None = None, line_break: int | None = None
) -> CompiledBackend | CompiledEnsemble:
    """A model, whose lone network is of weight 1, or an ensemble."""
    known = tables(counts) if counts else None
    members = [CompiledBackend(each.model, vocab_size, each.weights, known, line_break) for each in networks]
    weights = [network.weight for network in networks]
    return members[0] if weights == [1.0] else CompiledEnsemble(members, weights)


class MemberCache:
    """What the kernel keeps for one member: keys, values, where texts are in the counts; and room to compute in."""

    def __init__(self, backend: CompiledBackend, rows: int, threads: int) -> None:
        config = backend.kernel
        # heads a power of two apart would share a few places of the processor's cache: so they are a line further apart
        head = padded(config.block_size) * padded(config.head_dim) + LANES
        self.kv = aligned(config.layers, rows, 2, config.kv_heads, head)
        # heads as whole things: NumPy copies so few without releasing Python's lock
        self.heads = self.kv.view(f"V{4 * head}")[..., 0]
        self.orders, self.reader = config.orders, NgramReader(backend.tables, rows)
        prior = np.zeros((threads, CHUNK, config.orders, backend.vocab_size + 1), np.float32)
        numbers = aligned(2, threads, kernel.scratch_size(config, CHUNK))
        self.arrays = backend.model, Packed((self.kv, self.reader.states)), Packed((numbers, prior))

    def copy(self, row: int, other: "MemberCache", other_row: int) -> None:
        """A row goes on from where a row of another cache of this member is."""
        self.heads[:, row] = other.heads[:, other_row]
        self.reader.states[row] = other.reader.states[other_row]


class CompiledCache:
    """What the kernel keeps of the texts in some rows, member by member. See `backend.Cache`."""

    tokens_at_once = MAX_TOKENS

    def __init__(self, backend: CompiledBackend | CompiledEnsemble, rows: int) -> None:
        threads, size = backend.threads.threads, backend.vocab_size
        self.backend, self.rows_at_once = backend, rows if backend.size <= CACHED else TOGETHER
        self.members = [MemberCache(member, rows, threads) for member in backend.members]
        shares = zip(self.members, backend.shares, strict=True)
        self.packed = Packed(Packed((*member.arrays, share)) for member, share in shares)
        room = [np.zeros((threads, size), kind) for kind in (np.int64, np.float64, np.float64)]  # a `Room` each
        summand = np.zeros((rows if len(self.members) > 1 else 0, size), np.float32)
        self.rooms = Packed((np.zeros((threads, CHUNK), np.int64), summand, np.zeros((threads, size), np.float32), *room))
        self.dfas = DFATables()

    def begin(self, row: int, before: Sequence[int]) -> None:
        """A window begins at place 0, with `before` before it, which only counts see."""
        for member in self.members:
            if member.orders:
                member.reader.begin(row, before)

    def read(self, tokens: Int[np.ndarray, "N 3"], wanted: Int[np.ndarray, "W"], logits: Float[np.ndarray, "n V"]) -> None:
        """Read some tokens, a text's behind each other. For the `wanted` ones, `logits[row]` is what follows."""
        if len(tokens) == 1:
            self._run(tokens, wanted, logits, NO_DRAWS, True, [0, 1])
            return
        if not decode.decode.compiled:  # one by one, as it may be compiled from one to the next
            for i in range(len(tokens)):
                self._run(tokens[i : i + 1], wanted[wanted == i] - i, logits, NO_DRAWS, True, [0, 1])
            return
        groups, texts = [0], (np.flatnonzero(np.diff(tokens[:, 0])) + 1).tolist()
        if self._apart(len(texts) + 1):
            most = min(CHUNK, max(TOGETHER, len(tokens) // (4 * self.backend.threads.threads)))
            for start, end in pairwise([*texts, len(tokens)]):
                if end - groups[-1] > most:
                    groups.append(start)
        self._run(tokens, wanted, logits, NO_DRAWS, True, [*groups, len(tokens)])

    def at_once(self, rows: int) -> int:
        """How many characters to draw before looking around."""
        if not decode.decode.compiled:
            return 1
        some = 1 + min(rows, TOGETHER) // ROWS_PER_PASS
        most = min(MAX_STEPS, MAX_WORK // (self.backend.size * some))
        return max(1, min(most, ROUND * most * TOGETHER // rows))

    def draw(
        self, draws: Sequence[Draw], logits: Float[np.ndarray, "n V"], unread: bool
    ) -> tuple[Int[np.ndarray, "R n"], Bool[np.ndarray, "R n"]]:
        """Draw characters for some rows, and read all but the last of each."""
        shape, guides = (len(draws), draws[0].n), [draw.guide for draw in draws]
        uniforms = np.zeros(shape)
        for row, draw in zip(uniforms, draws, strict=True):
            row[: draw.n] = draw.state.uniforms(draw.n)
        tables, positions = self.dfas.pack([guide.dfa if guide else None for guide in guides])
        states = [(guide.state, guide.left) if guide else (0, 0) for guide in guides]
        guided = [(*position, *state) for position, state in zip(positions, states, strict=True)]
        drawing = decode.Draws(
            np.array([draw.n for draw in draws]), np.array([draw.state.sampler.filters for draw in draws], FILTERS),
            np.array([draw.state.bias for draw in draws]), uniforms, tables, np.array(guided),
            np.full(shape, END), np.zeros(shape, bool), np.zeros(len(draws), np.int64),
        )  # fmt: skip
        tokens = np.array([(draw.row, draw.position, draw.id) for draw in draws])
        some = self._together(draws) if self._apart(len(draws)) else len(draws)
        self._run(tokens, NO_DRAWS.lengths, logits, drawing, unread, [*range(0, len(draws), some), len(draws)])
        return drawing.ids, drawing.drawn

    def _together(self, draws: Sequence[Draw]) -> int:
        """How many of these texts a thread draws for, side by side, before it goes on to others."""
        share = -(-len(draws) // self.backend.threads.threads)
        places = sum(draw.position + draw.n for draw in draws) / (len(draws) * self.backend.config.block_size)
        groups = KEPT / max(
            1, places * sum(member.kv[:, 0].size for member in self.members) * SIDE_BY_SIDE
        )  # a model of nothing but counts keeps nothing
        return min(share, TOGETHER, max(1, int(groups)) * SIDE_BY_SIDE)

    def _apart(self, texts: int) -> bool:
        """Is each thread to work at other texts?"""
        return texts >= 2 * self.backend.threads.threads and self.backend.size <= CACHED

    def _run(
        self, tokens: np.ndarray, wanted: np.ndarray, logits: np.ndarray, draws: decode.Draws, unread: bool, groups: list[int]
    ) -> None:
        """Read tokens, or draw behind them, with as many threads as it pays for."""
        backend = self.backend
        task = Packed((
            self.packed, tokens, wanted, logits, self.rooms,
            READING if draws is NO_DRAWS else tuple(draws), unread, np.array(groups),
        ))  # fmt: skip
        steps = max(1, draws.ids.shape[1])
        backend.threads.run(decode.decode, len(tokens) * backend.size, steps, task, apart=len(groups) > 2)

    def copy(self, row: int, other: "CompiledCache", other_row: int) -> None:
        """A row goes on from where a row of another cache of this model is."""
        for mine, theirs in zip(self.members, other.members, strict=True):
            mine.copy(row, theirs, other_row)
