"""NFA: an expression as a nondeterministic finite automaton (Thompson 1968).

    ab*      start ──a──▶ 1 ──ε──▶ accept ──b──▶ 2 ──ε──▶ accept

Each node of the expression adds a few states. A transition with a character class reads one character; an ε-transition
reads nothing. A rule is a call: see rtn.py.
"""

from letterwise.inference.constraints.language.expression import (
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
            seen, todo = {state}, [state]
            while todo:
                new = [s for s in self.epsilon[todo.pop()] if s not in seen]
                self.budget.spend(1 + len(new))
                seen.update(new)
                todo += new
            self.closures[state] = frozenset(s for s in seen if self.transitions[s] or self.calls[s] or s == self.accept)
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
                    self.epsilon[self._add(part, self._behind(begin))].append(end)
            case Repeat(part, minimum, maximum):
                end = self._add_repeat(part, minimum, maximum, begin)
            case Separated(part, separator):
                again = self._behind(begin)
                end = self._behind(self._add(part, again))
                self.epsilon[self._add(separator, end)].append(again)
            case Members(parts, separator):
                end = self._add_members(parts, separator, begin)
        return end

    def _add_repeat(self, part: Expression, minimum: int, maximum: int | None, state: int) -> int:
        for _ in range(minimum):
            self.budget.spend(1)
            state = self._add(part, self._behind(state))
        end = self._behind(state)
        if maximum is None:
            self.epsilon[self._add(part, end)].append(end)
        for _ in range((maximum or 0) - minimum):
            state = self._add(part, self._behind(state))
            self.epsilon[state].append(end)
        return end

    def _add_members(self, parts: tuple[tuple[Expression, bool], ...], separator: Expression, begin: int) -> int:
        none, some = self._behind(begin), self._new_state()  # none, or some, of the parts before are written
        for part, required in parts:
            start, done = self._behind(none), self._new_state()
            self.epsilon[self._add(separator, some)].append(start)
            self.epsilon[self._add(part, start)].append(done)
            if not required:
                self.epsilon[some].append(done)
            none, some = (self._new_state() if required else self._behind(none)), done
        end = self._behind(some)
        self.epsilon[none].append(end)
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
