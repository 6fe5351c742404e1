"""Stream: a prompt in, text out, piece by piece as it is written.

prompt ──encode──▶ Predictor ──logits──▶ Chooser ──id──▶ decoder ──▶ StopFinder ──▶ text
                       ▲                    ▲ │ what may follow
                       │                   Guide
                       └──────────────────id──┘
"""

import math
import time
from collections.abc import Iterator
from typing import Literal

import numpy as np

from letterwise.counts import Counts
from letterwise.data.vocabulary import Unknown, Vocabulary
from letterwise.inference.beam import likeliest
from letterwise.inference.constraints import Guide, constraint_for
from letterwise.inference.limits import Limits
from letterwise.inference.predictor import Predictor
from letterwise.inference.sampling import Chooser, Sampler
from letterwise.inference.stopping import StopFinder
from letterwise.model import Transformer

Ended = Literal["", "length", "stop", "line", "match", "time"]
TRIES = 3  # characters that lead nowhere before the known way to the end is taken


class Writing:
    """A text that is being written: iterate over its pieces. `ended` says at last what ended it.

    "length": num_tokens are written; "stop" and "line": the text says so; "match": the constraint is met; "time": max_seconds.
    """

    def __init__(
        self, predictor: Predictor, vocabulary: Vocabulary, ids: np.ndarray, sampler: Sampler, limits: Limits, rng_seed: int
    ) -> None:
        self.predictor, self.vocabulary, self.limits, self.ids = predictor, vocabulary, limits, ids
        self.guide = constraint_for(vocabulary, limits).guide() if limits.constrained else None
        self.chooser = Chooser(sampler, vocabulary, rng_seed, limits.characters(vocabulary))
        self.ended: Ended = ""
        self.pieces = self._search() if sampler.beam else self._write()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        return next(self.pieces)

    def _write(self) -> Iterator[str]:
        """Character by character."""
        finder = StopFinder(self.limits.stop, self.limits.until_line)
        decoder = self.vocabulary.text_decoder()
        for id in self._draw():
            if piece := finder.feed(decoder.feed(id)):
                yield piece
            if finder.found:
                self.ended = finder.found
                return
        if piece := finder.feed(decoder.finish()) + finder.finish():
            yield piece

    def _draw(self) -> Iterator[int]:
        """The ids that are drawn, one after another, up to the length, the time, or the end of the constraint."""
        until = time.monotonic() + self.limits.max_seconds
        chooser, guide = self.chooser, self.guide
        chooser.saw(self.ids)
        logits = np.asarray(self.predictor.read(self.ids))
        for left in range(self.limits.num_tokens, 0, -1):
            if time.monotonic() >= until:
                self.ended = "time"
                yield from guide.finish() if guide else ()
                return
            scores = chooser.scores(logits)
            id = chooser.choose(scores) if guide is None else follow(guide, chooser, scores)
            if id is None:
                self.ended = "match"
                return
            yield id
            if guide and guide.place.over():
                self.ended = "match"
                return
            if left > 1:
                chooser.saw((id,))
                logits = np.asarray(self.predictor.read([id]))
        self.ended = "length"

    def _search(self) -> Iterator[str]:
        """The likeliest text, as a whole."""
        text, self.ended = likeliest(self.predictor, self.vocabulary, self.ids, self.chooser, self.limits, self.guide)
        yield text


def follow(guide: Guide, chooser: Chooser, scores: np.ndarray) -> int | None:
    """The next id that the guide lets pass, or None for the end of the text."""
    may = guide.allowed()
    if guide.may_end():  # the end is as likely as all that may not follow
        id = chooser.choose(scores) if may.any() else None
        return id if id is not None and may[id] and guide.take(id) else None
    for _ in range(TRIES):
        id = chooser.choose(np.where(may, scores, np.float32(-math.inf)))
        if guide.take(id):
            return id
        may[id] = False
    return guide.on()


def write(
    model: Transformer,
    vocabulary: Vocabulary,
    prompt: str,
    *,
    sampler: Sampler,
    limits: Limits,
    counts: Counts | None = None,
    rng_seed: int = 0,
    unknown: Unknown = "error",
) -> Writing:
    """The continuation of `prompt`, without it, in pieces, within `limits`.

    An empty prompt continues an imagined line break, where the vocabulary has one; else anything may come first.
    Equal `rng_seed`s write equal text. Raises `UserError` on unknown characters, senseless requests, and constraints that no
    text can meet.
    """
    ids = vocabulary.encode(prompt, unknown=unknown)
    if len(ids) == 0 and "\n" in vocabulary:
        ids = vocabulary.encode("\n")
    return Writing(Predictor(model, counts), vocabulary, ids, sampler, limits, rng_seed)
