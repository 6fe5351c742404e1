"""Regex checks: a regex with only what can be kept, or a sentence about what cannot.

    regex ──▶ without (?x) ──▶ no part that depends on the characters around it ──▶ not too large ──▶ regex

Look-around, word boundaries, back-references and their kin are refused, with what to write instead.
"""

import math
import re

from letterwise.data.vocabulary import SHOWN
from letterwise.errors import UserError
from letterwise.inference.constraints.language.expression import TooLarge, Unsupported, min_length
from letterwise.inference.constraints.language.nfa import MAX_STATES, NFA, Budget
from letterwise.inference.constraints.language.regex import class_end, parse_whole
from letterwise.inference.constraints.language.repeats import clipped
from letterwise.inference.constraints.limits import MAX_CHARS

BOUNDS = re.compile(r"\{(\d+),(\d+)\}")
VERBOSE = re.compile(r"\(\?([is]*x[isx]*)\)")
SPACED = re.compile(r"\{(?=[\d,]*\s)\s*\d+\s*(?:,\s*\d*\s*)?\}")  # Rust's readers repeat; Python's take it as it stands
SPACED_IS = "a repetition with spaces in it", "leave the spaces out, or put \\ before {"
NOT_SUPPORTED = [  # what depends on its surroundings, and what to write instead
    (re.compile(r"\(\?<?[=!]"), "look-around", "write what may stand there, or use --must_contain or --exclude"),
    (re.compile(r"\\[bB]"), "a word boundary", r"write the characters that may stand there, as (^| ) or [^\w]"),
    (re.compile(r"\\[AzZG]"), "an anchor", "leave it out: the whole text matches"),
    (re.compile(r"\\[1-9]|\(\?P=\w+\)|\\k<\w+>"), "a back-reference", "write the choices out, or use --grammar"),
    (re.compile(r"\(\?>|\(\?\("), "a kind of group that is not known", "use (?:…)"),
    (re.compile(r"\(\?(?:R|[0-9]+|&\w+|P>\w+)\)"), "a recursive call", "use --grammar, whose rules can do that"),
    (re.compile(r"(?:[*+?]|\{\d+(?:,\d*)?\})\+"), "a possessive quantifier", "leave out the second +"),
    (SPACED, *SPACED_IS),
]


def without_verbose(regex: str) -> str:
    """A regex in verbose mode, (?x), without spaces and comments. Raises `UserError` where readers differ."""
    begin = VERBOSE.match(regex)
    if not begin:
        if found := re.search(r"\(\?[a-zA-Z]*x[a-zA-Z]*[-:)]", regex):
            raise UserError(f"--regex: {found[0]!r} is not supported there: put (?x) at the very beginning, or leave it out.")
        return regex
    flags, at, kept = begin[1].replace("x", ""), begin.end(), []
    while at < len(regex):
        end = at + 1
        if regex[at] == "\\":
            end = at + 2
        elif regex[at] == "[":
            end = _class_end(regex, at)
            if re.search(r"(?<!\\)[\s#]", regex[at:end]):
                raise UserError(f"--regex: with (?x), a space or # in {regex[at:end]!r} is unclear: put \\ before it.")
        elif found := SPACED.match(regex, at):  # before the spaces are gone
            raise UserError(f"--regex: {found[0]!r} is {SPACED_IS[0]}, which is not supported: {SPACED_IS[1]}.")
        elif regex[at] == "#":
            at = regex.find("\n", at) + 1 or len(regex)
            continue
        if not regex[at].isspace():
            kept.append(regex[at:end])
        at = end
    return (f"(?{flags})" if flags else "") + "".join(kept)


def checked_regex(flag: str, regex: str) -> str:
    """The regex again. Raises `UserError` when a part depends on what is around it."""
    at = 0
    while at < len(regex):
        for sign, what, instead in NOT_SUPPORTED:
            if found := sign.match(regex, at):
                part = _group(regex, at) if found[0].startswith("(") else found[0]
                raise UserError(f"{flag}: {part!r} is {what}, which is not supported: {instead}.")
        if (found := BOUNDS.match(regex, at)) and int(found[1][:20]) > int(found[2][:20]):
            raise UserError(f"{flag}: {found[0]!r} ends before it begins: write the smaller number first.")
        if regex[at:] == "\\":
            raise UserError(f"{flag}: {regex[-SHOWN:]!r} ends in the middle of an escape: write \\\\ for a backslash.")
        at = _class_end(regex, at) if regex[at] == "[" else at + 2 if regex[at] == "\\" else at + 1
    return regex


def check_size(regex: str) -> None:
    """Raises `UserError` for a regex that takes more characters than a text may have, or too large an automaton."""
    shown = f"--regex {regex[: 4 * SHOWN]!r}"
    too_many_states = f"{shown} is too large: it makes more than {MAX_STATES:,} states. Repeat less often."
    try:
        expression = clipped(parse_whole(regex), MAX_CHARS)
        if min_length(expression) > MAX_CHARS:
            raise UserError(
                f"{shown} takes more than {MAX_CHARS:,} characters, the most under a constraint. Repeat less often."
            )
        NFA(expression, Budget())
    except TooLarge:
        raise UserError(too_many_states) from None
    except RecursionError:
        raise UserError(f"{shown} is too large: its groups are nested too deeply.") from None
    except Unsupported:
        if math.prod(int(count[:9]) for count in re.findall(r"\{(\d+)", regex) if int(count[:9])) > MAX_STATES:
            raise UserError(
                f"{shown} is too large: its repetitions multiply to more than {MAX_STATES:,}. Repeat less often."
            ) from None


def _class_end(regex: str, at: int) -> int:
    """The place behind a class; the end of the regex where there is none, or classes within classes."""
    try:
        return class_end(regex, at)
    except Unsupported:
        return len(regex)


def _group(regex: str, at: int) -> str:
    """The group that begins there, up to its end."""
    end, depth = at, 0
    while end < len(regex):
        depth += {"(": 1, ")": -1}.get(regex[end], 0) if regex[end - 1 : end] != "\\" else 0
        end += 1
        if depth == 0:
            break
    return regex[at : min(end, at + SHOWN)]
