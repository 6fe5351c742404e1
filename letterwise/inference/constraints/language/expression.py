"""Expression: a language as a tree, whatever it was written as: a regex, a JSON schema, a grammar.

    a(b|[c-e]){2,}   is   Concat(CharClass("a"), Repeat(Choice(CharClass("b"), CharClass("[c-e]")), 2, None))

Leaves are a character class or the name of a rule. A tree without rules is a regular language.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

START_RULE = "start"  # the rule of a whole text
QUANTIFIERS = {"*": (0, None), "+": (1, None), "?": (0, 1)}  # minimum and maximum


MAX_PARTS = 200_000  # nodes of a tree, those that stand in several places counted in each


class Unsupported(Exception):
    """A syntax that is not read here. llguidance may read it."""


class TooLarge(Exception):
    """More parts, states, classes or work than is allowed."""


@dataclass(frozen=True)
class CharClass:
    """One character out of a set, as a regex writes it (a letter, an escape, a class, a dot), and its flags."""

    source: str
    flags: str = ""


@dataclass(frozen=True)
class RuleRef:
    """The language of a rule. A rule may lead back to itself, and then the language need not be regular."""

    name: str


@dataclass(frozen=True)
class Concat:
    """One part after the other."""

    parts: tuple["Expression", ...]


@dataclass(frozen=True)
class Choice:
    """One of the parts. Without parts: no text at all."""

    parts: tuple["Expression", ...]


@dataclass(frozen=True)
class Repeat:
    """A part several times (maximum None: no upper bound)."""

    part: "Expression"
    minimum: int
    maximum: int | None


@dataclass(frozen=True)
class Separated:
    """A part once or more, with a separator between."""

    part: "Expression"
    separator: "Expression"


@dataclass(frozen=True)
class Members:
    """Parts in this order: all that are required and any of the others, with a separator between."""

    parts: tuple[tuple["Expression", bool], ...]  # and whether it is required
    separator: "Expression"


@dataclass(frozen=True)
class Automaton:
    """States whose transitions read an expression: (expression, next state) for each; the first is the start."""

    transitions: tuple[tuple[tuple["Expression", int], ...], ...]
    accepting: frozenset[int]


Expression = CharClass | RuleRef | Concat | Choice | Repeat | Separated | Members | Automaton
NOTHING = Choice(())  # no text
EMPTY = Concat(())  # the empty text
ANY_CHAR, DIGIT = CharClass(".", "s"), CharClass("[0-9]")


def literal(text: str) -> Concat:
    """An expression of this text alone."""
    return Concat(tuple(CharClass(r"\." if character == "." else character) for character in text))


def choice_of(alternatives: Sequence[Sequence[Expression]]) -> Expression:
    """One of some alternatives, each a sequence of parts."""
    parts = tuple(Concat(tuple(parts)) for parts in alternatives)
    return parts[0] if len(parts) == 1 else Choice(parts)


def parts_of(expression: Expression) -> list[Expression]:
    """The parts of a node; none of a leaf."""
    match expression:
        case Concat(parts) | Choice(parts):
            return [*parts]
        case Repeat(part, _, _):
            return [part]
        case Separated(part, separator):
            return [part, separator]
        case Members(parts, separator):
            return [*(part for part, _ in parts), separator]
        case Automaton(transitions):
            return [part for moves in transitions for part, _ in moves]
    return []


def with_parts(expression: Expression, parts: Sequence[Expression]) -> Expression:
    """The same node with other parts, in the order of `parts_of`."""
    match expression:
        case Concat():
            return Concat(tuple(parts))
        case Choice():
            return Choice(tuple(parts))
        case Repeat(_, minimum, maximum):
            return Repeat(parts[0], minimum, maximum)
        case Separated():
            return Separated(*parts)
        case Members(members, _):
            required = [required for _, required in members]
            return Members(tuple(zip(parts, required, strict=False)), parts[-1])
        case Automaton(transitions, accepting):
            left = iter(parts)
            return Automaton(tuple(tuple((next(left), target) for _, target in moves) for moves in transitions), accepting)
    return expression


def bottom_up(expression: Expression) -> Iterator[Expression]:
    """Every node of a tree behind its parts. One that stands in several places comes once."""
    seen: set[int] = set()
    todo = [expression]
    while todo:
        missing = [part for part in parts_of(todo[-1]) if id(part) not in seen]
        todo += missing
        if not missing:
            node = todo.pop()
            if id(node) not in seen:
                seen.add(id(node))
                yield node


def transformed(expression: Expression, change: Callable[[Expression], Expression]) -> Expression:
    """The tree rebuilt from its leaves up, each node replaced by what `change` makes of it."""
    made: dict[int, Expression] = {}
    for node in bottom_up(expression):
        made[id(node)] = change(with_parts(node, [made[id(part)] for part in parts_of(node)]))
    return made[id(expression)]


def size(expression: Expression) -> int:
    """How many nodes the tree has. A node that stands in several places counts in each."""
    sizes: dict[int, int] = {}
    for node in bottom_up(expression):
        sizes[id(node)] = 1 + sum(sizes[id(part)] for part in parts_of(node))
    return sizes[id(expression)]


def min_length(expression: Expression, has: Callable[[CharClass], bool] = lambda char_class: True) -> float:
    """The fewest characters of a text; infinity when there is none. A rule or automaton, not known here, counts as 0.

    `has` tells whether there are characters in a class.
    """
    match expression:
        case CharClass():
            return 1 if has(expression) else math.inf
        case Concat(parts):
            return sum(min_length(part, has) for part in parts)
        case Choice(parts):
            return min((min_length(part, has) for part in parts), default=math.inf)
        case Repeat(part, minimum, _):
            return minimum * min_length(part, has) if minimum else 0
        case Separated(part, _):
            return min_length(part, has)
    return 0


def nullable(expression: Expression) -> bool:
    """Is the empty text one of the language? A rule or automaton, not known here, counts as not nullable."""
    match expression:
        case Concat(parts):
            return all(map(nullable, parts))
        case Choice(parts):
            return any(map(nullable, parts))
        case Repeat(part, minimum, _):
            return minimum == 0 or nullable(part)
    return False
