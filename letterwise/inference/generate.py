"""Generate: a prompt in, text out, piece by piece as it is written.

prompt ──encode──▶ Sequence ──logits──▶ SamplerState ──id──▶ decoder ──▶ StopFinder ──▶ text
                       ▲                    ▲ │ what may follow
                       │              Guide, CopyLimit
                       └──────────────────id──┘
"""

import math
from collections import abc
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np

from letterwise.compiling.jit import clock
from letterwise.data.vocabulary import Unknown, Vocabulary
from letterwise.errors import UserError
from letterwise.inference.beam import likeliest
from letterwise.inference.constraints.constraint import constraint_for
from letterwise.inference.constraints.dfa_guide import DFAGuide
from letterwise.inference.constraints.guide import Guide
from letterwise.inference.constraints.limits import Limits
from letterwise.inference.engine import Backend, Engine, Sequence, cache_bytes
from letterwise.inference.sampling.copies import CopyLimit
from letterwise.inference.sampling.sampler import Sampler, SamplerState
from letterwise.inference.stop import StopFinder

if TYPE_CHECKING:
    from letterwise.data.suffix_array import Suffixes

Ended = Literal["", "length", "stop", "line", "match", "time"]
SIDE_BY_SIDE, MEMORY = 64, 2**30  # so many texts at once at most, with keys and values of so many bytes
TRIES = 3  # characters that lead nowhere before the known way to the end is taken


class Writing:
    """A text that is being written: iterate over its pieces. `ended` says at last what ended it.

    "length": num_tokens are written; "stop" and "line": the text says so; "match": the constraint is met; "time": max_seconds.
    """

    def __init__(
        self,
        sequence: Sequence,
        vocabulary: Vocabulary,
        ids: np.ndarray,
        sampler: Sampler,
        limits: Limits,
        rng_seed: int,
        copies: CopyLimit | None = None,
    ) -> None:
        """`sequence` has been given the prompt's `ids`."""
        self.sequence, self.vocabulary, self.limits, self.copies = sequence, vocabulary, limits, copies
        self.guide = constraint_for(vocabulary, limits).guide(limits.max_seconds) if limits.constrained else None
        self.state = SamplerState(sampler, vocabulary, rng_seed, limits.characters(vocabulary))
        self.state.saw(ids)
        self.walk = self.guide if isinstance(self.guide, DFAGuide) else None
        self.free = self.guide is self.walk and self.copies is None and self.state.free  # needs no look at what was written
        self.ended: Ended = ""
        self.pieces = self._search() if sampler.beam else self._write()
        if limits.num_tokens and not sampler.beam:  # now, and not at the first piece: in company, all ask before one is written
            self._ask()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        return next(self.pieces)

    def _write(self) -> Iterator[str]:
        """As it is drawn."""
        finder = StopFinder(self.limits.stop, self.limits.until_line)
        decoder = self.vocabulary.text_decoder()
        until = clock() + self.limits.max_seconds
        for ids in self._freely(until) if self.free else self._watched(until):
            if piece := finder.feed(decoder.feed(ids)):
                yield piece
            if finder.found:
                self.ended = finder.found
                return
        if piece := finder.feed(decoder.finish()) + finder.finish():
            yield piece

    def _freely(self, until: float) -> Iterator[list[int]]:
        """Some ids at a time, first one, then more and more."""
        left, most, walk = self.limits.num_tokens, 1, self.walk
        while left:
            if clock() >= until:
                self.ended = "time"
                if walk:
                    yield walk.completion()
                return
            ids, over = self.sequence.drawn()
            left, most = left - len(ids), 4 * most
            if walk:
                for id in ids:
                    walk.advance(id)
                over = over or walk.is_finished()
            if left and not over:  # before these are handed out: in company, all ask first
                self.sequence.ask(self.state, min(left, most), walk=walk)
            yield ids
            if over:
                self.ended = "match"
                return
        self.ended = "length"

    def _watched(self, until: float) -> Iterator[list[int]]:
        """Where what may follow, or its score, depends on what was written: one id at a time, up to the constraint's end."""
        guide, written = self.guide, []
        for left in range(self.limits.num_tokens, 0, -1):
            if clock() >= until:
                self.ended = "time"
                if guide:
                    yield guide.completion()
                return
            id = follow(guide, self.may, self.whole, self._draw) if guide else self._one(written)
            if id is None:
                self.ended = "match"
                return
            written.append(id)
            over = guide is not None and guide.is_finished()
            if left > 1 and not over:
                self.state.saw((id,))
                self.sequence.feed((id,))
                self._ask()  # before this one is handed out: in company, all ask first
            yield [id]
            if over:
                self.ended = "match"
                return
        self.ended = "length"

    def _ask(self) -> None:
        """Ask for a character to be drawn: where a guide has to be looked at, only if that leaves a choice."""
        if self.free:
            self.sequence.ask(self.state, 1, walk=self.walk)
        elif self.guide:
            self.may, self.whole = self.guide.allowed(), self.guide.is_accepting()
            if self.state.free and np.count_nonzero(self.may) > (0 if self.whole else 1):
                self.sequence.ask(self.state, 1, None if self.whole else self.may)

    def _draw(self, may: np.ndarray | None) -> int:
        """One of those that `may` follow, of all without: the only one, or one that is drawn."""
        if may is not None and np.count_nonzero(may) == 1:
            return int(may.argmax())
        if self.state.free:
            return self.sequence.one(self.state, may)
        scores = self._scores()
        return self.state.choose(scores if may is None else np.where(may, scores, np.float32(-math.inf)))

    def _scores(self) -> np.ndarray:
        """What comes next, with bias and penalties."""
        return self.state.scores(self.sequence.logits())

    def _one(self, written: abc.Sequence[int]) -> int:
        """The next id behind what is `written`, that would not copy too much."""
        scores = self._scores()
        if self.copies:
            scores = self.copies.masked(scores, written)
            if scores.max() == -math.inf:
                raise self.copies.refusal(written)
        return self.state.choose(scores)

    def _search(self) -> Iterator[str]:
        """The likeliest text, as a whole."""
        text, self.ended = likeliest(self.sequence, self.vocabulary, self.state, self.limits, self.guide, self.copies)
        yield text


def follow(guide: Guide, may: np.ndarray, whole: bool, draw: Callable[[np.ndarray | None], int]) -> int | None:
    """The next id that the guide lets pass, or None for the end of the text.

    `may` (V,) is what it lets follow, `whole` whether it lets the text end; `draw` gives one of those that may, or of all.
    """
    if whole:  # the end is as likely as all that may not follow
        id = draw(None) if may.any() else None
        return id if id is not None and may[id] and guide.advance(id) else None
    for _ in range(TRIES):
        id = draw(may)
        if guide.advance(id):
            return id
        may[id] = False
    return guide.step_to_end()


class Samples:
    """Continuations of one prompt, written side by side: iterate over (which, piece). `ended` says at last what ended each."""

    def __init__(self, prompt: Sequence, start: Callable[[Sequence, int], Writing], rng_seeds: abc.Sequence[int]) -> None:
        """`prompt` has been given what all begin with; `start` begins a text for a seed, from what its sequence has read."""
        self.prompt, self.start, self.rng_seeds = prompt, start, rng_seeds
        each = max(1, cache_bytes(prompt.engine.model.config))
        self.at_once = max(1, min(SIDE_BY_SIDE, len(rng_seeds), MEMORY // each))
        self.ended: list[Ended] = [""] * len(rng_seeds)
        self.writings = self._start(0)  # so that whatever cannot be is said at once

    def __iter__(self) -> Iterator[tuple[int, str]]:
        for first in range(0, len(self.rng_seeds), self.at_once):
            self.writings = self._start(first) if first else self.writings
            going = dict(enumerate(self.writings, first))
            while going:
                for i, writing in list(going.items()):
                    piece = next(writing, None)
                    if piece is None:
                        self.ended[i] = going.pop(i).ended
                    else:
                        yield i, piece

    def _start(self, first: int) -> list[Writing]:
        """The texts from `first` on that are written at once."""
        seeds = self.rng_seeds[first : first + self.at_once]
        if len(self.rng_seeds) == 1:
            return [self.start(self.prompt, *seeds)]
        model = self.prompt.engine.model
        engine, writings = Engine(model, len(seeds)), []
        for i, seed in enumerate(seeds):
            sequence = Sequence(model, engine, i)
            sequence.follow(self.prompt)
            writings.append(self.start(sequence, seed))
        return writings

    def texts(self) -> list[str]:
        """Each continuation as a whole."""
        texts = [""] * len(self.rng_seeds)
        for i, piece in self:
            texts[i] += piece
        return texts


def write(
    model: Backend,
    vocabulary: Vocabulary,
    prompt: str,
    *,
    sampler: Sampler,
    limits: Limits,
    rng_seeds: abc.Sequence[int] = (0,),
    unknown: Unknown = "error",
    training: "Suffixes | None" = None,
) -> Samples:
    """A continuation of `prompt`, without it, within `limits`, for each of `rng_seeds`: equal seeds write equal text.

    `limits.max_copy` looks at `training`, the training text.

    An empty prompt continues an imagined line break, where the vocabulary has one; else anything may come first.
    Raises `UserError` on unknown characters, senseless requests, and constraints that no text can meet.
    """
    if len(rng_seeds) > 1 and sampler.beam:
        raise UserError(f"beam={sampler.beam} finds one text, always the same: leave out --num_samples.")
    ids = vocabulary.encode(prompt, unknown=unknown)
    copies = None
    if limits.max_copy:
        assert training
        copies = CopyLimit(training, vocabulary, limits.max_copy, ids)
    if len(ids) == 0 and "\n" in vocabulary:
        ids = vocabulary.encode("\n")
    begun = Sequence(model)
    begun.feed(ids)

    def start(sequence: Sequence, seed: int) -> Writing:
        return Writing(sequence, vocabulary, ids, sampler, limits, seed, copies)

    return Samples(begun, start, rng_seeds)
