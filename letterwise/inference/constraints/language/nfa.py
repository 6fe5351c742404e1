"""NFA: expressions become an automaton.

    expressions ──(Thompson 1968)──▶ a net of places for each ──sets of places (Rabin & Scott 1959)──▶ Automaton

A state of the automaton is all places where a text may be, in each net. So texts that several expressions describe at once
match all of them. The engine of matching.py says the same, a character at a time; it is the oracle in tests/inference.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Int

from letterwise.inference.constraints.language.dfa import DFA, START, UNREACHABLE
from letterwise.inference.constraints.language.regex import (
    Chain,
    Choice,
    Expression,
    Members,
    One,
    Repeat,
    Row,
    Rule,
    TooLarge,
)

LARGEST, MANY, EFFORT = 20_000, 1_000, 2**20  # places of a net; different characters and classes; places looked at in all


class Effort:
    """What may be spent on a table: a second or so. What needs more is left to the engine."""

    def __init__(self) -> None:
        self.left = EFFORT

    def spend(self, places: int) -> None:
        """So many places more are looked at. Raises `TooLarge`."""
        self.left -= places
        if self.left < 0:
            raise TooLarge


class Net:
    """Places with arrows: some are followed by a character, some without. The text is whole at `end`."""

    def __init__(self, expression: Expression, effort: Effort) -> None:
        """Raises `TooLarge`."""
        self.effort = effort
        self.arrows: list[list[tuple[One, int]]] = []
        self.free: list[list[int]] = []
        self.calls: list[list[tuple[str, int]]] = []  # rules that lead on to a place
        self.begin = self._place()
        self.end = self._add(expression, self.begin)
        self.reach: dict[int, frozenset[int]] = {}

    def _place(self) -> int:
        if len(self.free) == LARGEST:
            raise TooLarge
        self.arrows.append([])
        self.calls.append([])
        self.free.append([])
        return len(self.free) - 1

    def _add(self, expression: Expression, at: int) -> int:
        """Lay an expression from a place on. The place where it is whole."""
        match expression:
            case One():
                end = self._place()
                self.arrows[at].append((expression, end))
            case Rule(name):
                end = self._place()
                self.calls[at].append((name, end))
            case Row(parts):
                end = at
                for part in parts:
                    end = self._add(part, end)
            case Choice(parts):
                end = self._place()
                for part in parts:
                    self.free[self._add(part, self._after(at))].append(end)
            case Repeat(part, least, most):
                for _ in range(least):
                    self.effort.spend(1)
                    at = self._add(part, self._after(at))
                end = self._after(at)
                if most is None:
                    self.free[self._add(part, end)].append(end)
                for _ in range((most or 0) - least):
                    at = self._add(part, self._after(at))
                    self.free[at].append(end)
            case Chain(part, by):
                begin = self._after(at)
                end = self._after(self._add(part, begin))
                self.free[self._add(by, end)].append(begin)
            case Members(parts, by):
                none, some = self._after(at), self._place()  # none or some of those before are written
                for part, required in parts:
                    begin, done = self._after(none), self._place()
                    self.free[self._add(by, some)].append(begin)
                    self.free[self._add(part, begin)].append(done)
                    if not required:
                        self.free[some].append(done)
                    none, some = (self._place() if required else self._after(none)), done
                end = self._after(some)
                self.free[none].append(end)
        return end

    def _after(self, at: int) -> int:
        """A new place that is reached from another without a character."""
        place = self._place()
        self.free[at].append(place)
        return place

    def reached(self, place: int) -> frozenset[int]:
        """Where one is at this place, besides: those places that have arrows, and the end."""
        if place not in self.reach:
            seen, todo = {place}, [place]
            while todo:
                new = [p for p in self.free[todo.pop()] if p not in seen]
                self.effort.spend(1 + len(new))
                seen.update(new)
                todo += new
            self.reach[place] = frozenset(p for p in seen if self.arrows[p] or self.calls[p] or p == self.end)
        return self.reach[place]


def dfa_of(expressions: Sequence[Expression], vocab_size: int, which: Callable[[One], Bool[np.ndarray, "V"]]) -> DFA:
    """The automaton of texts that match all of some expressions; `which` says what characters a `One` stands for.

    Raises `TooLarge`.
    """
    effort = Effort()
    nets = [Net(expression, effort) for expression in expressions]
    ones = list({one: None for net in nets for arrows in net.arrows for one, _ in arrows})
    if len(ones) > MANY:
        raise TooLarge
    masks = np.array([which(one) for one in ones]).reshape(len(ones), vocab_size)
    columns, classes = np.unique(masks, axis=1, return_inverse=True)
    kinds_of = {one: np.flatnonzero(row).tolist() for one, row in zip(ones, columns, strict=True)}

    start = tuple(net.reached(net.begin) for net in nets)
    numbers, todo = {start: START}, deque([start])
    transitions, whole = [np.zeros(columns.shape[1], np.int32)], [False]
    while todo:
        state = todo.popleft()
        effort.spend(columns.shape[1])
        row = np.zeros(columns.shape[1], np.int32)
        for kind, places in _moves(nets, state, kinds_of).items():
            if places not in numbers:
                numbers[places] = len(numbers) + START
                todo.append(places)
            row[kind] = numbers[places]
        transitions.append(row)
        whole.append(all(net.end in places for net, places in zip(nets, state, strict=True)))
    table = np.array(transitions)
    return DFA(classes.reshape(-1).astype(np.int32), table, _ends(table, whole))


def _moves(
    nets: Sequence[Net], state: tuple[frozenset[int], ...], kinds_of: dict[One, list[int]]
) -> dict[int, tuple[frozenset[int], ...]]:
    """Where each kind of character leads that leads anywhere in all nets."""
    found: list[dict[int, set[int]]] = []
    for net, places in zip(nets, state, strict=True):
        moves: dict[int, set[int]] = defaultdict(set)
        for place in places:
            for one, target in net.arrows[place]:
                reached = net.reached(target)
                net.effort.spend(len(kinds_of[one]) * (1 + len(reached)))
                for kind in kinds_of[one]:
                    moves[kind] |= reached
        found.append(moves)
    return {
        kind: tuple(frozenset(moves[kind]) for moves in found) for kind in found[0] if all(kind in moves for moves in found)
    }


def _ends(transitions: Int[np.ndarray, "S K"], whole: Sequence[bool]) -> Int[np.ndarray, "S"]:
    """How many characters at least are missing in each state (S,), found backwards from the whole ones."""
    before: list[set[int]] = [set() for _ in transitions]
    for state, row in enumerate(transitions):
        for target in set(row.tolist()):
            before[target].add(state)
    ends = np.full(len(transitions), UNREACHABLE, np.int32)
    todo = deque(np.flatnonzero(whole).tolist())
    ends[list(todo)] = 0
    while todo:
        state = todo.popleft()
        for earlier in before[state]:
            if ends[earlier] == UNREACHABLE:
                ends[earlier] = ends[state] + 1
                todo.append(earlier)
    return ends
