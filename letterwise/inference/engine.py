"""Engine: texts written side by side. They join and leave at any character, and each is written as it would be alone.

    join ──▶ Sequence ──feed(prompt), begin(sampler, limits)──▶ step step step … ──▶ collect ids, until it has ended ──▶ leave
                                   ▲ ids                            │ what may follow: DFA, Guide, penalties, CopyLimit
                                   └────────────────────────────────┘

Every sequence has a state of its own: sampler, random numbers, penalties, guide, length, time. One `step` takes all of them
further. What needs only the model's logits and a DFA is drawn by the backend, many characters at a time, first one, then more.
What depends on the text so far (penalties, guides that are no DFA, copies) is checked here between any two characters, for as
long as the others took. Equal seeds write equal text in any batch, to the last bit on the compiled backend.
"""

import math
import time
from collections import abc
from typing import Literal
from weakref import WeakValueDictionary

import numpy as np

from letterwise.compiling.clock import clock
from letterwise.data.vocabulary import require_ids
from letterwise.errors import Diverged, finite
from letterwise.inference.backend import Backend, Draw
from letterwise.inference.constraints.dfa_guide import DFAGuide
from letterwise.inference.constraints.guide import Guide
from letterwise.inference.constraints.language.dfa import END
from letterwise.inference.sampling.copies import CopyLimit
from letterwise.inference.sampling.filters import FILTERS, room_for
from letterwise.inference.sampling.penalties import PENALTIES, draw_penalized
from letterwise.inference.sampling.sampler import SamplerState
from letterwise.inference.windows import Windows
from letterwise.shapes import Bool, Float, Integer

AHEAD, FASTER = 2**20, 4  # characters in one step at most; a step may have so many times those of the one before
SequenceEnd = Literal["", "length", "match", "time"]
Watch = abc.Callable[[int, Float[np.ndarray, "V"]], None]  # takes an id, and the logits (V,) before it
WATCHED_S = 0.02  # texts that are looked at between any two characters have so much of a step, or what the others took
TRIES = 3  # characters that lead nowhere before the known way to the end is taken


class Engine:
    """Room for some sequences. One that nobody holds any more has left."""

    def __init__(self, backend: Backend, rows: int = 1) -> None:
        self.backend, self.rows, self.windows = backend, rows, Windows(backend, rows)
        self.sequences: WeakValueDictionary[int, Sequence] = WeakValueDictionary()  # by row

    @property
    def free(self) -> int:
        """How many more may join."""
        return self.rows - len(self.sequences)

    def join(self) -> "Sequence":
        """A new sequence, which has read nothing, in the lowest free row."""
        return Sequence(self.backend, self)

    def step(self) -> None:
        """Take every sequence that is being written further: by a character at least, or to its end.

        What goes wrong in one is raised where its ids are collected, and hurts no other.
        """
        writing, begun = [s for s in self.sequences.values() if s.writing and s.plan()], time.perf_counter()
        drawn, watched = [s for s in writing if s.free], [s for s in writing if not s.free]
        size, most = self.windows.cache.rows_at_once, self.windows.cache.at_once(max(1, len(drawn)))
        for first in range(0, len(drawn), size):
            self._draw(drawn[first : first + size], most)
        if watched:
            now = time.perf_counter()
            self._choose(watched, most, now + max(now - begun, WATCHED_S))

    def _choose(self, watched: "list[Sequence]", most: int, until: float) -> None:
        """Write those on of which something depends on the text so far, one character after another, for some time."""
        most = min(most, sorted(sequence.ahead for sequence in watched)[len(watched) // 4])  # few wait long for the others
        for sequence in watched:
            sequence.ahead = min(FASTER * sequence.ahead, AHEAD)
        while watched:
            self.windows.read({sequence.row for sequence in watched if sequence.undecided})
            penalized = [sequence for sequence in watched if sequence.penalized]
            if penalized:
                self._choose_penalized(penalized)
            for sequence in watched:
                if not sequence.penalized:
                    sequence.choose()
            most -= 1
            if most <= 0 or time.perf_counter() >= until:
                break
            watched = [sequence for sequence in watched if sequence.writing and sequence.plan()]

    def _choose_penalized(self, sequences: "list[Sequence]") -> None:
        """Write a character of each, which depends on penalties, and on nothing else of the text so far."""
        states, ids = [sequence.state for sequence in sequences], np.empty(len(sequences), np.int64)
        draw_penalized(
            self.windows.logits[[sequence.row for sequence in sequences]],
            np.array([state.bias for state in states]), np.array([state.counts for state in states]),
            np.array([state.sampler.penalties for state in states], PENALTIES),
            np.array([state.sampler.filters for state in states], FILTERS),
            np.array([state.sampler.uniform(state.generator) for state in states]), ids,
            (np.zeros(len(states[0].bias)), room_for(len(states[0].bias))),
        )  # fmt: skip
        for sequence, id in zip(sequences, ids.tolist(), strict=True):
            if id < 0:
                sequence.fail(Diverged())
            else:
                sequence.chose(id, False)

    def _draw(self, sequences: "list[Sequence]", most: int) -> None:
        """Draw characters for those that need nothing else."""
        windows, cache = self.windows, self.windows.cache
        unread = all(windows.goes_on(sequence.row) for sequence in sequences)
        if not unread:
            windows.read()
        counts = [min(s.left, s.ahead, windows.room(s.row) + (not unread)) for s in sequences]  # the last drawn is not read
        most = min(most, sorted(counts)[len(counts) // 4])  # few wait long for the others
        counts = [min(count, most) for count in counts]
        draws, reads = [], []
        for i in sorted(range(len(sequences)), key=lambda i: -counts[i]):
            row = sequences[i].row
            reads.append(windows.pending.pop(row) if unread else [])
            last = reads[-1][0] if unread else 0
            draws.append(Draw(row, windows.held[row], last, counts[i], sequences[i].state, sequences[i].dfa_guide))
        found, used = cache.draw(draws, windows.logits, unread)
        for draw, read, ids, numbers in zip(draws, reads, found.tolist(), used, strict=True):
            self._drawn(draw, read, ids[: draw.n], numbers[: draw.n])

    def _drawn(self, draw: Draw, read: list[int], ids: list[int], numbers: Bool[np.ndarray, "n"]) -> None:
        """Note what was drawn behind what was `read`, up to its end, and the random numbers that were not used for it."""
        windows, sequence = self.windows, self.sequences[draw.row]
        over, steps = END in ids, len(ids)
        if over:
            ids, steps = ids[: ids.index(END)], ids.index(END) + 1
        if windows.line_break in ids:  # what was drawn behind it knew of what is before it
            steps = ids.index(windows.line_break) + 1
            ids, over = ids[:steps], False
        draw.state.put_back(len(numbers) - int(numbers[:steps].sum()))
        if min(ids, default=0) < 0:
            sequence.fail(Diverged())
            return
        windows.note(draw.row, [*read, *ids] if over else [*read, *ids[:-1]])
        sequence.drew(ids, over)


class Sequence:
    """One text in a row of an engine: what it reads, and how it is written on.

    Attributes:
        ended: "" while it is written; then why no more comes: "length", "match" (its guide lets nothing follow, or the model
            wants to leave it), or "time".
    """

    def __init__(self, backend: Backend, engine: Engine | None = None) -> None:
        """In an engine, or alone in one of its own. Raises `RuntimeError` when all rows of the engine are taken."""
        self.engine = engine or Engine(backend)
        taken = self.engine.sequences
        if len(taken) == self.engine.rows:
            raise RuntimeError(f"all {self.engine.rows} rows of this engine are taken: wait until a sequence leaves")
        self.row = next(row for row in range(self.engine.rows) if row not in taken)
        taken[self.row] = self
        self.engine.windows.begin(self.row)
        self.left = 0
        self.ended: SequenceEnd = ""
        self.error: Exception | None = None

    def read(self, ids: abc.Sequence[int] | Integer[np.ndarray, "n"]) -> Float[np.ndarray, "V"]:
        """Read on, and score what comes next: float32 logits (V,). With nothing to read, the last answer again."""
        self.feed(ids)
        return self.logits()

    def feed(self, ids: abc.Sequence[int] | Integer[np.ndarray, "n"]) -> None:
        """Note what is to be read. All sequences of an engine read together, when the first one's logits are needed.

        Raises `UserError` for ids outside the vocabulary.
        """
        new, vocab_size = list(map(int, ids)), self.engine.backend.vocab_size
        if new:
            if min(new) < 0 or max(new) >= vocab_size:
                require_ids(np.array(new), vocab_size)
            self.engine.windows.pending.setdefault(self.row, []).extend(new)

    def logits(self) -> Float[np.ndarray, "V"]:
        """What comes next: float32 logits (V,). Raises `Diverged` when they are NaN."""
        windows = self.engine.windows
        if self.row in windows.pending:
            windows.read()
        logits = windows.logits[self.row].copy()
        finite(float(logits.max()))
        return logits

    def fork(self, engine: Engine | None = None) -> "Sequence":
        """Another that has read the same, and reads on by itself: in this engine, or alone."""
        twin = Sequence(self.engine.backend, engine)
        twin.engine.windows.copy(twin.row, self.engine.windows, self.row)
        return twin

    def leave(self) -> None:
        """Give the row back; nothing more comes of this sequence."""
        if self.engine.sequences.get(self.row) is self:
            del self.engine.sequences[self.row]
            self.engine.windows.pending.pop(self.row, None)

    def begin(
        self,
        state: SamplerState,
        n: int,
        guide: Guide | None = None,
        copies: CopyLimit | None = None,
        max_seconds: float = math.inf,
        watch: Watch | None = None,
    ) -> None:
        """Write at most n characters behind what it was given to read, in the next steps of its engine.

        `watch` is called with each of them and the logits that it was drawn from.
        """
        self.state, self.left, self.guide, self.copies, self.watch = state, n, guide, copies, watch
        self.dfa_guide = guide if isinstance(guide, DFAGuide) else None
        self.until = clock() + max_seconds if max_seconds < math.inf else math.inf
        self.ahead, self.undecided = 1, False
        self.written: list[int] = []
        self.collected = 0
        self.ended = "" if n else "length"

    @property
    def writing(self) -> bool:
        """Is it to be written on?"""
        return self.left > 0 and not (self.ended or self.error)

    @property
    def free(self) -> bool:
        """Does its next character depend on the model's logits alone, and on a DFA?"""
        return self.guide is self.dfa_guide and self.copies is None and self.watch is None and self.state.free

    @property
    def penalized(self) -> bool:
        """Does it depend on penalties besides, and on nothing else?"""
        return self.guide is None and self.copies is None and self.watch is None and not self.state.free

    def collect(self) -> list[int]:
        """The ids that were written since the last time. Behind the last of them, raises what went wrong."""
        if self.error and self.collected == len(self.written):
            self.leave()
            raise self.error
        ids, self.collected = self.written[self.collected :], len(self.written)
        return ids

    def plan(self) -> bool:
        """Before a step: whether it is still to go on. Looks at the clock, and at what its guide lets follow."""
        try:
            if self.until < math.inf and clock() >= self.until:
                self.written += self.guide.completion() if self.guide else []
                self.ended = "time"
            elif self.free or self.guide is None:
                self.undecided = True
            else:
                self.allowed, self.accepting = self.guide.allowed(), self.guide.is_accepting()
                self.undecided = np.count_nonzero(self.allowed) > (0 if self.accepting or self.watch else 1)
        except Exception as error:
            self.fail(error)
        return self.writing

    def choose(self) -> None:
        """Write the next character, where it depends on the text so far."""
        try:
            guide = self.guide
            id = follow(guide, self.allowed, self.accepting, self._draw) if guide else self._draw(None)
            if id is None:
                self.ended = "match"
                return
            if self.watch:
                self.watch(id, self.logits())
            self.chose(id, guide is not None and guide.is_finished())
        except Exception as error:
            self.fail(error)

    def chose(self, id: int, over: bool) -> None:
        """Write a character that was chosen here; `over`: its guide ends the text there."""
        self.state.saw((id,))
        self.engine.windows.pending.setdefault(self.row, []).append(id)
        self._write([id], over)

    def _draw(self, may: Bool[np.ndarray, "V"] | None) -> int:
        """One of those that `may` follow, of all without: the only one, or one that is drawn."""
        if may is not None and np.count_nonzero(may) == 1:
            return int(may.argmax())
        scores = self.state.scores(self.logits())
        if may is not None:
            scores = np.where(may, scores, np.float32(-math.inf))
        if self.copies:
            scores = self.copies.masked(scores, self.written)
            if scores.max() == -math.inf:
                raise self.copies.refusal(self.written)
        return self.state.choose(scores)

    def drew(self, ids: list[int], over: bool) -> None:
        """Take what the backend drew and read, but for the last; `over`: its DFA ends the text there."""
        if self.dfa_guide:
            for id in ids:
                self.dfa_guide.advance(id)
            over = over or self.dfa_guide.is_finished()
        if not over:
            self.engine.windows.pending[self.row] = ids[-1:]
        self.ahead = min(FASTER * self.ahead, AHEAD)
        self._write(ids, over)

    def _write(self, ids: list[int], over: bool) -> None:
        self.written += ids
        self.left -= len(ids)
        self.ended = "match" if over else "" if self.left else "length"

    def fail(self, error: Exception) -> None:
        """It ends here; `collect` raises the error."""
        self.error = error


def follow(
    guide: Guide, may: Bool[np.ndarray, "V"], accepting: bool, draw: abc.Callable[[Bool[np.ndarray, "V"] | None], int]
) -> int | None:
    """The next id that the guide lets pass, or None for the end of the text.

    `may` (V,) is what it lets follow, `accepting` whether it lets the text end; `draw` gives one of those that may, or of all.
    """
    if accepting:  # the end is as likely as all that may not follow
        id = draw(None) if may.any() else None
        return id if id is not None and may[id] and guide.advance(id) else None
    for _ in range(TRIES):
        id = draw(may)
        if guide.advance(id):
            return id
        may[id] = False
    return guide.step_to_end()
