"""Completion: a short way from a place in a grammar to the end of a text.

    Place ──best first: steps that lead to few choices, then any──▶ ids (N,) after which the text is whole

A search, with its effort bounded: what it finds completes the text for certain; that it finds nothing proves nothing.
"""

import heapq
import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from letterwise.inference.matching import Place

EFFORT = 5_000  # places that are looked at
STEP = 0.1  # what a step costs, beside the share of characters that may follow it: narrow ways lead to the end
SAME = 1.0  # what it costs besides when all is as before, as after one more letter of a string
PHRASE = 10.0  # what a phrase that has to be there is worth
ALIKE = 3  # places of one length that look alike and are followed


@dataclass(order=True)
class _Way:
    """The beginning of a text, by its cost."""

    cost: float
    number: int
    ids: tuple[int, ...] = field(compare=False)
    place: Place = field(compare=False)
    look: tuple[bytes, bool] = field(compare=False)
    said: frozenset[int] = field(compare=False)


def find(
    place: Place, most: int, hint: Sequence[int] = (), phrases: Sequence[Sequence[int]] = (), effort: int = EFFORT
) -> list[int] | None:
    """At most `most` ids that complete a text, or None.

    `hint` is a completion of some place nearby: each way is tried with its ends. `phrases` are long steps to try, once each.
    """
    number = itertools.count()
    ways = [_Way(0.0, next(number), (), place, _look(place), frozenset())]
    seen: Counter[tuple[object, ...]] = Counter()
    while ways and effort > 0:
        way = heapq.heappop(ways)
        if (end := _end(way, hint, most - len(way.ids))) is not None:
            return [*way.ids, *end]
        for ids, phrase in _steps(way, phrases):
            effort -= 1
            if len(way.ids) + len(ids) > most or (phrase and not way.place.leads(ids)):
                continue
            next_place = way.place.fork()
            for id in ids:
                next_place.take(id)
            look, said = _look(next_place), way.said | phrase
            kind = (len(way.ids) + len(ids), look, said)
            seen[kind] += 1
            if seen[kind] > ALIKE:
                continue
            cost = way.cost + (-PHRASE if phrase else _cost(way.look, look))
            heapq.heappush(ways, _Way(cost, next(number), way.ids + tuple(ids), next_place, look, said))
    return None


def _end(way: _Way, hint: Sequence[int], most: int) -> Sequence[int] | None:
    """The first end of `hint`, of at most `most` ids, that completes the text; the empty one may, too."""
    allowed, may_end = way.look
    ends = (hint[i:] for i in range(max(0, len(hint) - most), len(hint)) if allowed[hint[i]])
    return next((end for end in ends if way.place.completes(end)), () if may_end else None)


def _steps(way: _Way, phrases: Sequence[Sequence[int]]) -> list[tuple[list[int], frozenset[int]]]:
    singles = [([int(id)], frozenset[int]()) for id in np.flatnonzero(np.frombuffer(way.look[0], bool))]
    return singles + [(list(ids), frozenset((i,))) for i, ids in enumerate(phrases) if i not in way.said]


def _cost(before: tuple[bytes, bool], after: tuple[bytes, bool]) -> float:
    """What a step costs: nothing when there is no other."""
    if before[0].count(1) == 1:
        return 0.0
    return STEP + SAME * (before == after) + after[0].count(1) / len(after[0])


def _look(place: Place) -> tuple[bytes, bool]:
    """What can be seen of a place without going on."""
    return place.allowed().tobytes(), place.may_end()
