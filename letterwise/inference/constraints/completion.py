"""Completion: a short way from a place in a grammar to the end of a text.

    Place ──best first: steps that lead to few choices, then any──▶ ids (N,) after which the text is whole

A search, with its effort bounded: what it finds completes the text for certain. That it finds nothing proves that there is
nothing; when its effort ends before, it says so.
"""

import heapq
import itertools
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from letterwise.inference.constraints.matching import Place

EFFORT, SECONDS = 5_000, 2.0  # places that are looked at; for a hard grammar each takes long
STEP = 0.1  # what a step costs, beside the share of characters that may follow it: narrow ways lead to the end
SAME = 1.0  # what it costs besides when all is as before, as after one more letter of a string
PHRASE = 10.0  # what a phrase that has to be there is worth
ALIKE = 3  # places of one length that look alike; more of them are put off, not dropped: they may differ further on
LATER = 2.0  # what it costs to be put off
AT_A_TIME = 64  # steps from one place that are tried before others get their turn


class Exhausted(Exception):
    """The effort ended before anything was found."""


@dataclass(order=True)
class _Way:
    """The beginning of a text, by its cost."""

    cost: float
    number: int
    ids: tuple[int, ...] = field(compare=False)
    place: Place = field(compare=False)
    look: tuple[bytes, bool] = field(compare=False)
    said: frozenset[int] = field(compare=False)
    tried: int = field(default=0, compare=False)  # steps from here that were


def find(
    place: Place,
    most: int,
    hint: Sequence[int] = (),
    phrases: Sequence[Sequence[int]] = (),
    effort: int = EFFORT,
    likely: Sequence[int] = (),
    seconds: float = SECONDS,
) -> list[int] | None:
    """At most `most` ids that complete a text, or None: there are none. Raises `Exhausted`, also after so many seconds.

    `hint` is a completion of some place nearby: each way is tried with its ends. `phrases` are long steps to try, once each,
    and `likely` are ids to try before others.
    """
    number, left, until = itertools.count(), effort, time.monotonic() + seconds
    ways = [_Way(0.0, next(number), (), place, _look(place), frozenset())]
    seen: Counter[tuple[object, ...]] = Counter()
    while ways:
        if left <= 0 or time.monotonic() > until:
            raise Exhausted
        way = heapq.heappop(ways)
        if not way.tried and (end := _end(way, hint, most - len(way.ids))) is not None:
            return [*way.ids, *end]
        steps = _steps(way, phrases, likely)
        for ids, phrase in steps[way.tried : way.tried + AT_A_TIME]:
            left -= 1
            if left % 16 == 0 and time.monotonic() > until:
                raise Exhausted
            if len(way.ids) + len(ids) > most or (phrase and not way.place.leads(ids)):
                continue
            next_place = way.place.fork()
            for id in ids:
                next_place.advance(id)
            look, said = _look(next_place), way.said | phrase
            kind = (len(way.ids) + len(ids), look, said)
            seen[kind] += 1
            cost = way.cost + (-PHRASE if phrase else _cost(way.look, look)) + LATER * max(0, seen[kind] - ALIKE)
            heapq.heappush(ways, _Way(cost, next(number), way.ids + tuple(ids), next_place, look, said))
        if way.tried + AT_A_TIME < len(steps):
            heapq.heappush(ways, replace(way, cost=way.cost + LATER, number=next(number), tried=way.tried + AT_A_TIME))
    return None


def _end(way: _Way, hint: Sequence[int], most: int) -> Sequence[int] | None:
    """The first end of `hint`, of at most `most` ids, that completes the text; the empty one may, too."""
    allowed, may_end = way.look
    ends = (hint[i:] for i in range(max(0, len(hint) - most), len(hint)) if allowed[hint[i]])
    return next((end for end in ends if way.place.completes(end)), () if may_end else None)


def _steps(way: _Way, phrases: Sequence[Sequence[int]], likely: Sequence[int]) -> list[tuple[list[int], frozenset[int]]]:
    allowed = np.frombuffer(way.look[0], bool)
    first = [id for id in likely if allowed[id]]
    others = np.setdiff1d(np.flatnonzero(allowed), first).tolist()
    whole = [(list(ids), frozenset((i,))) for i, ids in enumerate(phrases) if i not in way.said]
    return whole + [([id], frozenset[int]()) for id in (*first, *others)]


def _cost(before: tuple[bytes, bool], after: tuple[bytes, bool]) -> float:
    """What a step costs: nothing when there is no other."""
    if before[0].count(1) == 1:
        return 0.0
    return STEP + SAME * (before == after) + after[0].count(1) / len(after[0])


def _look(place: Place) -> tuple[bytes, bool]:
    """What can be seen of a place without going on."""
    return place.allowed().tobytes(), place.is_accepting()
