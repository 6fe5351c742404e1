"""Beam: the likeliest text, as far as a search that keeps N prefixes can find it.

    N prefixes ──each by every character──▶ N·V ──the likeliest N──▶ N prefixes … ──▶ one text

A prefix is a sequence of its own (`fork`); all are read side by side. A text that ends early, by a stop string, a line break or
its constraint, is done and waits for one that is likelier; the probability of any text only falls as it grows. With N as large
as the number of all prefixes the search is exhaustive.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from letterwise.config.accounting import cache_bytes
from letterwise.data.vocabulary import Vocabulary
from letterwise.errors import UserError
from letterwise.inference.constraints.guide import Guide
from letterwise.inference.constraints.limits import Limits
from letterwise.inference.engine import Engine, Sequence
from letterwise.inference.sampling.copies import CopyLimit
from letterwise.inference.sampling.sampler import SamplerState
from letterwise.inference.stop import StopFinder
from letterwise.machine import memory_available
from letterwise.shapes import Float


@dataclass
class Prefix:
    """The beginning of a text: its ids and their logarithmic probability, and what reads on from here."""

    ids: list[int]
    nats: float
    sequence: Sequence
    guide: Guide | None


@dataclass
class Done:
    """A whole text."""

    text: str
    nats: float
    ended: Literal["length", "stop", "line", "match"]


def likeliest(
    sequence: Sequence,
    vocabulary: Vocabulary,
    state: SamplerState,
    limits: Limits,
    guide: Guide | None,
    copies: CopyLimit | None = None,
) -> tuple[str, Literal["length", "stop", "line", "match"]]:
    """The likeliest text that `state.sampler.beam` prefixes find, and what ended it. No length is favoured.

    Raises `UserError` when every prefix is left with copies only.
    """
    _affordable(state.sampler.beam, sequence, len(vocabulary))
    engine = Engine(sequence.engine.backend, 2 * state.sampler.beam)  # old ones and new ones
    prefixes = [Prefix([], 0.0, sequence.fork(engine), guide)]
    best: Done | None = None
    stuck: list[int] = []
    for written in range(limits.num_tokens + 1):
        candidates = []  # (nats, which prefix, id; or no id for the end), the likeliest first
        for i, prefix in enumerate(prefixes):
            if written == limits.num_tokens:
                best = likelier(best, Done(text_of(prefix.ids, vocabulary, limits)[0], prefix.nats, "length"))
                continue
            scores = state.scores(prefix.sequence.logits())
            if copies:
                scores = copies.masked(scores, prefix.ids)
                if scores.max() == -math.inf:
                    stuck = prefix.ids
                    continue
            nats, end = outcomes(scores, prefix.guide)
            if end > -math.inf:
                best = likelier(best, Done(vocabulary.decode(prefix.ids), prefix.nats + end, "match"))
            candidates += [(prefix.nats + nats[id], i, int(id)) for id in np.flatnonzero(nats > -math.inf)]
        grown: list[Prefix] = []
        for nats, i, id in sorted(candidates, key=lambda candidate: -candidate[0]):
            if len(grown) == state.sampler.beam or (best and nats <= best.nats):
                break
            way = prefixes[i].guide.fork() if prefixes[i].guide else None
            if way and not way.advance(id):
                continue
            ids = [*prefixes[i].ids, id]
            text, found = text_of(ids, vocabulary, limits)
            if found:
                best = likelier(best, Done(text, nats, found))
                continue
            longer = prefixes[i].sequence.fork(engine)
            longer.feed([id])
            grown.append(Prefix(ids, nats, longer, way))
        for prefix in prefixes:
            prefix.sequence.leave()
        prefixes = grown
    if best is None:
        assert copies
        raise copies.refusal(stuck)
    return best.text, best.ended


def _affordable(beam: int, sequence: Sequence, vocab_size: int) -> None:
    """Raises `UserError` when so many prefixes, old ones and new, would not fit into memory."""
    networks, available = sequence.engine.backend.networks, memory_available()
    each = sum(map(cache_bytes, networks)) + 200 * vocab_size  # a candidate for each next character is a tuple of three numbers
    max_beam = None if available is None else available // (2 * each)
    if max_beam is not None and beam > max_beam:
        raise UserError(f"beam={beam} needs about {2 * each * beam / 2**30:.1f} GiB: {max(1, max_beam)} fits into memory.")


def likelier(one: Done | None, other: Done) -> Done:
    """The likelier of two texts; the first when they are equal."""
    return one if one and one.nats >= other.nats else other


def outcomes(scores: Float[np.ndarray, "V"], guide: Guide | None) -> tuple[Float[np.ndarray, "V"], float]:
    """Logarithmic probabilities of each character (V,) and of the end, as they are drawn under a guide."""
    nats = scores - np.float64(np.logaddexp.reduce(scores.astype(np.float64)))
    if guide is None:
        return nats, -math.inf
    may = guide.allowed()
    allowed = np.where(may, nats, -math.inf)
    if guide.is_accepting():
        return allowed, 0.0 if not may.any() else float(np.logaddexp.reduce(np.where(may, -math.inf, nats)))
    return allowed - np.logaddexp.reduce(allowed), -math.inf


def text_of(ids: list[int], vocabulary: Vocabulary, limits: Limits) -> tuple[str, Literal["", "stop", "line"]]:
    """The text up to where it ends, and what ended it, if anything did."""
    finder = StopFinder(limits.stop, limits.until_line)
    text = finder.feed(vocabulary.decode(ids))
    return text + finder.finish(), finder.found
