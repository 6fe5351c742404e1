"""Earley guide: one text in a language of rules that call each other, read in all ways at once.

    RTN ──item set of the empty text──advance(id)──▶ item set after each character ──costs──▶ allowed (V,)

Earley's recogniser (1970), with characters as terminals. An item is a state of the RTN and its origin: the item set in
which its rule was called. Rules that may be empty are stepped over where they are called (Aycock & Horspool 2002).
Beside its items, a set knows how many characters are still needed: the cost of the item's state to the end of its rule,
and behind that what its callers need; the minimum over all. A character is allowed exactly when some text that matches,
short enough, goes on with it. Nothing is searched for, and no text gets stuck.
"""

from dataclasses import dataclass, field

import numpy as np

from letterwise.errors import UserError
from letterwise.inference.constraints.language.dfa import START
from letterwise.inference.constraints.language.expression import START_RULE
from letterwise.inference.constraints.language.rtn import NEVER, RTN
from letterwise.shapes import Bool, Int

MAX_ITEMS = 20_000  # in one set: as many ways to read one text are more than it is worth

Item = tuple[int, "ItemSet"]  # a state of the RTN, and the set in which its rule was called


@dataclass(eq=False)
class ItemSet:
    """All ways to read a text so far: one column of Earley's chart.

    Attributes:
        dfa_state: the state of the DFA that reads along.
        items: in the order in which they were found.
        callers: for each rule that is called here, where its callers go on: a state, and their origin.
        needed: for each rule that is called here, characters from its end to the end of the text, by DFA state (Q,).
        after: the next set for each class of characters, once asked for.
        costs: characters that complete the text, for each class of the first of them (K,), once asked for.
    """

    dfa_state: int
    items: dict[Item, None] = field(default_factory=dict)
    callers: dict[str, dict[Item, None]] = field(default_factory=dict)
    needed: dict[str, Int[np.ndarray, "Q"]] = field(default_factory=dict)
    after: "dict[int, ItemSet]" = field(default_factory=dict)
    costs: Int[np.ndarray, "K"] | None = None


class EarleyGuide:
    """An item set, and how many characters are left."""

    def __init__(self, rtn: RTN, left: int, items: ItemSet | None = None) -> None:
        self.rtn, self.left = rtn, left
        self.items = items or self._start()

    def fork(self) -> "EarleyGuide":
        """A copy that goes its own way from here."""
        return EarleyGuide(self.rtn, self.left, self.items)

    def allowed(self) -> Bool[np.ndarray, "V"]:
        """Which characters may follow (V,)."""
        return (self._costs() <= self.left)[self.rtn.classes]

    def is_accepting(self) -> bool:
        """Does the text match as it stands?"""
        ends = any(state in self.rtn.rule_ends and not origin.needed for state, origin in self.items.items)
        return ends and bool(self.rtn.dfa_accepting[self.items.dfa_state])

    def is_finished(self) -> bool:
        """Does the text match, and can nothing follow?"""
        return self.is_accepting() and not self.allowed().any()

    def advance(self, id: int) -> bool:
        """Read an allowed character."""
        class_ = int(self.rtn.classes[id])
        if class_ not in self.items.after:
            self.items.after[class_] = self._scan(class_)
        self.items, self.left = self.items.after[class_], self.left - 1
        return True

    def step_to_end(self) -> int:
        """Read one character on the shortest way to the end, and return it."""
        id = int(self._costs()[self.rtn.classes].argmin())
        self.advance(id)
        return id

    def completion(self) -> list[int]:
        """The shortest ids that complete the text."""
        guide, ids = self.fork(), []
        while not guide.is_accepting():
            ids.append(guide.step_to_end())
        return ids

    def distance(self) -> int:
        """How many characters the shortest completion has; `NEVER` or more when there is none."""
        return 0 if self.is_accepting() else int(self._costs().min(initial=NEVER))

    def _start(self) -> ItemSet:
        """The set of the empty text. The start rule is called by an empty set, in which nothing is needed behind it."""
        root, items = ItemSet(START), ItemSet(START)
        self._close(items, [(self.rtn.rule_start[START_RULE], root)])
        return items

    def _scan(self, class_: int) -> ItemSet:
        """The set after a character of a class."""
        rtn, items = self.rtn, ItemSet(int(self.rtn.dfa_transitions[self.items.dfa_state, class_]))
        moved = {
            (transition.target, origin): None
            for state, origin in self.items.items
            for transition in rtn.transitions[state]
            if class_ in transition.class_set
        }
        self._close(items, list(moved))
        return items

    def _close(self, items: ItemSet, todo: list[Item]) -> None:
        """Add items, and all that follows without reading: rules that are called (predict) or end (complete)."""
        rtn, seen = self.rtn, items.items
        todo = [(reached, origin) for state, origin in todo for reached in rtn.closures[state]]
        while todo:
            item = todo.pop()
            if item in seen:
                continue
            seen[item] = None
            if len(seen) > MAX_ITEMS:
                raise UserError(
                    f"this grammar can be read in more than {MAX_ITEMS:,} ways at once: use fewer alternatives that overlap."
                )
            state, origin = item
            if state in rtn.rule_ends and origin is not items:  # an empty rule is stepped over where it is called
                callers = list(origin.callers.get(rtn.rule_of[state], ()))
                todo += [(reached, caller) for target, caller in callers for reached in rtn.closures[target]]
            for rule, target in rtn.calls[state]:
                if rule not in items.callers:
                    items.callers[rule] = {}
                    todo += [(reached, items) for reached in rtn.closures[rtn.rule_start[rule]]]
                items.callers[rule][target, origin] = None
                if rule in rtn.nullable:
                    todo += [(reached, origin) for reached in rtn.closures[target]]
        self._measure(items)

    def _measure(self, items: ItemSet) -> None:
        """Fill `needed`. Callers may be in this set, too, so relax until nothing changes."""
        items.needed = {rule: np.full(len(self.rtn.dfa_transitions), NEVER) for rule in items.callers}
        changed = True
        while changed:
            changed = False
            for rule, callers in items.callers.items():
                for target, origin in callers:
                    fewest = np.minimum(items.needed[rule], self._needed_from(target, origin))
                    if (fewest < items.needed[rule]).any():
                        items.needed[rule], changed = fewest, True

    def _needed_from(self, state: int, origin: ItemSet) -> Int[np.ndarray, "Q"]:
        """Characters from a state to the end of the text, by DFA state (Q,)."""
        rtn = self.rtn
        behind = origin.needed[rtn.rule_of[state]] if origin.needed else np.where(rtn.dfa_accepting, 0, NEVER)
        return (rtn.costs[state] + behind).min(axis=1)

    def _costs(self) -> Int[np.ndarray, "K"]:
        """How many characters complete the text, for each class of the first (K,); `NEVER` or more: none do."""
        items, rtn = self.items, self.rtn
        if items.costs is None:
            costs = np.full(rtn.dfa_transitions.shape[1], NEVER)
            for state, origin in items.items:
                for classes, target, _ in rtn.transitions[state]:
                    rest = self._needed_from(target, origin)[rtn.dfa_transitions[items.dfa_state, classes]]
                    costs[classes] = np.minimum(costs[classes], 1 + rest)
            items.costs = costs
        return items.costs
