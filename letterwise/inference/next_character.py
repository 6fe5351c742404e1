"""Next character: what a model expects after a text, what counting alone expects, and what is drawn from.

ids ──Sequence──▶ logits (V,) ──softmax──────────────────────────────────────▶ probability
 │                        └─────bias, penalties, temperature, filters, softmax─▶ drawn
 └──Counts──▶ ln p of the last order-1 characters ───────────────────────────▶ counting
"""

from dataclasses import dataclass

import numpy as np

from letterwise.data.vocabulary import Vocabulary
from letterwise.inference.backend import Backend
from letterwise.inference.engine import Sequence
from letterwise.inference.sampling.filters import argmax, softmax
from letterwise.inference.sampling.sampler import SamplerState, valid
from letterwise.ngrams import Counts
from letterwise.shapes import Float, Integer
from letterwise.units import bits


@dataclass(frozen=True)
class NextCharacter:
    """A character that may come next.

    Attributes:
        character, id: which. (Of a byte vocabulary: a byte, those that are no character as lone surrogates.)
        probability: the model's own.
        counting: what its n-gram counts alone give; None where it has none.
        drawn: with what probability it is drawn: after bias, penalties, temperature and filters.
    """

    character: str
    id: int
    probability: float
    counting: float | None
    drawn: float


@dataclass(frozen=True)
class NextCharacters:
    """What comes next: `entropy_bits` of the model's own distribution, and the likeliest of it, likeliest first."""

    entropy_bits: float
    likeliest: list[NextCharacter]


def next_characters(
    backend: Backend,
    vocabulary: Vocabulary,
    ids: Integer[np.ndarray, "n"],
    state: SamplerState,
    *,
    counts: Counts | None = None,
    n: int = 10,
) -> NextCharacters:
    """The `n` likeliest characters after `ids`, of which `state` has seen nothing yet. Raises `Diverged` on NaN."""
    logits = Sequence(backend).read(ids)
    probabilities, drawn = np.zeros(len(logits)), drawn_from(logits, state, ids)
    softmax(logits.astype(np.float64), probabilities)
    alone = None if counts is None else counting(counts, ids)
    likeliest = np.argsort(-probabilities, kind="stable")[:n].tolist()
    return NextCharacters(
        float(bits(-(probabilities * np.log(np.maximum(probabilities, np.finfo(float).tiny))).sum())),
        [
            NextCharacter(
                vocabulary.decode([id]),
                id,
                float(probabilities[id]),
                None if alone is None else float(alone[id]),
                float(drawn[id]),
            )
            for id in likeliest
        ],
    )


def drawn_from(logits: Float[np.ndarray, "V"], state: SamplerState, ids: Integer[np.ndarray, "n"]) -> Float[np.ndarray, "V"]:
    """The probabilities (V,) that a sampler draws the next character from, after `ids`; one of 1 where it is greedy."""
    state.saw(ids)
    scores = state.scores(logits)
    if not state.sampler.greedy:
        return state.sampler.distribution(scores)
    certain = np.zeros(len(scores))
    certain[valid(argmax(scores))] = 1.0
    return certain


def counting(counts: Counts, ids: Integer[np.ndarray, "n"]) -> Float[np.ndarray, "V"]:
    """The probabilities (V,) that n-grams alone give to what follows `ids`."""
    last = np.concatenate((np.full(counts.order, -1), ids[-counts.order :].astype(np.int64)))[-counts.order :]
    return np.exp(counts.log_probs(last[None], 1)[0, 0, 0, :-1].astype(np.float64))
