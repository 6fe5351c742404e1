"""Stream: a prompt in, text out, piece by piece as it is written.

prompt ──encode──▶ Predictor ──logits──▶ Sampler ──id──▶ decoder ──▶ StopFinder ──▶ text
                       ▲──────────────────id──────────────┘
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from letterwise.counts import Counts
from letterwise.data.vocabulary import Unknown, Vocabulary
from letterwise.errors import UserError
from letterwise.inference.predictor import Predictor
from letterwise.inference.sampling import Sampler
from letterwise.model import Transformer


@dataclass
class StopFinder:
    """Lets text pass until one of several strings is complete; never lets go of what may still become one."""

    stops: Sequence[str]
    held: str = ""
    found: bool = field(default=False, init=False)

    def feed(self, text: str) -> str:
        """Add text; give back what is certain to stand before any stop string."""
        self.held += text
        ends = [(i + len(stop), i) for stop in self.stops if (i := self.held.find(stop)) >= 0]
        if ends:
            _, start = min(ends)  # the one that is complete first; of several, the longest
            self.found, passed, self.held = True, self.held[:start], ""
            return passed
        waiting = max((n for stop in self.stops for n in range(1, len(stop)) if self.held.endswith(stop[:n])), default=0)
        passed, self.held = self.held[: len(self.held) - waiting], self.held[len(self.held) - waiting :]
        return passed

    def finish(self) -> str:
        """What was held back, when no more text comes."""
        passed, self.held = self.held, ""
        return passed


def write(
    model: Transformer,
    vocabulary: Vocabulary,
    prompt: str,
    *,
    num_tokens: int,
    sampler: Sampler,
    counts: Counts | None = None,
    stop: Sequence[str] = (),
    rng_seed: int = 0,
    unknown: Unknown = "error",
) -> Iterator[str]:
    """The continuation of `prompt`, without it, in pieces: at most `num_tokens` characters, cut before a stop string.

    An empty prompt continues an imagined line break, where the vocabulary has one; else anything may come first.
    Equal `rng_seed`s write equal text. Raises `UserError` on unknown characters and senseless requests.
    """
    if num_tokens < 0:
        raise UserError(f"num_tokens={num_tokens} must be 0 or more.")
    if any(not s for s in stop):
        raise UserError("stop='' would stop before the first character: give --stop some text.")
    ids = vocabulary.encode(prompt, unknown=unknown)
    if len(ids) == 0 and "\n" in vocabulary:
        ids = vocabulary.encode("\n")
    return _write(Predictor(model, counts), vocabulary, ids, num_tokens, sampler, StopFinder(stop), rng_seed)


def _write(
    predictor: Predictor,
    vocabulary: Vocabulary,
    ids: np.ndarray,
    num_tokens: int,
    sampler: Sampler,
    finder: StopFinder,
    rng_seed: int,
) -> Iterator[str]:
    generator = torch.Generator().manual_seed(rng_seed)
    decoder = vocabulary.text_decoder()
    logits = predictor.read(ids)
    for _ in range(num_tokens):
        chosen = sampler.choose(logits, generator)
        if piece := finder.feed(decoder.feed(chosen)):
            yield piece
        if finder.found:
            return
        logits = predictor.read([chosen])
    if piece := finder.feed(decoder.finish()) + finder.finish():
        yield piece
