"""Regex: a regular expression as an expression tree, down to the character classes.

    "a(b|[c-e]){2,}" ──parse──▶ Concat(CharClass("a"), Repeat(Choice(…), 2, None))

The dialect is Rust's (regex-syntax, section "Syntax" of its documentation), which llguidance reads. Which characters a
class holds is llguidance's to say: it knows Unicode classes, scripts and letter case. Here only the structure around it
is read.
"""

import re

from letterwise.inference.constraints.language.expression import (
    QUANTIFIERS,
    CharClass,
    Choice,
    Expression,
    Repeat,
    Unsupported,
    choice_of,
)

ESCAPE = re.compile(
    r"\\(?:[pPxuU]\{[^{}]*\}|[pP][A-Za-z]|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|[dDsSwWntrfva]|[^\w\s<>])"
)
GROUP = re.compile(r"\((?:\?(?:P?<\w+>|(?P<flags>[is]*):|(?P<here>[is]+)\)))?")
QUANTIFIER = re.compile(r"(?:(?P<sign>[*+?])|\{(?P<min>\d+)(?P<comma>,(?P<max>\d*))?\})\??")  # lazy or greedy: the same texts


def parse(regex: str) -> Expression:
    """The tree of a regex that llguidance has found grammatical. Raises `Unsupported` where this cannot read it."""
    expression, end = _alternatives(regex, 0, "")
    if end < len(regex):
        raise Unsupported(regex[end:])
    return expression


def parse_whole(regex: str) -> Expression:
    """The tree of a regex that a whole text matches: anchors at the ends of its alternatives change nothing."""
    parts = [parse(part[part.startswith("^") : len(part) - ends_in_anchor(part)]) for part in alternatives(regex)]
    return parts[0] if len(parts) == 1 else Choice(tuple(parts))


def alternatives(regex: str) -> list[str]:
    """The alternatives of a regex outside of all groups. One that sets flags for what follows is not taken apart."""
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


def ends_in_anchor(alternative: str) -> bool:
    """Does an alternative end in the anchor `$`, and not in an escaped dollar sign?"""
    before = alternative[:-1]
    return alternative.endswith("$") and (len(before) - len(before.rstrip("\\"))) % 2 == 0


def _alternatives(regex: str, at: int, flags: str) -> tuple[Expression, int]:
    """What stands from a place up to the end of its group, and where that end is."""
    found: list[list[Expression]] = [[]]
    while at < len(regex) and regex[at] != ")":
        if regex[at] == "|":
            found.append([])
            at += 1
        elif (group := GROUP.match(regex, at)) and group["here"]:
            flags, at = flags + group["here"], group.end()  # they hold from here on
        else:
            part, at = _group(regex, group, flags) if group else _char_class(regex, at, flags)
            while quantifier := QUANTIFIER.match(regex, at):
                part, at = _repeated(part, quantifier), quantifier.end()
            found[-1].append(part)
    return choice_of(found), at


def _group(regex: str, group: re.Match[str], flags: str) -> tuple[Expression, int]:
    """A group whose beginning was read, and the place behind it."""
    expression, end = _alternatives(regex, group.end(), flags + (group["flags"] or ""))
    if regex[end : end + 1] != ")":
        raise Unsupported(regex[group.start() :])
    return expression, end + 1


def _repeated(part: Expression, quantifier: re.Match[str]) -> Expression:
    if quantifier["sign"]:
        return Repeat(part, *QUANTIFIERS[quantifier["sign"]])
    minimum = int(quantifier["min"][:20])
    maximum = int(quantifier["max"][:20]) if quantifier["max"] else None if quantifier["comma"] else minimum
    return Repeat(part, minimum, maximum)


def _char_class(regex: str, at: int, flags: str) -> tuple[CharClass, int]:
    """What stands for one character, and the place behind it."""
    if regex[at] == "[":
        end = class_end(regex, at)
    elif regex[at] == "\\":
        escape = ESCAPE.match(regex, at)
        if not escape:
            raise Unsupported(regex[at:])
        end = escape.end()
    elif regex[at] in "^$({*+?":
        raise Unsupported(regex[at:])
    else:
        end = at + 1
    return CharClass(regex[at:end], "".join(sorted(set(flags)))), end


def class_end(regex: str, at: int) -> int:
    """The place behind a class in brackets, which may hold others."""
    at += 2 if regex[at + 1 : at + 2] == "^" else 1
    if regex[at : at + 1] == "]":  # at the beginning it stands for itself
        at += 1
    while at < len(regex) and regex[at] != "]":
        if regex[at] == "[" and regex[at - 1] == "-":  # the end of a range, or a class that is taken away
            raise Unsupported(regex[at:])
        at = class_end(regex, at) if regex[at] == "[" else at + 2 if regex[at] == "\\" else at + 1
    if at >= len(regex):
        raise Unsupported(regex)
    return at + 1
