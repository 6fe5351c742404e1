"""Regex: how a regular expression is built, down to what stands for one character.

    "a(b|[c-e]){2,}" ──parse──▶ Row(One("a"), Repeat(Choice(One("b"), One("[c-e]")), 2, None))

Which characters a `One` stands for is the engine's to say (matching.py), which knows classes, scripts and letter case. So this
reads the syntax of the engine's regexes (Rust's regex-syntax, section "Syntax" of its documentation), but only where it goes
beyond one character.
"""

import math
import re
from dataclasses import dataclass

ESCAPE = re.compile(
    r"\\(?:[pPxuU]\{[^{}]*\}|[pP][A-Za-z]|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|[dDsSwWntrfva]|[^\w\s<>])"
)
GROUP = re.compile(r"\((?:\?(?:P?<\w+>|(?P<flags>[is]*):|(?P<here>[is]+)\)))?")
REPEAT = re.compile(r"(?:(?P<sign>[*+?])|\{(?P<least>\d+)(?P<more>,(?P<most>\d*))?\})\??")  # reluctant or not: the same texts
SIGNS = {"*": (0, None), "+": (1, None), "?": (0, 1)}


MOST_PARTS = 200_000  # of an expression, written out


class Unusual(Exception):
    """A syntax that is not read here."""


class TooLarge(Exception):
    """The automaton would have too many states."""


@dataclass(frozen=True)
class One:
    """One character, as the regex has it: a letter, an escape, a class, a dot; and the flags that hold there."""

    written: str
    flags: str = ""


@dataclass(frozen=True)
class Row:
    """One after another."""

    parts: tuple["Expression", ...]


@dataclass(frozen=True)
class Choice:
    """One of several."""

    parts: tuple["Expression", ...]


@dataclass(frozen=True)
class Repeat:
    """So many times at least, and at most (None: however many)."""

    part: "Expression"
    least: int
    most: int | None


@dataclass(frozen=True)
class Chain:
    """Once or more, with something between."""

    part: "Expression"
    by: "Expression"


@dataclass(frozen=True)
class Members:
    """In this order those that are required, and any of the others, with something between."""

    parts: tuple[tuple["Expression", bool], ...]
    by: "Expression"


@dataclass(frozen=True)
class Rule:
    """What a rule of that name says: it may lead to itself, and what does is not regular."""

    name: str


Expression = One | Row | Choice | Repeat | Chain | Members | Rule
ANY, ANY_DIGIT = One(".", "s"), One("[0-9]")


def clipped(expression: "Expression", longest: int) -> "Expression":
    """The same for texts of at most so many characters: a repetition beyond that has no end, or is not there at all.

    Raises `TooLarge`: what stands in several places is looked at in each.
    """
    if size(expression) > MOST_PARTS:
        raise TooLarge
    return _clipped(expression, longest)


def size(expression: "Expression") -> int:
    """How many parts it has, written out."""
    known: dict[int, int] = {}

    def of(expression: Expression) -> int:
        if id(expression) not in known:
            known[id(expression)] = 1 + sum(map(of, parts_of(expression)))
        return known[id(expression)]

    return of(expression)


def parts_of(expression: "Expression") -> list["Expression"]:
    """What it is made of."""
    match expression:
        case Row(parts) | Choice(parts):
            return [*parts]
        case Repeat(part, _, _):
            return [part]
        case Chain(part, by):
            return [part, by]
        case Members(parts, by):
            return [*(part for part, _ in parts), by]
    return []


def _clipped(expression: "Expression", longest: int) -> "Expression":
    match expression:
        case Row(parts):
            return Row(tuple(_clipped(part, longest) for part in parts))
        case Choice(parts):
            return Choice(tuple(_clipped(part, longest) for part in parts))
        case Chain(part, by):
            return Chain(_clipped(part, longest), _clipped(by, longest))
        case Members(parts, by):
            return Members(tuple((_clipped(part, longest), required) for part, required in parts), _clipped(by, longest))
        case Repeat(part, least, most):
            if most is not None and most < least:
                return Choice(())
            part = _clipped(part, longest)
            if nullable(part):
                least = 0
            if least > longest and shortest(part) >= 1:
                return Choice(())
            least = min(least, longest + 1)  # of more than that, all but so many are empty
            return Repeat(part, least, None if most is not None and most > longest else most)
    return expression


def shortest(expression: "Expression") -> float:
    """How many characters it takes at least; infinity when there is no text. What a rule says is not known here: 0."""
    match expression:
        case One():
            return 1
        case Row(parts):
            return sum(map(shortest, parts))
        case Choice(parts):
            return min(map(shortest, parts), default=math.inf)
        case Repeat(part, least, _):
            return least * shortest(part) if least else 0
        case Chain(part, _):
            return shortest(part)
    return 0


def nullable(expression: "Expression") -> bool:
    """May it be nothing? What a rule says is not known here: then it may not."""
    match expression:
        case Row(parts):
            return all(map(nullable, parts))
        case Choice(parts):
            return any(map(nullable, parts))
        case Repeat(part, least, _):
            return least == 0 or nullable(part)
    return False


def literal(text: str) -> Row:
    """An expression of this text alone."""
    return Row(tuple(One(r"\." if character == "." else character) for character in text))


def parse(regex: str) -> Expression:
    """The expression of a regex that the engine has found grammatical. Raises `Unusual` where this cannot read it."""
    expression, end = _choice(regex, 0, "")
    if end < len(regex):
        raise Unusual(regex[end:])
    return expression


def whole(regex: str) -> Expression:
    """The expression of a regex that a whole text matches: anchors at the ends of its alternatives say nothing new."""
    parts = [parse(part[part.startswith("^") : len(part) - ends_held(part)]) for part in alternatives(regex)]
    return parts[0] if len(parts) == 1 else Choice(tuple(parts))


def alternatives(regex: str) -> list[str]:
    """The choices of a regex, outside of all groups. One that sets flags for what follows is not taken apart."""
    parts, begin, at, depth = [], 0, 0, 0
    if re.match(r"\(\?[a-zA-Z]+\)", regex):
        return [regex]
    while at < len(regex):
        match regex[at]:
            case "\\":
                at += 1
            case "[":
                at = class_end(regex, at) - 1
            case "(" | ")":
                depth += 1 if regex[at] == "(" else -1
            case "|" if depth == 0:
                parts.append(regex[begin:at])
                begin = at + 1
        at += 1
    return [*parts, regex[begin:]]


def ends_held(part: str) -> bool:
    """Does an alternative end in an anchor, and not in a dollar sign?"""
    before = part[:-1]
    return part.endswith("$") and (len(before) - len(before.rstrip("\\"))) % 2 == 0


def _choice(regex: str, at: int, flags: str) -> tuple[Expression, int]:
    """What stands from a place on, up to the end of its group, and where that is."""
    choices: list[Expression] = []
    row: list[Expression] = []
    while at < len(regex) and regex[at] != ")":
        if regex[at] == "|":
            choices.append(Row(tuple(row)))
            row, at = [], at + 1
        elif (group := GROUP.match(regex, at)) and group["here"]:
            flags, at = flags + group["here"], group.end()  # they hold from here on
        else:
            part, at = _group(regex, group, flags) if group else _one(regex, at, flags)
            while found := REPEAT.match(regex, at):
                part, at = _repeated(part, found), found.end()
            row.append(part)
    choices.append(Row(tuple(row)))
    return (choices[0] if len(choices) == 1 else Choice(tuple(choices))), at


def _group(regex: str, group: re.Match[str], flags: str) -> tuple[Expression, int]:
    """A group whose beginning was met, and the place behind it."""
    expression, end = _choice(regex, group.end(), flags + (group["flags"] or ""))
    if regex[end : end + 1] != ")":
        raise Unusual(regex[group.start() :])
    return expression, end + 1


def _repeated(part: Expression, found: re.Match[str]) -> Expression:
    if found["sign"]:
        return Repeat(part, *SIGNS[found["sign"]])
    least = int(found["least"][:20])
    return Repeat(part, least, int(found["most"][:20]) if found["most"] else None if found["more"] else least)


def _one(regex: str, at: int, flags: str) -> tuple[One, int]:
    """What stands for one character, and the place behind it."""
    if regex[at] == "[":
        end = class_end(regex, at)
    elif regex[at] == "\\":
        escape = ESCAPE.match(regex, at)
        if not escape:
            raise Unusual(regex[at:])
        end = escape.end()
    elif regex[at] in "^$({*+?":
        raise Unusual(regex[at:])
    else:
        end = at + 1
    return One(regex[at:end], "".join(sorted(set(flags)))), end


def class_end(regex: str, at: int) -> int:
    """The place behind a class in brackets, which may hold others."""
    at += 2 if regex[at + 1 : at + 2] == "^" else 1
    if regex[at : at + 1] == "]":  # at the beginning it stands for itself
        at += 1
    while at < len(regex) and regex[at] != "]":
        if regex[at] == "[" and regex[at - 1] == "-":  # the end of a range, or a class that is taken away
            raise Unusual(regex[at:])
        at = class_end(regex, at) if regex[at] == "[" else at + 2 if regex[at] == "\\" else at + 1
    if at >= len(regex):
        raise Unusual(regex)
    return at + 1
