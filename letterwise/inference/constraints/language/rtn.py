"""RTN: rules that call each other, each an NFA, and how far each state is from the end of its rule.

    {"start": "a" start? "b"} ──▶ states with transitions (a character class), ε, and calls (a rule) ──▶ costs (S, Q, Q)

A recursive transition network (Woods 1970). What else is asked, and is regular (texts to contain, one line), is a DFA
of Q states that reads along. `costs[s, q, r]` is the fewest characters from state s and DFA state q to the end of the
rule of s, in DFA state r: the cheapest derivation (Knuth 1977), found by relaxing until nothing changes. It is exact,
so nothing is searched for later.
"""

from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from letterwise.inference.constraints.language.dfa import DFA, START, UNREACHABLE
from letterwise.inference.constraints.language.expression import CharClass, Expression, TooLarge
from letterwise.inference.constraints.language.nfa import NFA, Budget
from letterwise.inference.constraints.language.subset_construction import distinct_classes
from letterwise.shapes import Bool, Int

NEVER = 10**9  # a cost: no number of characters is enough; two of them still fit into an int64
MAX_COSTS = 2**22  # numbers in `costs`


class Transition(NamedTuple):
    """Characters of these classes lead to the target state."""

    classes: Int[np.ndarray, "k"]
    target: int
    class_set: frozenset[int]  # the same classes, to look one up


class RTN:
    """The states of all rules, numbered through, beside a DFA over the same vocabulary.

    Attributes:
        classes: the class of each character (V,).
        dfa_transitions: the next DFA state, for each DFA state and class (Q, K).
        dfa_accepting: which DFA states accept (Q,).
        rule_of: the rule of each state.
        rule_start: the first state of each rule.
        rule_ends: the states in which rules end.
        transitions, epsilon, calls: what leads on from each state: by a character, by nothing, by a rule.
        closures: the states reached without reading, from each in which a text can be after a character or a rule.
        costs: see above (S, Q, Q).
        nullable: rules that may be empty.
    """

    def __init__(
        self,
        rules: Mapping[str, Expression],
        vocab_size: int,
        mask_of: Callable[[CharClass], Bool[np.ndarray, "V"]],
        dfa: DFA,
    ) -> None:
        """`rules` has one named `START_RULE`; `mask_of` gives the characters of a class (V,). Raises `TooLarge`."""
        self.budget = Budget()
        nfas = {name: NFA(expression, self.budget) for name, expression in rules.items()}
        char_classes = distinct_classes([*nfas.values()])
        masks = np.array([mask_of(char_class) for char_class in char_classes], bool).reshape(len(char_classes), vocab_size)
        columns, inverse = np.unique(np.vstack((masks, dfa.classes[None])), axis=1, return_inverse=True)
        self.classes = inverse.reshape(-1).astype(np.int64)
        self.dfa_transitions = dfa.transitions[:, columns[-1].astype(np.int64)].astype(np.int64)
        self.dfa_accepting = dfa.distances == 0
        classes_of = {c: np.flatnonzero(row) for c, row in zip(char_classes, columns[:-1], strict=True)}
        self.rule_start: dict[str, int] = {}
        self.rule_of: list[str] = []
        self.rule_ends: set[int] = set()
        self.transitions: list[list[Transition]] = []
        self.epsilon: list[list[int]] = []
        self.calls: list[list[tuple[str, int]]] = []
        self.closures: list[tuple[int, ...]] = []
        for name, nfa in nfas.items():
            self._add(name, nfa, classes_of)
        self.costs = self._costs()
        self.nullable = {name for name, start in self.rule_start.items() if not self.costs[start].diagonal().all()}

    def _add(self, name: str, nfa: NFA, classes_of: Mapping[CharClass, Int[np.ndarray, "k"]]) -> None:
        """Add the states of a rule behind those that are there."""
        first = len(self.rule_of)
        self.rule_start[name] = first + nfa.start
        self.rule_ends.add(first + nfa.accept)
        self.rule_of += [name] * len(nfa.epsilon)
        self.epsilon += [[first + state for state in targets] for targets in nfa.epsilon]
        self.calls += [[(rule, first + state) for rule, state in calls] for calls in nfa.calls]
        self.transitions += [
            [Transition(classes_of[c], first + target, frozenset(classes_of[c].tolist())) for c, target in moves]
            for moves in nfa.transitions
        ]
        for state in reversed(range(len(nfa.epsilon))):  # where several ways part, others lead to: once is enough
            if len(nfa.epsilon[state]) > 1:
                nfa.closure(state)
        entered = {nfa.start, *(target for moves in (*nfa.transitions, *nfa.calls) for _, target in moves)}
        self.closures += [
            tuple(first + s for s in sorted(nfa.closure(state))) if state in entered else ()
            for state in range(len(nfa.epsilon))
        ]

    def _costs(self) -> Int[np.ndarray, "S Q Q"]:
        """The fewest characters from each state and DFA state to the end of the state's rule, in each DFA state."""
        states, dfa_states = len(self.rule_of), len(self.dfa_transitions)
        if states * dfa_states * dfa_states > MAX_COSTS:
            raise TooLarge
        costs = np.full((states, dfa_states, dfa_states), NEVER, np.int64)
        costs[sorted(self.rule_ends)] = np.where(np.eye(dfa_states, dtype=bool), 0, NEVER)
        dependents = self._dependents()
        todo, waiting = deque(reversed(range(states))), [True] * states
        while todo:
            state = todo.popleft()
            waiting[state] = False
            if np.array_equal(new := self._cost(costs, state), costs[state]):
                continue
            costs[state] = new
            for dependent in dependents[state]:
                if not waiting[dependent]:
                    waiting[dependent] = True
                    todo.append(dependent)
        return costs

    def _dependents(self) -> list[set[int]]:
        """For each state, the states whose costs are made of its own."""
        dependents: list[set[int]] = [set() for _ in self.rule_of]
        for state in range(len(self.rule_of)):
            for target in (*self.epsilon[state], *(transition.target for transition in self.transitions[state])):
                dependents[target].add(state)
            for rule, target in self.calls[state]:
                dependents[target].add(state)
                dependents[self.rule_start[rule]].add(state)
        return dependents

    def _cost(self, costs: Int[np.ndarray, "S Q Q"], state: int) -> Int[np.ndarray, "Q Q"]:
        """The costs of one state, from those of the states that it leads to."""
        dfa_states, fewest = len(self.dfa_transitions), costs[state].copy()
        self.budget.spend(dfa_states * dfa_states)
        for target in self.epsilon[state]:
            np.minimum(fewest, costs[target], out=fewest)
        for classes, target, _ in self.transitions[state]:
            if len(classes):
                self.budget.spend(dfa_states * dfa_states * len(classes))
                np.minimum(fewest, 1 + costs[target][self.dfa_transitions[:, classes]].min(axis=1), out=fewest)
        for rule, target in self.calls[state]:
            self.budget.spend(dfa_states**3)
            called = costs[self.rule_start[rule]]
            np.minimum(fewest, (called[:, :, None] + costs[target][None]).min(axis=1), out=fewest)
        return np.minimum(fewest, NEVER)


def any_text(vocab_size: int) -> DFA:
    """The DFA of all texts."""
    return DFA(np.zeros(vocab_size, np.int32), np.array([[0], [START]], np.int32), np.array([UNREACHABLE, 0], np.int32))
