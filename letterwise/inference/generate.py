"""Generate: a prompt in, text out, piece by piece as it is written.

prompt ──encode──▶ Sequence ──Engine.step──▶ ids ──decoder──▶ StopFinder ──▶ text
"""

import math
from collections import abc, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Literal

import numpy as np

from letterwise.config.accounting import cache_bytes
from letterwise.data.vocabulary import Unknown, Vocabulary
from letterwise.errors import UserError
from letterwise.inference.backend import Backend
from letterwise.inference.beam import likeliest
from letterwise.inference.constraints.cache import constraint_for
from letterwise.inference.constraints.guide import Guide
from letterwise.inference.constraints.limits import Limits
from letterwise.inference.engine import Engine, Sequence, Watch
from letterwise.inference.sampling.copies import CopyLimit
from letterwise.inference.sampling.sampler import Sampler, SamplerState
from letterwise.inference.stop import StopFinder
from letterwise.shapes import Integer

if TYPE_CHECKING:
    from letterwise.data.suffix_array import Suffixes

Ended = Literal["", "length", "stop", "line", "match", "time"]
SIDE_BY_SIDE, MEMORY = 64, 2**30  # so many texts at once at most, with keys and values of so many bytes


@dataclass(frozen=True)
class Request:
    """What is to be written: behind which ids, by which sampler, within which limits, from which seed, and who watches."""

    prompt: Integer[np.ndarray, "n"]
    sampler: Sampler
    limits: Limits
    rng_seed: int = 0
    copies: CopyLimit | None = None
    watch: Watch | None = None


class Generation:
    """The text of one request: after each step of the engine, `piece` is what it wrote. `ended` says at last what ended it.

    "length": num_tokens are written; "stop" and "line": the text says so; "match": the constraint is met; "time": max_seconds.
    """

    def __init__(self, sequence: Sequence, vocabulary: Vocabulary, request: Request, max_seconds: float = math.inf) -> None:
        """`sequence` has been given the prompt to read; `max_seconds` are those that the request has at most.

        Raises `UserError` for a constraint that no text can meet.
        """
        sampler, limits = request.sampler, request.limits
        seconds = min(limits.max_seconds, max_seconds)
        self.sequence, self.vocabulary, self.request = sequence, vocabulary, request
        self.guide: Guide | None = None
        if limits.constrained:
            compiled = sequence.engine.backend.constraints
            self.guide = constraint_for(vocabulary, limits, compiled).guide(seconds)
        self.state = SamplerState(sampler, vocabulary, request.rng_seed, limits.characters(vocabulary))
        self.state.saw(request.prompt)
        self.finder, self.decoder = StopFinder(limits.stop, limits.until_line), vocabulary.text_decoder()
        self.ended: Ended = ""
        if not sampler.beam:
            sequence.begin(self.state, limits.num_tokens, self.guide, request.copies, seconds, request.watch)

    def piece(self) -> str:
        """What was written since the last time, up to where the text ends: then its sequence leaves the engine."""
        if self.ended:
            return ""
        if self.request.sampler.beam:
            return self._search()
        text = self.finder.feed(self.decoder.feed(self.sequence.collect()))
        if self.finder.found:
            self.ended = self.finder.found
        elif self.sequence.ended:
            self.ended = self.sequence.ended
            text += self.finder.feed(self.decoder.finish()) + self.finder.finish()
        if self.ended:
            self.sequence.leave()
        return text

    def _search(self) -> str:
        """The likeliest text, as a whole."""
        limits, copies = self.request.limits, self.request.copies
        text, self.ended = likeliest(self.sequence, self.vocabulary, self.state, limits, self.guide, copies)
        self.sequence.leave()
        return text


def rows_for(backend: Backend, most: int) -> int:
    """How many texts there is room for side by side."""
    return max(1, min(most, MEMORY // max(1, sum(map(cache_bytes, backend.networks)))))


class Samples:
    """Continuations of one prompt, written side by side: iterate over (which, piece). `ended` says at last what ended each.

    When one has ended, the next one takes its row.
    """

    def __init__(self, backend: Backend, vocabulary: Vocabulary, request: Request, rng_seeds: abc.Sequence[int]) -> None:
        """One for each seed, each as `request` says."""
        self.vocabulary, self.request = vocabulary, request
        self.rng_seeds = rng_seeds
        self.ended: list[Ended] = [""] * len(rng_seeds)
        self.written = defaultdict[int, list[str]](list)  # the pieces of each
        self.waiting, self.running = enumerate(rng_seeds), dict[int, Generation]()
        rows = rows_for(backend, min(SIDE_BY_SIDE, len(rng_seeds)))
        self.engine, alone = Engine(backend, rows), len(rng_seeds) == 1
        self.prompt = self.engine.join() if alone else Sequence(backend)
        self.prompt.feed(request.prompt)
        if alone:
            self._begin(*next(self.waiting), self.prompt)
        self._join()  # now, so that whatever cannot be is said at once

    def __iter__(self) -> Iterator[tuple[int, str]]:
        while self.running:
            self.engine.step()
            for i, generation in list(self.running.items()):
                if piece := generation.piece():
                    self.written[i].append(piece)
                    yield i, piece
                if generation.ended:
                    self.ended[i] = self.running.pop(i).ended
            self._join()

    def _join(self) -> None:
        """As many as there is room for."""
        for i, seed in islice(self.waiting, self.engine.free):
            self._begin(i, seed, self.prompt.fork(self.engine))

    def _begin(self, i: int, seed: int, sequence: Sequence) -> None:
        self.running[i] = Generation(sequence, self.vocabulary, replace(self.request, rng_seed=seed))

    def texts(self) -> list[str]:
        """Each continuation as a whole, whatever of it was iterated over before."""
        for _ in self:
            pass
        return ["".join(self.written.get(i, ())) for i in range(len(self.ended))]


def generate(
    backend: Backend,
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
    ids = vocabulary.encode(prompt, unknown)
    copies = None
    if limits.max_copy:
        assert training
        copies = CopyLimit(training, vocabulary, limits.max_copy, ids)
    return Samples(backend, vocabulary, Request(or_line_break(ids, vocabulary), sampler, limits, copies=copies), rng_seeds)


def or_line_break(ids: Integer[np.ndarray, "n"], vocabulary: Vocabulary) -> Integer[np.ndarray, "m"]:
    """What a text goes on from: `ids`, or an imagined line break for none of them, where the vocabulary has one."""
    return vocabulary.encode("\n") if len(ids) == 0 and "\n" in vocabulary else ids
