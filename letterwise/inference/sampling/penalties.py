"""Penalties: scores that depend on what was written before, for several texts at once.

logits (n, V), counts (R, V) of what each text's window holds ──bias──▶ ──penalties──▶ filters (filters.py) ──draw──▶ an id each
"""

from typing import NamedTuple

import numpy as np

from letterwise.compiling.entry import entry
from letterwise.inference.sampling.filters import FLOOR, compiled, is_distribution, sample


class Penalties(NamedTuple):
    """What is done to logits of characters that were there before: the penalties of `SamplerConfig`, clamped."""

    repetition: float  # logits above 0 are divided by it, those below multiplied (Keskar et al. 2019, section 4.1)
    frequency: float  # nats to subtract per time that a character was there
    presence: float  # nats to subtract if it was there at all


# the same as an array's type: the penalties of several texts
PENALTIES = np.dtype((np.record, np.dtype([*Penalties.__annotations__.items()], align=True)))


@compiled
def penalize(logits, bias, counts, penalties, scores):
    """Into `scores` (V,), float64: logits, none below `FLOOR`, with bias and penalties."""
    for c in range(len(logits)):
        score = np.float64(np.float32(max(logits[c], FLOOR) + bias[c]))
        if counts[c] > 0:
            score = score / penalties.repetition if score > 0 else score * penalties.repetition
        scores[c] = score - penalties.frequency * counts[c] - penalties.presence * (1 if counts[c] > 0 else 0)


@entry()
def draw_penalized(logits, bias, counts, penalties, filters, uniforms, ids, rooms):
    """Draw an id for each of R texts, -1 where its logits are NaN. `rooms` are one for scores (V,), and one for filters."""
    scores, room = rooms
    for r in range(len(logits)):
        ids[r] = -1
        if is_distribution(logits[r]):
            penalize(logits[r], bias[r], counts[r], penalties[r], scores)
            ids[r] = sample(scores, filters[r], uniforms[r], room)
