"""Earley guide: the guide for what is nested: reads along in all ways at once, and knows how far each is from its end.

    Network ──Items at the beginning──take(id)──▶ Items after each character ──costs──▶ which characters may follow (V,)

Earley's recogniser (1970), on characters: an item is a place in a rule, and the items at which the rule was called. Empty
rules are stepped over where they are called (Aycock & Horspool 2002). What a text needs until it is whole is the item's cost
to the end of its rule, and from there on what its callers need: a minimum over all, so a character is let through exactly
when some text that matches, short enough, goes on with it. Nothing is searched for, and no text gets stuck.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Int

from letterwise.errors import UserError
from letterwise.inference.constraints.language.dfa import START
from letterwise.inference.constraints.language.recursive_network import BEGIN, FAR, Network

MOST_ITEMS = 20_000  # after one character: as many ways to read a text are more than it is worth


@dataclass(eq=False)
class Items:
    """All ways to read a text so far."""

    state: int  # of the automaton beside
    items: "dict[tuple[int, Items], None]" = field(default_factory=dict)  # a place, and where its rule was called
    waiting: "dict[str, dict[tuple[int, Items], None]]" = field(default_factory=dict)  # where one goes on behind a rule
    needs: dict[str, Int[np.ndarray, "Q"]] = field(default_factory=dict)  # behind a rule: characters until all is whole
    next: "dict[int, Items]" = field(default_factory=dict)  # by kinds of characters, once looked at
    costs: Int[np.ndarray, "K"] | None = None  # how many characters a text takes at least that goes on with each kind


class Earley:
    """A text on its way through a network of rules, with so many characters left at most."""

    def __init__(self, network: Network, left: int, items: Items | None = None) -> None:
        self.network, self.left = network, left
        self.items = items or self._begun()

    def fork(self) -> "Earley":
        """Another text that goes its own way from here."""
        return Earley(self.network, self.left, self.items)

    def allowed(self) -> Bool[np.ndarray, "V"]:
        """Which characters may follow (V,)."""
        return (self._costs() <= self.left)[self.network.classes]

    def is_accepting(self) -> bool:
        """Is the text whole?"""
        ends = any(place in self.network.ends and not origin.needs for place, origin in self.items.items)
        return ends and bool(self.network.whole[self.items.state])

    def is_finished(self) -> bool:
        """Is the text whole, and can nothing follow?"""
        return self.is_accepting() and not self.allowed().any()

    def advance(self, id: int) -> bool:
        """Go on by a character that is allowed."""
        kind = int(self.network.classes[id])
        if kind not in self.items.next:
            self.items.next[kind] = self._after(kind)
        self.items, self.left = self.items.next[kind], self.left - 1
        return True

    def step_to_end(self) -> int:
        """One step on the shortest way to the end."""
        id = int(self._costs()[self.network.classes].argmin())
        self.advance(id)
        return id

    def completion(self) -> list[int]:
        """The shortest way to the end: ids that complete the text."""
        guide, ids = self.fork(), []
        while not guide.is_accepting():
            ids.append(guide.step_to_end())
        return ids

    def least(self) -> int:
        """How many characters at least are missing until the text is whole; `FAR` or more: it never is."""
        return 0 if self.is_accepting() else int(self._costs().min(initial=FAR))

    def _begun(self) -> Items:
        """Nothing is read yet. The rule of the whole text is called by nobody, and needs nothing behind it."""
        root = Items(START)
        items = Items(START)
        self._read(items, [(self.network.begins[BEGIN], root)])
        return items

    def _after(self, kind: int) -> Items:
        """The items after a character of a kind."""
        network, items = self.network, Items(int(self.network.transitions[self.items.state, kind]))
        moved = {
            (arrow.target, origin): None
            for place, origin in self.items.items
            for arrow in network.arrows[place]
            if kind in arrow.members
        }
        self._read(items, list(moved))
        return items

    def _read(self, items: Items, todo: list[tuple[int, Items]]) -> None:
        """All that follows from some items without a character; then what is needed behind each rule that was called."""
        network, seen = self.network, items.items
        todo = [(reached, origin) for place, origin in todo for reached in network.reached[place]]
        while todo:
            item = todo.pop()
            if item in seen:
                continue
            seen[item] = None
            if len(seen) > MOST_ITEMS:
                raise UserError("this grammar can be read in too many ways at once: use fewer alternatives that overlap.")
            place, origin = item
            if place in network.ends and origin is not items:  # an empty rule is stepped over where it is called
                back = list(origin.waiting.get(network.rule_of[place], ()))
                todo += [(reached, caller) for target, caller in back for reached in network.reached[target]]
            for rule, target in network.calls[place]:
                if rule not in items.waiting:
                    items.waiting[rule] = {}
                    todo += [(reached, items) for reached in network.reached[network.begins[rule]]]
                items.waiting[rule][target, origin] = None
                if rule in network.nullable:
                    todo += [(reached, origin) for reached in network.reached[target]]
        self._need(items)

    def _need(self, items: Items) -> None:
        """How far the end is behind each rule that was called here. Callers may be here, too: so until nothing changes."""
        states = len(self.network.transitions)
        items.needs = {rule: np.full(states, FAR) for rule in items.waiting}
        changed = True
        while changed:
            changed = False
            for rule, callers in items.waiting.items():
                for target, origin in callers:
                    least = np.minimum(items.needs[rule], self._rest(target, origin))
                    if (least < items.needs[rule]).any():
                        items.needs[rule], changed = least, True

    def _rest(self, place: int, origin: Items) -> Int[np.ndarray, "Q"]:
        """How many characters are missing at a place, in each state."""
        network = self.network
        behind = origin.needs[network.rule_of[place]] if origin.needs else np.where(network.whole, 0, FAR)
        return (network.costs[place] + behind).min(axis=1)

    def _costs(self) -> Int[np.ndarray, "K"]:
        """How many characters a text takes at least that goes on with a character of each kind; `FAR` or more: none does."""
        items, network = self.items, self.network
        if items.costs is None:
            costs = np.full(network.transitions.shape[1], FAR)
            for place, origin in items.items:
                for classes, target, _ in network.arrows[place]:
                    rest = self._rest(target, origin)[network.transitions[items.state, classes]]
                    costs[classes] = np.minimum(costs[classes], 1 + rest)
            items.costs = costs
        return items.costs
