"""Sampler: choose the next character from its scores.

    logits (V,) ──bias──▶ ──penalties──▶ filters (filters.py) ──draw──▶ id

Each is a pure function. Uniform numbers come from a counter-based generator: what a seed writes depends on nothing else.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from letterwise.config.generation import SamplerConfig
from letterwise.data.vocabulary import Vocabulary
from letterwise.errors import Diverged, UserError, quoted
from letterwise.inference.sampling.filters import FLOOR, Filters, apply, is_distribution, room_for, sample, softmax
from letterwise.inference.sampling.penalties import Penalties
from letterwise.shapes import Bool, Float, Int

Logits = Float[np.ndarray, "V"]
MAX_NATS = 1e6  # of a penalty or bias
PENALTIES = ("repetition_penalty", "frequency_penalty", "presence_penalty")


def repetition(logits: Logits, counts: Int[np.ndarray, "V"], penalty: float) -> Logits:
    """Divide the logits above 0 of characters that were there, and multiply those below (Keskar et al. 2019, section 4.1)."""
    penalty, logits = divisor(penalty), logits.astype(np.float64)
    return np.where(counts > 0, np.where(logits > 0, logits / penalty, logits * penalty), logits)


def frequency(logits: Logits, counts: Int[np.ndarray, "V"], each: float, once: float) -> Logits:
    """Subtract `each` per time a character was there, and `once` if it was there at all (nats)."""
    return logits - clamped(each) * counts - clamped(once) * (counts > 0)


def divisor(penalty: float) -> float:
    """A repetition penalty within bounds that do not overflow."""
    return min(max(penalty, 1 / MAX_NATS), MAX_NATS)


def clamped(nats: float) -> float:
    """A penalty or bias of `MAX_NATS` at most: more has no other effect, and would overflow."""
    return min(max(nats, -MAX_NATS), MAX_NATS)


@dataclass(frozen=True)
class Sampler(SamplerConfig):
    """How characters are drawn: the options of config/generation.py, checked. Raises `UserError` on values without sense."""

    @cached_property
    def penalizes(self) -> bool:
        """Has it penalties, which depend on what was written before?"""
        return not set(PENALTIES).isdisjoint(self.given)

    def bias(self, vocabulary: Vocabulary) -> Logits:
        """What `logit_bias` adds to each id (V,), float32. Raises `UserError` for characters without one."""
        added = np.zeros(len(vocabulary), np.float64)
        for characters, nats in self.logit_bias.items():
            if vocabulary.kind == "byte" and not characters.isascii():
                raise UserError(f"logit_bias {characters!r}: this model writes bytes, and that is several of them.")
            if strange := "".join(c for c in characters if not len(vocabulary.encode(c, "skip"))):
                raise UserError(f"logit_bias {quoted(characters)}: the model has never seen {quoted(strange)}. Leave it out.")
            np.add.at(added, vocabulary.encode(characters), clamped(nats))
        return np.clip(added, -MAX_NATS, MAX_NATS).astype(np.float32)

    @cached_property
    def filters(self) -> Filters:
        """The options that compiled code needs."""
        return Filters(*(getattr(self, name) for name in Filters._fields))

    @cached_property
    def penalties(self) -> Penalties:
        """The penalties, as compiled code needs them."""
        return Penalties(divisor(self.repetition_penalty), clamped(self.frequency_penalty), clamped(self.presence_penalty))

    def filtered(self, logits: Logits) -> Logits:
        """Scores (V,) after temperature and filters."""
        scores = logits.copy()
        apply(self.filters, scores, room_for(len(scores)))
        return scores

    def distribution(self, logits: Logits) -> Float[np.ndarray, "V"]:
        """The probabilities (V,), float64, that are drawn from."""
        probabilities = np.zeros(len(logits))
        softmax(self.filtered(logits), probabilities)
        return probabilities

    def choose(self, logits: Logits, generator: np.random.Generator) -> int:
        """The id of the next character. Raises `Diverged` when the scores are NaN."""
        return valid(sample(logits.copy(), self.filters, self.uniform(generator), room_for(len(logits))))

    def uniform(self, generator: np.random.Generator) -> float:
        """The uniform number that the next character is drawn with."""
        return 0.0 if self.greedy else generator.random()


def valid(id: int) -> int:
    """An id that was drawn. Raises `Diverged` when it is none."""
    if id < 0:
        raise Diverged
    return id


class SamplerState:
    """A sampler's state in one text: its random numbers, its bias in this vocabulary, and the window of its penalties."""

    def __init__(
        self, sampler: Sampler, vocabulary: Vocabulary, rng_seed: int = 0, only: Bool[np.ndarray, "V"] | None = None
    ) -> None:
        """`only` are the characters that may be written at all (None: each)."""
        if rng_seed < 0:
            raise UserError(f"rng_seed={rng_seed} must be 0 or more.")
        self.sampler = sampler
        self.generator = np.random.Generator(np.random.Philox(rng_seed))
        self.numbers = self.unused = np.zeros(0)  # uniform numbers; of those, the ones to use next
        self.bias = sampler.bias(vocabulary)
        if only is not None:
            self.bias = self.biased(only)
        self.window: deque[int] = deque(maxlen=sampler.penalty_window if sampler.penalizes else 0)
        self.counts = np.zeros(len(vocabulary), np.int64)  # of the window

    def biased(self, may: Bool[np.ndarray, "V"] | None) -> Logits:
        """What is added to logits (V,), float32, where only some characters `may` be drawn (None: all)."""
        return self.bias if may is None else np.where(may, self.bias, np.float32(-np.inf))

    @property
    def free(self) -> bool:
        """Does it need only the model's logits, whatever was written?"""
        return not self.sampler.penalizes

    def saw(self, ids: Sequence[int] | np.ndarray) -> None:
        """Text that was read or written, for the penalties."""
        if not self.window.maxlen:
            return
        for i in map(int, ids[-self.window.maxlen :]):
            if len(self.window) == self.window.maxlen:
                self.counts[self.window[0]] -= 1
            self.window.append(i)
            self.counts[i] += 1

    def scores(self, logits: Logits) -> Logits:
        """Scores (V,) with bias and penalties; -∞ where nothing may be written, and nowhere else. Raises `Diverged` on NaN."""
        if not is_distribution(logits):
            raise Diverged
        sampler, logits = self.sampler, np.maximum(logits, FLOOR) + self.bias
        if sampler.penalizes:
            logits = repetition(logits, self.counts, sampler.repetition_penalty)
            logits = frequency(logits, self.counts, sampler.frequency_penalty, sampler.presence_penalty)
        return logits

    def choose(self, scores: Logits) -> int:
        """The id of the next character, given its `scores`."""
        return self.sampler.choose(scores, self.generator)

    def uniforms(self, count: int) -> Float[np.ndarray, "n"]:
        """The uniform numbers that the next `count` characters are drawn with, as `choose` would take them one by one."""
        if self.sampler.greedy:
            return np.zeros(count)
        self.numbers = self.generator.random(max(0, count - len(self.unused)))
        if len(self.unused):
            self.numbers = np.concatenate((self.unused, self.numbers))
        self.unused = self.numbers[count:]
        return self.numbers[:count]

    def put_back(self, count: int) -> None:
        """The last `count` of them were not used: they are used next."""
        if not self.sampler.greedy:
            end = len(self.numbers) - len(self.unused)
            self.unused = self.numbers[end - count :]
