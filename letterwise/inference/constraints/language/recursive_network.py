"""Recursive network: rules that call each other, as NFAs, and how far each place is from the end of its rule.

    {"start": "a" start? "b"} ──▶ places with arrows (a character), calls (a rule) and free steps ──▶ costs (P, Q, Q)

A recursive transition network (Woods 1970). What is regular besides (texts to contain, one line) is an automaton of Q states
that is read along. `costs[p, q, r]` is the fewest characters from place p and state q to the end of p's rule in state r: the
shortest derivation (Knuth 1977), found by relaxing until nothing changes. It is exact, so nothing has to be searched for later.
"""

from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from letterwise.inference.constraints.language.dfa import DFA, START, UNREACHABLE
from letterwise.inference.constraints.language.nfa import MANY, Effort, Net
from letterwise.inference.constraints.language.regex import Expression, One, TooLarge

FAR = 10**9  # characters: no way leads there
MOST_COSTS = 2**22  # numbers in `costs`
BEGIN = "start"  # the rule of a whole text


class Arrow(NamedTuple):
    """Characters of these kinds lead to a place."""

    classes: Int[np.ndarray, "k"]
    target: int
    members: frozenset[int]  # the kinds again


class Network:
    """All places of all rules, numbered through.

    Attributes:
        kinds: which kind each character is of (V,).
        goes, whole: the automaton beside it: (Q, K) states, and which of them are whole.
        begins, rule_of, ends: where each rule begins; the rule of each place; the places where rules end.
        arrows, calls, reached: what leads on from each place; the places where one is there besides.
    """

    def __init__(
        self,
        rules: Mapping[str, Expression],
        vocab_size: int,
        which: Callable[[One], Bool[np.ndarray, "V"]],
        beside: DFA,
    ) -> None:
        """`rules` has one named `BEGIN`. `beside` is an automaton over the same vocabulary. Raises `TooLarge`."""
        self.effort = Effort()
        nets = {name: Net(expression, self.effort) for name, expression in rules.items()}
        ones = list({one: None for net in nets.values() for arrows in net.arrows for one, _ in arrows})
        if len(ones) > MANY:
            raise TooLarge
        masks = np.array([which(one) for one in ones], bool).reshape(len(ones), vocab_size)
        columns, inverse = np.unique(np.vstack((masks, beside.classes[None])), axis=1, return_inverse=True)
        self.classes = inverse.reshape(-1).astype(np.int64)
        self.transitions = beside.transitions[:, columns[-1].astype(np.int64)].astype(np.int64)
        self.whole = beside.distances == 0
        kinds_of = {one: np.flatnonzero(row) for one, row in zip(ones, columns[:-1], strict=True)}
        self.begins: dict[str, int] = {}
        self.rule_of: list[str] = []
        self.ends: set[int] = set()
        self.arrows: list[list[Arrow]] = []
        self.calls: list[list[tuple[str, int]]] = []
        self.free: list[list[int]] = []
        self.reached: list[tuple[int, ...]] = []
        for name, net in nets.items():
            first = len(self.rule_of)
            self.begins[name] = first + net.begin
            self.ends.add(first + net.end)
            self.rule_of += [name] * len(net.free)
            self.free += [[first + p for p in places] for places in net.free]
            self.calls += [[(rule, first + p) for rule, p in calls] for calls in net.calls]
            self.arrows += [
                [Arrow(kinds_of[one], first + p, frozenset(kinds_of[one].tolist())) for one, p in arrows]
                for arrows in net.arrows
            ]
            self.reached += [tuple(first + p for p in sorted(net.reached(place))) for place in range(len(net.free))]
        self.costs = self._costs()
        self.nullable = {name for name, begin in self.begins.items() if not self.costs[begin].diagonal().all()}

    def _costs(self) -> Int[np.ndarray, "P Q Q"]:
        """The fewest characters from each place and state to the end of the place's rule, in each state."""
        places, states = len(self.rule_of), len(self.transitions)
        if places * states * states > MOST_COSTS:
            raise TooLarge
        costs = np.full((places, states, states), FAR, np.int64)
        costs[sorted(self.ends)] = np.where(np.eye(states, dtype=bool), 0, FAR)
        before = self._before()
        todo, waits = deque(reversed(range(places))), [True] * places
        while todo:
            place = todo.popleft()
            waits[place] = False
            if np.array_equal(new := self._cost(costs, place), costs[place]):
                continue
            costs[place] = new
            for earlier in before[place]:
                if not waits[earlier]:
                    waits[earlier] = True
                    todo.append(earlier)
        return costs

    def _before(self) -> list[set[int]]:
        """The places whose costs rest on each place's."""
        before: list[set[int]] = [set() for _ in self.rule_of]
        for place in range(len(self.rule_of)):
            for target in (*self.free[place], *(arrow.target for arrow in self.arrows[place])):
                before[target].add(place)
            for rule, target in self.calls[place]:
                before[target].add(place)
                before[self.begins[rule]].add(place)
        return before

    def _cost(self, costs: Int[np.ndarray, "P Q Q"], place: int) -> Int[np.ndarray, "Q Q"]:
        """One place's, from those that it leads to."""
        states, least = len(self.transitions), costs[place].copy()
        self.effort.spend(states * states)
        for target in self.free[place]:
            np.minimum(least, costs[target], out=least)
        for classes, target, _ in self.arrows[place]:
            if len(classes):
                self.effort.spend(states * states * len(classes))
                np.minimum(least, 1 + costs[target][self.transitions[:, classes]].min(axis=1), out=least)
        for rule, target in self.calls[place]:
            self.effort.spend(states**3)
            called = costs[self.begins[rule]]
            np.minimum(least, (called[:, :, None] + costs[target][None]).min(axis=1), out=least)
        return np.minimum(least, FAR)


def anything(vocab_size: int) -> DFA:
    """An automaton that lets everything pass."""
    return DFA(np.zeros(vocab_size, np.int32), np.array([[0], [START]], np.int32), np.array([UNREACHABLE, 0], np.int32))
