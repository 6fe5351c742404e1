r"""Patterns: a JSON schema's `pattern`, as an expression of what stands between the quotes of a JSON string.

    ^[^"]{2}$ ──▶ two of: a character that JSON does not escape | \\ | \n | \u0007 | …      cat ──▶ …cat…

A pattern is ECMA-262's: it is searched for anywhere in the string unless it is anchored. It speaks of characters, and
JSON has some of them escaped: those are written as JSON writes them. Python's `re` means other characters by \d, \w, \s
and the dot than ECMA-262. Here they mean what both mean, so either judge agrees that a text matches.
"""

import functools
import re
from collections.abc import Callable, Sequence

from letterwise.data.vocabulary import Vocabulary
from letterwise.inference.constraints.language.expression import (
    ANY_CHAR,
    CharClass,
    Choice,
    Concat,
    Expression,
    Repeat,
    Unsupported,
    choice_of,
    transformed,
)
from letterwise.inference.constraints.language.product import EVERY, product
from letterwise.inference.constraints.language.regex import alternatives, ends_in_anchor, parse
from letterwise.inference.constraints.llguidance.matcher import Tokenizer, intersection, lark_regex

SPACES = r"\t\n\x0b\x0c\r\x20\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
BOTH = {  # what ECMA-262 and Python both mean, in Rust's syntax, within brackets
    "d": "0-9", "w": "0-9A-Za-z_", "s": SPACES, "D": r"\P{Nd}", "W": r"[^\p{L}\p{N}_]",
    "S": rf"[^{SPACES}\x1c-\x1f\x85\ufeff]",
}  # fmt: skip
EITHER = {  # what one of the two means: for classes that are negated
    "d": r"\p{Nd}", "w": r"\p{L}\p{N}_", "s": rf"{SPACES}\x1c-\x1f\x85\ufeff", "D": "[^0-9]", "W": "[^0-9A-Za-z_]",
    "S": f"[^{SPACES}]",
}  # fmt: skip
DOT = r"[^\n\r\u2028\u2029]"
UNESCAPED = r'[^"\\\x00-\x1f\x7f]'  # what JSON does not escape
SHORT_ESCAPES = {'"': '"', "\\": "\\", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"}
ESCAPED = Vocabulary("char", "".join(map(chr, range(32))) + '"\\\x7f')
SINGLE = re.compile(r"\\(?:[nrtfv]|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|u\{[0-9A-Fa-f]+\}|[^\w\s])|[^\\]", re.DOTALL)


def content_of(patterns: Sequence[str], min_length: int = 0, max_length: int | None = None) -> Expression:
    """What a JSON string holds in which all patterns are found, and which has so many characters.

    Raises `Unsupported`, with the part that cannot be kept, and `TooLarge`.
    """
    if len(patterns) == 1 and not min_length and max_length is None:
        return _with_classes(searched(patterns[0]), _in_json)
    parts = [_with_classes(searched(pattern), lambda c: CharClass(_members(c))) for pattern in patterns]
    if min_length or max_length is not None:
        parts.append(Repeat(EVERY, min_length, max_length))
    return _with_classes(functools.reduce(product, parts), lambda c: _members_in_json(c.source))


def searched(pattern: str) -> Expression:
    """Texts in which a pattern is found."""
    if re.search(r"(?<!\\)\[\^?\]", pattern):
        raise Unsupported("[]")  # ECMA-262 and Python do not mean the same
    any_text, found = Repeat(ANY_CHAR, 0, None), list[list[Expression]]()
    for part in alternatives(pattern):
        begins, ends = part.startswith("^"), ends_in_anchor(part)
        inside = parse(part[begins : len(part) - ends])
        found.append([*([] if begins else [any_text]), inside, *([] if ends else [any_text])])
    return choice_of(found)


def unescaped_pattern(pattern: str) -> str:
    """The same for llguidance: of the strings that match, those without characters that JSON escapes.

    (llguidance takes `\\"` in a JSON string for two characters.)
    """
    return f"^(?:{_to_regex(searched(pattern))})$"


def may_hold_escaped(pattern: str) -> bool:
    """May a character of this pattern be one that JSON escapes?"""
    found: list[CharClass] = []
    _with_classes(searched(pattern), lambda char_class: found.append(char_class) or char_class)
    return any(_escaped_in(_members(char_class)) for char_class in found if char_class != ANY_CHAR)


def _with_classes(expression: Expression, change: Callable[[CharClass], Expression]) -> Expression:
    """The expression with something else in place of each character class."""
    return transformed(expression, lambda node: change(node) if isinstance(node, CharClass) else node)


def _in_json(char_class: CharClass) -> Expression:
    """A character of a pattern, as JSON writes it."""
    if len(char_class.source) == 1 and not char_class.flags and char_class.source.isalnum():
        return char_class
    return _members_in_json(_members(char_class))


def _members_in_json(members: str) -> Expression:
    """A character of a class in Rust's syntax, as JSON writes it."""
    choices: list[Expression] = [CharClass(f"[{members}&&{UNESCAPED}]")]
    for character in _escaped_in(members):
        if character in SHORT_ESCAPES:
            choices.append(Concat((CharClass("\\"), CharClass(SHORT_ESCAPES[character]))))
        if character not in '"\\':
            low = f"{ord(character) & 15:x}"
            digit = CharClass(low) if low.isdigit() else CharClass(f"[{low}{low.upper()}]")
            choices.append(Concat((*map(CharClass, "\\u00"), CharClass(str(ord(character) >> 4)), digit)))
    return Choice(tuple(choices))


def _members(char_class: CharClass) -> str:
    """The characters that are meant, as a class in Rust's syntax."""
    source = char_class.source
    if char_class == ANY_CHAR:
        return EVERY.source
    if char_class.flags:  # ECMA-262 has none
        raise Unsupported(f"(?{char_class.flags}")
    if source == ".":
        return DOT
    if source[0] == "\\" and source[1:] in BOTH:
        return f"[{BOTH[source[1:]]}]"
    return f"[{_single(source)}]" if source[0] != "[" else _bracket_members(source)


def _bracket_members(source: str) -> str:
    """The same for a class in brackets."""
    negated = source[1] == "^"
    named, inside, at, parts = EITHER if negated else BOTH, source[1 + negated : -1], 0, list[str]()
    while at < len(inside):
        if inside[at] == "\\" and inside[at + 1] in BOTH:
            parts.append(named[inside[at + 1]])
            at += 2
            continue
        first = SINGLE.match(inside, at)
        if inside[at] == "[" or not first:
            raise Unsupported(source)
        at, part = first.end(), _single(first[0])
        if inside[at : at + 1] == "-" and at + 1 < len(inside) and (last := SINGLE.match(inside, at + 1)):
            part, at = f"{part}-{_single(last[0])}", last.end()
        parts.append(part)
    return f"[{'^' if negated else ''}{''.join(parts)}]"


def _single(source: str) -> str:
    """One character of a class, so that it stands for nothing but itself."""
    return source if len(source) > 1 else f"\\x{{{ord(source):x}}}"


@functools.lru_cache(maxsize=1024)
def _escaped_in(members: str) -> str:
    """Which of the characters that JSON escapes are in a class."""
    allowed = _tokenizer().matcher(intersection([lark_regex(members)])).allowed()
    return "".join(c for c, may in zip(ESCAPED.characters, allowed, strict=True) if may)


@functools.cache
def _tokenizer() -> Tokenizer:
    return Tokenizer(ESCAPED)


def _to_regex(expression: Expression) -> str:
    """An expression as a regex of characters that JSON does not escape."""
    match expression:
        case Concat(parts):
            return "".join(map(_to_regex, parts))
        case Choice(parts):
            return f"(?:{'|'.join(map(_to_regex, parts))})"
        case Repeat(part, minimum, maximum):
            return f"(?:{_to_regex(part)}){{{minimum},{'' if maximum is None else maximum}}}"
        case CharClass():
            return f"[{_members(expression)}&&{UNESCAPED}]"
    raise Unsupported(expression)
