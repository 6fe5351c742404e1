"""Subset construction: one DFA of the texts that several expressions all describe.

    expressions ──Thompson──▶ NFAs ──sets of NFA states (Rabin & Scott 1959)──▶ DFA, a table

A DFA state is, for each NFA, the set of states in which that NFA may be. It accepts when all NFAs do: the DFA's
language is the intersection of theirs. The DFA is not minimised: a draw costs the same in any state.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Sequence

import numpy as np

from letterwise.inference.constraints.language.dfa import DFA, START, UNREACHABLE
from letterwise.inference.constraints.language.expression import CharClass, Expression, TooLarge
from letterwise.inference.constraints.language.nfa import MAX_CLASSES, NFA, Budget
from letterwise.shapes import Bool, Int

Subset = tuple[frozenset[int], ...]  # the states of each NFA


def dfa_of(expressions: Sequence[Expression], vocab_size: int, mask_of: Callable[[CharClass], Bool[np.ndarray, "V"]]) -> DFA:
    """The DFA of texts that match all of some expressions. `mask_of` gives the characters of a class (V,).

    Raises `TooLarge`.
    """
    budget = Budget()
    nfas = [NFA(expression, budget) for expression in expressions]
    char_classes = distinct_classes(nfas)
    masks = np.array([mask_of(char_class) for char_class in char_classes]).reshape(len(char_classes), vocab_size)
    columns, classes = np.unique(masks, axis=1, return_inverse=True)
    classes_of = {char_class: np.flatnonzero(row).tolist() for char_class, row in zip(char_classes, columns, strict=True)}

    start: Subset = tuple(nfa.closure(nfa.start) for nfa in nfas)
    numbers, todo = {start: START}, deque([start])
    transitions, accepting = [np.zeros(columns.shape[1], np.int32)], [False]  # of the state DEAD
    while todo:
        subset = todo.popleft()
        budget.spend(columns.shape[1])
        row = np.zeros(columns.shape[1], np.int32)
        for class_, target in _moves(nfas, subset, classes_of).items():
            if target not in numbers:
                numbers[target] = len(numbers) + START
                todo.append(target)
            row[class_] = numbers[target]
        transitions.append(row)
        accepting.append(all(nfa.accept in states for nfa, states in zip(nfas, subset, strict=True)))
    table = np.array(transitions)
    return DFA(classes.reshape(-1).astype(np.int32), table, _distances(table, accepting))


def distinct_classes(nfas: Sequence[NFA]) -> list[CharClass]:
    """Each character class that some NFAs read, once. Raises `TooLarge`."""
    found = list({char_class: None for nfa in nfas for moves in nfa.transitions for char_class, _ in moves})
    if len(found) > MAX_CLASSES:
        raise TooLarge
    return found


def _moves(nfas: Sequence[NFA], subset: Subset, classes_of: dict[CharClass, list[int]]) -> dict[int, Subset]:
    """The next subset for each class of characters that every NFA can read."""
    found: list[dict[int, set[int]]] = []
    for nfa, states in zip(nfas, subset, strict=True):
        moves: dict[int, set[int]] = defaultdict(set)
        for state in states:
            for char_class, target in nfa.transitions[state]:
                closure = nfa.closure(target)
                nfa.budget.spend(len(classes_of[char_class]) * (1 + len(closure)))
                for class_ in classes_of[char_class]:
                    moves[class_] |= closure
        found.append(moves)
    shared = [class_ for class_ in found[0] if all(class_ in moves for moves in found)]
    return {class_: tuple(frozenset(moves[class_]) for moves in found) for class_ in shared}


def _distances(transitions: Int[np.ndarray, "S K"], accepting: Sequence[bool]) -> Int[np.ndarray, "S"]:
    """Characters from each state to the nearest accepting state (S,): a breadth-first search backwards from those."""
    sources: list[set[int]] = [set() for _ in transitions]
    for state, row in enumerate(transitions):
        for target in set(row.tolist()):
            sources[target].add(state)
    distances = np.full(len(transitions), UNREACHABLE, np.int32)
    todo = deque(np.flatnonzero(accepting).tolist())
    distances[list(todo)] = 0
    while todo:
        state = todo.popleft()
        for source in sources[state]:
            if distances[source] == UNREACHABLE:
                distances[source] = distances[state] + 1
                todo.append(source)
    return distances
