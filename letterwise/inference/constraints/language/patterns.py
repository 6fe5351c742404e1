r"""Patterns: a JSON schema's `pattern`, as an expression of what stands between a string's quotes.

    ^[^"]{2}$ ──▶ two of: a character but quote, backslash and controls | \\ | \n | \u0007 | …      cat ──▶ …cat…

A pattern is ECMA-262's, looks anywhere in the string unless it is anchored, and speaks of characters, where JSON has some of
them escaped: those are written as JSON writes them. Python's `re` means other characters by \d, \w, \s and the dot than
ECMA-262 does. Here they mean what both mean, so that a text matches for either judge.
"""

import functools
import re

from letterwise.data.vocabulary import Vocabulary
from letterwise.inference.constraints.language.regex import (
    ANY,
    Choice,
    Expression,
    One,
    Repeat,
    Row,
    Unusual,
    alternatives,
    ends_held,
    parse,
)  # fmt: skip
from letterwise.inference.constraints.matching import Alphabet, engine

SPACES = r"\t\n\x0b\x0c\r\x20\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
LESS = {  # what both mean, in Rust's syntax, within brackets
    "d": "0-9", "w": "0-9A-Za-z_", "s": SPACES, "D": r"\P{Nd}", "W": r"[^\p{L}\p{N}_]",
    "S": rf"[^{SPACES}\x1c-\x1f\x85\ufeff]",
}  # fmt: skip
MORE = {  # what either means: for classes that are negated
    "d": r"\p{Nd}", "w": r"\p{L}\p{N}_", "s": rf"{SPACES}\x1c-\x1f\x85\ufeff", "D": "[^0-9]", "W": "[^0-9A-Za-z_]",
    "S": f"[^{SPACES}]",
}  # fmt: skip
DOT = r"[^\n\r\u2028\u2029]"
PLAIN = r'[^"\\\x00-\x1f\x7f]'  # what JSON does not escape
SHORT = {'"': '"', "\\": "\\", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"}
ESCAPED = Vocabulary("char", "".join(map(chr, range(32))) + '"\\\x7f')
SINGLE = re.compile(r"\\(?:[nrtfv]|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|u\{[0-9A-Fa-f]+\}|[^\w\s])|[^\\]", re.DOTALL)


def content_of(pattern: str) -> Expression:
    """What a string of this pattern holds, as JSON has it. Raises `Unusual`, with the part that cannot be had."""
    return _mapped(searched(pattern), _written)


def searched(pattern: str) -> Expression:
    """Texts that a pattern is found in."""
    choices: list[Expression] = []
    if re.search(r"(?<!\\)\[\^?\]", pattern):
        raise Unusual("[]")  # ECMA-262 and Python do not mean the same
    for part in alternatives(pattern):
        begun, ended = part.startswith("^"), ends_held(part)
        inside = parse(part[begun : len(part) - ended])
        choices.append(Row((*([] if begun else [Repeat(ANY, 0, None)]), inside, *([] if ended else [Repeat(ANY, 0, None)]))))
    return choices[0] if len(choices) == 1 else Choice(tuple(choices))


def plain_pattern(pattern: str) -> str:
    """A pattern for the engine, of strings that match and hold nothing that JSON escapes: it takes `\\"` for two characters."""
    return f"^(?:{_spelled(searched(pattern))})$"


def has_escaped(pattern: str) -> bool:
    """May a character of this pattern be one that JSON escapes?"""
    found: list[Expression] = []
    _mapped(searched(pattern), lambda one: found.append(one) or one)
    return any(_of_those(_class(one)) for one in found if isinstance(one, One) and one != ANY)


def _mapped(expression: Expression, each) -> Expression:
    """The expression with something else in place of each character."""
    match expression:
        case Row(parts):
            return Row(tuple(_mapped(part, each) for part in parts))
        case Choice(parts):
            return Choice(tuple(_mapped(part, each) for part in parts))
        case Repeat(part, least, most):
            return Repeat(_mapped(part, each), least, most)
        case One():
            return each(expression)
    raise Unusual(expression)


def _written(one: One) -> Expression:
    """A character of a pattern, as it stands in JSON."""
    if len(one.written) == 1 and not one.flags and one.written.isalnum():
        return one
    characters = _class(one)
    choices: list[Expression] = [One(f"[{characters}&&{PLAIN}]")]
    for character in _of_those(characters):
        if character in SHORT:
            choices.append(Row((One("\\"), One(SHORT[character]))))
        if character not in '"\\':
            low = f"{ord(character) & 15:x}"
            digit = One(low) if low.isdigit() else One(f"[{low}{low.upper()}]")
            choices.append(Row((*map(One, "\\u00"), One(str(ord(character) >> 4)), digit)))
    return Choice(tuple(choices))


def _class(one: One) -> str:
    """The characters that are meant, as a class in Rust's syntax."""
    written = one.written
    if one == ANY:
        return r"[\x{0}-\x{10ffff}]"
    if one.flags:  # ECMA-262 has none
        raise Unusual(f"(?{one.flags}")
    if written == ".":
        return DOT
    if written[0] == "\\" and written[1:] in LESS:
        return f"[{LESS[written[1:]]}]"
    return f"[{_item(written)}]" if written[0] != "[" else _brackets(written)


def _brackets(written: str) -> str:
    """A class in brackets: what stands in it, one by one."""
    negated = written[1] == "^"
    named, inside, at, parts = MORE if negated else LESS, written[1 + negated : -1], 0, list[str]()
    while at < len(inside):
        if inside[at] == "\\" and inside[at + 1] in LESS:
            parts.append(named[inside[at + 1]])
            at += 2
            continue
        first = SINGLE.match(inside, at)
        if inside[at] == "[" or not first:
            raise Unusual(written)
        at, part = first.end(), _item(first[0])
        if inside[at : at + 1] == "-" and at + 1 < len(inside) and (last := SINGLE.match(inside, at + 1)):
            part, at = f"{part}-{_item(last[0])}", last.end()
        parts.append(part)
    return f"[{'^' if negated else ''}{''.join(parts)}]"


def _item(written: str) -> str:
    """One character of a class, so that it stands for nothing but itself."""
    return written if len(written) > 1 else f"\\x{{{ord(written):x}}}"


@functools.lru_cache(maxsize=1024)
def _of_those(characters: str) -> str:
    """Which of the characters that JSON escapes are in a class."""
    grammar = "start: TEXT\nTEXT: /" + engine().regex_to_lark(characters, "") + "/"
    may = _alphabet().place(grammar).allowed()
    return "".join(c for c, allowed in zip(ESCAPED.characters, may, strict=True) if allowed)


@functools.cache
def _alphabet() -> Alphabet:
    return Alphabet(ESCAPED)


def _spelled(expression: Expression) -> str:
    """An expression as a regex of plain characters."""
    match expression:
        case Row(parts):
            return "".join(map(_spelled, parts))
        case Choice(parts):
            return f"(?:{'|'.join(map(_spelled, parts))})"
        case Repeat(part, least, most):
            return f"(?:{_spelled(part)}){{{least},{'' if most is None else most}}}"
        case One():
            return f"[{_class(expression)}&&{PLAIN}]"
    raise Unusual(expression)
