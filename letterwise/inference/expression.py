"""Expression: how a regular expression is built, down to what stands for one character.

    "a(b|[c-e]){2,}" ──parse──▶ Row(One("a"), Repeat(Choice(One("b"), One("[c-e]")), 2, None))

Which characters a `One` stands for is the engine's to say (matching.py), which knows classes, scripts and letter case. So this
reads the syntax of the engine's regexes (Rust's regex-syntax, section "Syntax" of its documentation), but only where it goes
beyond one character.
"""

import re
from dataclasses import dataclass

ESCAPE = re.compile(
    r"\\(?:[pPxuU]\{[^{}]*\}|[pP][A-Za-z]|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|[dDsSwWntrfva]|[^\w\s<>])"
)
GROUP = re.compile(r"\((?:\?(?:P?<\w+>|(?P<flags>[is]*):|(?P<here>[is]+)\)))?")
REPEAT = re.compile(r"(?:(?P<sign>[*+?])|\{(?P<least>\d+)(?P<more>,(?P<most>\d*))?\})\??")  # reluctant or not: the same texts
SIGNS = {"*": (0, None), "+": (1, None), "?": (0, 1)}


class Unusual(Exception):
    """A syntax that is not read here."""


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


Expression = One | Row | Choice | Repeat | Chain | Members
ANY, ANY_DIGIT = One(".", "s"), One("[0-9]")


def literal(text: str) -> Row:
    """An expression of this text alone."""
    return Row(tuple(One(r"\." if character == "." else character) for character in text))


def parse(regex: str) -> Expression:
    """The expression of a regex that the engine has found grammatical. Raises `Unusual` where this cannot read it."""
    if regex[:1] == "^" and regex[-1:] == "$":
        return anchored(regex)
    expression, end = _choice(regex, 0, "")
    if end < len(regex):
        raise Unusual(regex[end:])
    return expression


def anchored(regex: str) -> Expression:
    """The same, of one that is held at both ends. `^a|b$` is not: each of its anchors holds one choice only."""
    if len(regex) < 2 or regex[0] != "^" or regex[-1] != "$":
        raise Unusual(regex)
    inner = parse(regex[1:-1])
    if isinstance(inner, Choice):
        raise Unusual(regex)
    return inner


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
            while repeat := REPEAT.match(regex, at):
                part, at = _repeated(part, repeat), repeat.end()
            row.append(part)
    choices.append(Row(tuple(row)))
    return (choices[0] if len(choices) == 1 else Choice(tuple(choices))), at


def _group(regex: str, group: re.Match[str], flags: str) -> tuple[Expression, int]:
    """A group whose beginning was met, and the place behind it."""
    expression, end = _choice(regex, group.end(), flags + (group["flags"] or ""))
    if regex[end : end + 1] != ")":
        raise Unusual(regex[group.start() :])
    return expression, end + 1


def _repeated(part: Expression, repeat: re.Match[str]) -> Repeat:
    if repeat["sign"]:
        return Repeat(part, *SIGNS[repeat["sign"]])
    least = int(repeat["least"])
    return Repeat(part, least, int(repeat["most"]) if repeat["most"] else None if repeat["more"] else least)


def _one(regex: str, at: int, flags: str) -> tuple[One, int]:
    """What stands for one character, and the place behind it."""
    if regex[at] == "[":
        end = _class_end(regex, at)
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


def _class_end(regex: str, at: int) -> int:
    """The place behind a class in brackets, which may hold others."""
    at += 2 if regex[at + 1 : at + 2] == "^" else 1
    if regex[at : at + 1] == "]":  # at the beginning it stands for itself
        at += 1
    while at < len(regex) and regex[at] != "]":
        if regex[at] == "[" and regex[at - 1] == "-":  # the end of a range, or a class that is taken away
            raise Unusual(regex[at:])
        at = _class_end(regex, at) if regex[at] == "[" else at + 2 if regex[at] == "\\" else at + 1
    if at >= len(regex):
        raise Unusual(regex)
    return at + 1
