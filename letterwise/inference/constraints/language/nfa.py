"""NFA: an expression as a nondeterministic finite automaton (Thompson 1968).

    ab*      start ──a──▶ 1 ──ε──▶ accept ──b──▶ 2 ──ε──▶ accept

Each node of the expression adds a few states. A transition with a character class reads one character; an ε-transition
reads nothing. A rule is a call: see rtn.py.
"""

from letterwise.inference.constraints.language.expression import (
    Automaton,
    CharClass,
    Choice,
    Concat,
    Expression,
    Members,
    Repeat,
    RuleRef,
    Separated,
    TooLarge,
)

MAX_STATES, MAX_CLASSES, BUDGET = 20_000, 1_000, 2**20  # states of one NFA; different classes; steps of work in all


class Budget:
    """Steps of work that may be spent on automata: about a second. What needs more is done in another way."""

    def __init__(self) -> None:
        self.left = BUDGET

    def spend(self, steps: int) -> None:
        """Raises `TooLarge` when nothing is left."""
        self.left -= steps
        if self.left < 0:
            raise TooLarge


class NFA:
    """States, numbered from 0, and what leads from each to others. A text is accepted in the state `accept`.

    Attributes:
        transitions: for each state, (character class, next state).
        epsilon: for each state, the states reached without reading.
        calls: for each state, (name of a rule, the state to return to).
    """

    def __init__(self, expression: Expression, budget: Budget) -> None:
        """Raises `TooLarge`."""
        self.budget = budget
        self.transitions: list[list[tuple[CharClass, int]]] = []
        self.epsilon: list[list[int]] = []
        self.calls: list[list[tuple[str, int]]] = []
        self.start = self._new_state()
        self.accept = self._add(expression, self.start)
        self.closures: dict[int, frozenset[int]] = {}

    def closure(self, state: int) -> frozenset[int]:
        """The states reached without reading, this one included; only those that read, call or accept."""
        if state not in self.closures:
            seen, todo, known = {state}, [state], set[int]()
            while todo:
                here = todo.pop()
                if here in self.closures:
                    known |= self.closures[here]
                    self.budget.spend(1 + len(self.closures[here]) // 16)
                    continue
                new = [s for s in self.epsilon[here] if s not in seen]
                self.budget.spend(1 + len(new))
                seen.update(new)
                todo += new
            found = (s for s in seen if self.transitions[s] or self.calls[s] or s == self.accept)
            self.closures[state] = frozenset(known.union(found))
        return self.closures[state]

    def _add(self, expression: Expression, begin: int) -> int:
        """Add the states of an expression behind `begin`. Returns the state in which it is complete."""
        match expression:
            case CharClass():
                end = self._new_state()
                self.transitions[begin].append((expression, end))
            case RuleRef(name):
                end = self._new_state()
                self.calls[begin].append((name, end))
            case Concat(parts):
                end = begin
                for part in parts:
                    end = self._add(part, end)
            case Choice(parts):
                end = self._new_state()
                for part in parts:
                    if isinstance(part, CharClass):
                        self.transitions[begin].append((part, end))
                    else:
                        self.epsilon[self._add(part, self._behind(begin))].append(end)
            case Repeat(part, minimum, maximum):
                end = self._add_repeat(part, minimum, maximum, begin)
            case Separated(part, separator):
                again = self._behind(begin)
                end = self._behind(self._add(part, again))
                self.epsilon[self._add(separator, end)].append(again)
            case Members(parts, separator):
                end = self._add_members(parts, separator, begin)
            case Automaton(transitions, accepting):
                end = self._add_automaton(transitions, accepting, begin)
        return end

    def _add_repeat(self, part: Expression, minimum: int, maximum: int | None, state: int) -> int:
        """From `minimum` to `maximum` times a part (None: any number), behind a state. The state at its end."""
        for _ in range(minimum):
            self.budget.spend(1)
            state = self._add(part, state)
        end = self._behind(state)
        if maximum is None:
            self.epsilon[self._add(part, end)].append(end)
        for _ in range((maximum or 0) - minimum):
            state = self._add(part, state)
            self.epsilon[state].append(end)
        return end

    def _add_members(self, parts: tuple[tuple[Expression, bool], ...], separator: Expression, begin: int) -> int:
        """Before each part, and behind the last: none of those before are written, some are, or a separator is, too.

        Only behind the separator one of many parts follows, so there are few states with a large closure.
        """
        none, some, ready = ([self._new_state() for _ in range(len(parts) + 1)] for _ in range(3))
        end, last = self._new_state(), max((i for i, (_, required) in enumerate(parts) if required), default=-1)
        self.epsilon[begin].append(none[0])
        for i, (part, required) in enumerate(parts):
            start = self._new_state()
            self.epsilon[none[i]].append(start)
            self.epsilon[ready[i]].append(start)
            self.epsilon[self._add(part, start)].append(some[i + 1])
            self.epsilon[self._add(separator, some[i])].append(ready[i])
            if not required:
                self.epsilon[none[i]].append(none[i + 1])
                self.epsilon[ready[i]].append(ready[i + 1])
        for state in (none[-1], *some[last + 1 :]):
            self.epsilon[state].append(end)
        return end

    def _add_automaton(
        self, transitions: tuple[tuple[tuple[Expression, int], ...], ...], accepting: frozenset[int], begin: int
    ) -> int:
        """An automaton's states, of which the first is `begin`, and its moves. The state behind those that accept."""
        states = [self._behind(begin), *(self._new_state() for _ in transitions[1:])]
        for state, moves in zip(states, transitions, strict=True):
            for part, target in moves:
                if isinstance(part, CharClass):
                    self.transitions[state].append((part, states[target]))
                else:
                    self.epsilon[self._add(part, self._behind(state))].append(states[target])
        end = self._new_state()
        for state in accepting:
            self.epsilon[states[state]].append(end)
        return end

    def _new_state(self) -> int:
        if len(self.epsilon) == MAX_STATES:
            raise TooLarge
        self.transitions.append([])
        self.epsilon.append([])
        self.calls.append([])
        return len(self.epsilon) - 1

    def _behind(self, state: int) -> int:
        """A new state that is reached from another without reading."""
        new = self._new_state()
        self.epsilon[state].append(new)
        return new
