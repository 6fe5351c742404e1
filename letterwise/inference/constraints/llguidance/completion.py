"""Completion: a short way from a place in a grammar to the end of a text, by best-first search.

    Matcher ──cheapest first: steps after which few characters may follow──▶ ids (n,) after which the text matches

What the search finds completes the text for certain. The effort is bounded: "nothing found" proves that there is
nothing only when the search has seen everything, and otherwise it raises `BudgetSpent`.
"""

import heapq
import itertools
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from letterwise.inference.constraints.llguidance.matcher import Matcher

MAX_STEPS, MAX_SECONDS = 5_000, 2.0  # steps tried, and time of a processor; for a hard grammar each step takes long
STEP_COST = 0.1  # of every step, beside the share of characters that may follow it: narrow ways lead to the end
NO_CHANGE_COST = 1.0  # of a step after which the same may follow as before, as one more letter of a string
PHRASE_GAIN = 10.0  # for writing a phrase that has to be there
ALIKE = 3  # paths of one length and look that are taken as they come; more of them are put off, since they may still differ
DELAY_COST = 2.0  # of being put off
AT_A_TIME = 64  # steps from one path that are tried before other paths get their turn


class BudgetSpent(Exception):
    """The search stopped before it found anything or saw everything."""


Look = tuple[bytes, bool]  # what is seen of a place without going on: the mask, and whether the text matches


@dataclass(order=True)
class _Path:
    """A beginning of a completion, by its cost."""

    cost: float
    number: int
    ids: tuple[int, ...] = field(compare=False)
    matcher: Matcher = field(compare=False)
    look: Look = field(compare=False)
    phrases_written: frozenset[int] = field(compare=False)
    steps_tried: int = field(default=0, compare=False)


def find_completion(
    matcher: Matcher,
    max_ids: int,
    hint: Sequence[int] = (),
    phrases: Sequence[Sequence[int]] = (),
    max_steps: int = MAX_STEPS,
    likely: Sequence[int] = (),
    max_seconds: float = MAX_SECONDS,
) -> list[int] | None:
    """At most `max_ids` ids that complete a text, or None: there are none. Raises `BudgetSpent`.

    Args:
        hint: a completion of some place nearby: each path is tried with its endings.
        phrases: sequences of ids to try as one step, each once.
        likely: ids to try before others.
    """
    number, steps_left, until = itertools.count(), max_steps, time.thread_time() + max_seconds
    frontier = [_Path(0.0, next(number), (), matcher, _look(matcher), frozenset())]
    seen: Counter[tuple[object, ...]] = Counter()
    while frontier:
        if steps_left <= 0 or time.thread_time() > until:
            raise BudgetSpent
        path = heapq.heappop(frontier)
        if not path.steps_tried and (ending := _ending(path, hint, max_ids - len(path.ids))) is not None:
            return [*path.ids, *ending]
        steps = _steps(path, phrases, likely)
        for ids, phrase in steps[path.steps_tried : path.steps_tried + AT_A_TIME]:
            steps_left -= 1
            if steps_left % 16 == 0 and time.thread_time() > until:
                raise BudgetSpent
            if len(path.ids) + len(ids) > max_ids or (phrase and not path.matcher.accepts(ids)):
                continue
            after = path.matcher.fork()
            for id in ids:
                after.advance(id)
            look, written = _look(after), path.phrases_written | phrase
            kind = (len(path.ids) + len(ids), look, written)
            seen[kind] += 1
            step_cost = -PHRASE_GAIN if phrase else _step_cost(path.look, look)
            cost = path.cost + step_cost + DELAY_COST * max(0, seen[kind] - ALIKE)
            heapq.heappush(frontier, _Path(cost, next(number), path.ids + tuple(ids), after, look, written))
        tried = path.steps_tried + AT_A_TIME
        if tried < len(steps):
            heapq.heappush(frontier, replace(path, cost=path.cost + DELAY_COST, number=next(number), steps_tried=tried))
    return None


def _ending(path: _Path, hint: Sequence[int], max_ids: int) -> Sequence[int] | None:
    """The first ending of `hint`, of at most `max_ids`, that completes the text; the empty one may, too."""
    mask, matches = path.look
    endings = (hint[i:] for i in range(max(0, len(hint) - max_ids), len(hint)) if mask[hint[i]])
    return next((ending for ending in endings if path.matcher.completed_by(ending)), () if matches else None)


def _steps(path: _Path, phrases: Sequence[Sequence[int]], likely: Sequence[int]) -> list[tuple[list[int], frozenset[int]]]:
    """The steps to try from a path: ids, and which phrase they are."""
    mask = np.frombuffer(path.look[0], bool)
    first = [id for id in likely if mask[id]]
    others = np.setdiff1d(np.flatnonzero(mask), first).tolist()
    whole = [(list(ids), frozenset((i,))) for i, ids in enumerate(phrases) if i not in path.phrases_written]
    return whole + [([id], frozenset[int]()) for id in (*first, *others)]


def _step_cost(before: Look, after: Look) -> float:
    """What a step costs: nothing when there is no other."""
    if before[0].count(1) == 1:
        return 0.0
    return STEP_COST + NO_CHANGE_COST * (before == after) + after[0].count(1) / len(after[0])


def _look(matcher: Matcher) -> Look:
    return matcher.allowed().tobytes(), matcher.is_accepting()
