"""Sampler: choose the next character from its scores.

    logits (V,) ──bias──▶ ──penalties──▶ filters (filters.py) ──draw──▶ id

Each is a pure function. Uniform numbers come from a counter-based generator: what a seed writes depends on nothing else.
"""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from letterwise.data.vocabulary import Vocabulary
from letterwise.errors import Diverged, UserError, quoted
from letterwise.inference.sampling.filters import FLOOR, Filters, chosen, filtered, softmax, sound

Logits = Float[np.ndarray, "V"]
STRONGEST = 1e6  # nats of a penalty or bias that count
MOST = {"top_k": 0x110000, "beam": 10_000, "penalty_window": 10_000_000}  # the first: all characters there are
PENALTIES = ("repetition_penalty", "frequency_penalty", "presence_penalty")


def repetition(logits: Logits, counts: Int[np.ndarray, "V"], penalty: float) -> Logits:
    """Divide what speaks for a character that was there, multiply what speaks against it (Keskar et al. 2019, section 4.1)."""
    penalty, logits = min(max(penalty, 1 / STRONGEST), STRONGEST), logits.astype(np.float64)
    return np.where(counts > 0, np.where(logits > 0, logits / penalty, logits * penalty), logits)


def frequency(logits: Logits, counts: Int[np.ndarray, "V"], each: float, once: float) -> Logits:
    """Subtract `each` per time a character was there, and `once` if it was there at all (nats)."""
    return logits - clamped(each) * counts - clamped(once) * (counts > 0)


def clamped(nats: float) -> float:
    """A penalty or bias of more than this is as good as infinite, and would be lost in rounding or overflow."""
    return min(max(nats, -STRONGEST), STRONGEST)


@dataclass(frozen=True)
class Sampler:
    """How to choose. The defaults switch everything off. Raises `UserError` on values without sense.

    Attributes:
        temperature: scores are divided by it.
        top_k, top_p, min_p, typical_p: filters; 0 or, for top_p and typical_p, 1 is off.
        repetition_penalty: 1 is off; above, characters of the window are less likely.
        frequency_penalty, presence_penalty: nats off per time, and once, that a character is in the window.
        penalty_window: how many of the last characters, of prompt and text, the penalties look at.
        logit_bias: nats to add to characters: `{"e": -2.0, "xyz": 1.5}`.
        greedy: the likeliest character every time.
        beam: the likeliest text, as far as this many prefixes kept at once can find it; 0 is off.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    typical_p: float = 1.0
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    penalty_window: int = 64
    logit_bias: Mapping[str, float] = field(default_factory=dict)
    greedy: bool = False
    beam: int = 0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise UserError(
                f"temperature={self.temperature} must be above 0: --greedy takes the likeliest character every time."
            )
        for name, most in MOST.items():
            least = 1 if name == "penalty_window" else 0
            if not least <= getattr(self, name) <= most:
                raise UserError(f"{name}={getattr(self, name)} must be from {least}{'' if least else ' (off)'} to {most:,}.")
        for name in ("top_p", "typical_p"):
            if not 0 < getattr(self, name) <= 1:
                raise UserError(f"{name}={getattr(self, name)} must be above 0 and at most 1 (off).")
        if not 0 <= self.min_p <= 1:
            raise UserError(f"min_p={self.min_p} must be from 0 (off) to 1.")
        if not (math.isfinite(self.repetition_penalty) and self.repetition_penalty > 0):
            raise UserError(f"repetition_penalty={self.repetition_penalty} must be above 0; 1 is off.")
        for name in ("frequency_penalty", "presence_penalty"):
            if not math.isfinite(getattr(self, name)):
                raise UserError(f"{name}={getattr(self, name)} must be a number of nats; 0 is off.")
        for characters, nats in self.logit_bias.items():
            if not (characters and math.isfinite(nats)):
                raise UserError(f"logit_bias {characters!r}: {nats} must be some characters, and a finite number of nats.")
        if self.beam:
            changed = [f.name for f in fields(self) if f.name not in ("beam", "logit_bias") and self._given(f.name)]
            if changed:
                raise UserError(f"beam={self.beam} looks for the likeliest text and draws nothing: leave out {changed[0]}.")

    def _given(self, name: str) -> bool:
        return getattr(self, name) != Sampler.__dataclass_fields__[name].default

    @cached_property
    def penalizes(self) -> bool:
        """Does what was written before matter, beyond what the model makes of it?"""
        return any(self._given(name) for name in PENALTIES)

    def bias(self, vocabulary: Vocabulary) -> Logits:
        """What `logit_bias` adds to each id (V,), float32. Raises `UserError` for characters without one."""
        added = np.zeros(len(vocabulary), np.float64)
        for characters, nats in self.logit_bias.items():
            if vocabulary.kind == "byte" and not characters.isascii():
                raise UserError(f"logit_bias {characters!r}: this model writes bytes, and that is several of them.")
            if strange := "".join(c for c in characters if not len(vocabulary.encode(c, "skip"))):
                raise UserError(f"logit_bias {quoted(characters)}: the model has never seen {quoted(strange)}. Leave it out.")
            np.add.at(added, vocabulary.encode(characters), clamped(nats))
        return np.clip(added, -STRONGEST, STRONGEST).astype(np.float32)

    @cached_property
    def filters(self) -> Filters:
        """What compiled code asks for."""
        return Filters(
            float(self.temperature), int(self.top_k), float(self.top_p), float(self.min_p), float(self.typical_p), self.greedy
        )

    def filtered(self, logits: Logits) -> Logits:
        """Scores (V,) after temperature and filters."""
        return filtered(logits, self.filters)

    def distribution(self, logits: Logits) -> Float[np.ndarray, "V"]:
        """The probabilities (V,), float64, that are drawn from."""
        return softmax(self.filtered(logits))

    def choose(self, logits: Logits, generator: np.random.Generator) -> int:
        """The id of the next character. Raises `Diverged` when the scores are NaN."""
        return valid(chosen(logits, self.filters, 0.0 if self.greedy else generator.random()))


def valid(id: int) -> int:
    """An id that was drawn. Raises `Diverged` when it is none."""
    if id < 0:
        raise Diverged
    return id


class Chooser:
    """A sampler at work on one text: its random numbers, its bias in this vocabulary, and the window of its penalties."""

    def __init__(
        self, sampler: Sampler, vocabulary: Vocabulary, rng_seed: int = 0, only: Bool[np.ndarray, "V"] | None = None
    ) -> None:
        """`only` are the characters that may be written at all (None: each)."""
        if rng_seed < 0:
            raise UserError(f"rng_seed={rng_seed} must be 0 or more.")
        self.sampler = sampler
        self.generator = np.random.Generator(np.random.Philox(rng_seed))
        self.taken = self.returned = np.zeros(0)  # uniform numbers, and those of them that are to be used first
        self.bias = sampler.bias(vocabulary)
        if only is not None:
            self.bias = self.biased(only)
        self.window: deque[int] = deque(maxlen=sampler.penalty_window if sampler.penalizes else 0)
        self.counts = np.zeros(len(vocabulary), np.int64)  # of the window

    def biased(self, may: Bool[np.ndarray, "V"] | None) -> Logits:
        """What is added to scores (V,), float32, where only some characters `may` be drawn (None: all)."""
        return self.bias if may is None else np.where(may, self.bias, np.float32(-np.inf))

    @property
    def free(self) -> bool:
        """Does it choose by the model's logits alone, whatever was written?"""
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
        if not sound(logits):
            raise Diverged
        sampler, logits = self.sampler, np.maximum(logits, FLOOR) + self.bias
        if sampler.penalizes:
            logits = repetition(logits, self.counts, sampler.repetition_penalty)
            logits = frequency(logits, self.counts, sampler.frequency_penalty, sampler.presence_penalty)
        return logits

    def choose(self, scores: Logits) -> int:
        """The id of the next character, from what `scores` gave."""
        return self.sampler.choose(scores, self.generator)

    def uniforms(self, count: int) -> Float[np.ndarray, "n"]:
        """What the next `count` characters are drawn with: the numbers that `choose` would take one by one."""
        if self.sampler.greedy:
            return np.zeros(count)
        self.taken = self.generator.random(max(0, count - len(self.returned)))
        if len(self.returned):
            self.taken = np.concatenate((self.returned, self.taken))
        self.returned = self.taken[count:]
        return self.taken[:count]

    def put_back(self, count: int) -> None:
        """The last `count` of them were not used: they come again."""
        if not self.sampler.greedy:
            end = len(self.taken) - len(self.returned)
            self.returned = self.taken[end - count :]
