"""Product construction: the texts that two expressions both describe, as an automaton (Rabin & Scott 1959).

    [ab]{2} and a.* ──▶ states that are pairs of states, one of each NFA ──▶ a[ab]

Unlike the subset construction it needs no vocabulary: what two character classes have in common is written as a class.
"""

import re
from collections import deque

from letterwise.inference.constraints.language.expression import Automaton, CharClass, Expression, Unsupported
from letterwise.inference.constraints.language.nfa import NFA, Budget

EVERY = CharClass(r"[\x{0}-\x{10ffff}]")
ITEM = re.compile(r"(?P<first>\\x\{[0-9a-f]+\}|[^\\\[\]^&~-])(?:-(?P<last>\\x\{[0-9a-f]+\}|[^\\\[\]^&~-]))?")
MAX_LISTED = 256  # characters of a range that are listed, to see what it has in common with another class


def product(left: Expression, right: Expression) -> Automaton:
    """Texts that both describe. Raises `Unsupported` for rules and letter case, and `TooLarge`."""
    budget = Budget()
    a, b = NFA(left, budget), NFA(right, budget)
    if any(a.calls) or any(b.calls):
        raise Unsupported("a rule")
    start = (a.start, b.start)
    numbers, todo, transitions = {start: 0}, deque([start]), list[tuple[tuple[Expression, int], ...]]()
    while todo:
        here = todo.popleft()
        moves: list[tuple[Expression, int]] = []
        for class_a, next_a in (move for state in a.closure(here[0]) for move in a.transitions[state]):
            for class_b, next_b in (move for state in b.closure(here[1]) for move in b.transitions[state]):
                budget.spend(1)
                if common := common_class(class_a, class_b):
                    if (target := (next_a, next_b)) not in numbers:
                        numbers[target] = len(numbers)
                        todo.append(target)
                    moves.append((common, numbers[target]))
        transitions.append(tuple(moves))
    accepting = (n for (i, j), n in numbers.items() if a.accept in a.closure(i) and b.accept in b.closure(j))
    return Automaton(tuple(transitions), frozenset(accepting))


def common_class(a: CharClass, b: CharClass) -> CharClass | None:
    """The characters of both classes; None where there are none for certain."""
    if a == b or b == EVERY:
        return a
    if a == EVERY:
        return b
    if a.flags or b.flags:
        raise Unsupported("letter case")
    points_a, points_b = _code_points(a.source), _code_points(b.source)
    if points_a is None or points_b is None:
        return CharClass(f"[{_bracketed(a.source)}&&{_bracketed(b.source)}]")
    both = sorted(points_a & points_b)
    return CharClass("[" + "".join(f"\\x{{{point:x}}}" for point in both) + "]") if both else None


def _bracketed(source: str) -> str:
    return source if source.startswith("[") else f"[{source}]"


def _code_points(source: str) -> set[int] | None:
    """The code points of a class that lists them, alone or as short ranges; None for another class."""
    if len(source) == 2 and source[0] == "\\" and not source[1].isalnum():
        return {ord(source[1])}
    inside = source[1:-1] if source[0] == "[" and len(source) > 2 else source
    points, at = set[int](), 0
    while at < len(inside):
        if not (item := ITEM.match(inside, at)):
            return None
        first, last = _code_point(item["first"]), _code_point(item["last"] or item["first"])
        if last - first >= MAX_LISTED:
            return None
        points.update(range(first, last + 1))
        at = item.end()
    return points


def _code_point(item: str) -> int:
    return int(item[3:-1], 16) if len(item) > 1 else ord(item)
