"""Grammars: what is asked, as llguidance takes it.

Limits ──▶ the schema or grammar, if there is one · the intersection of all that is regular, as one regex
"""

import json
from collections.abc import Iterable, Sequence

import numpy as np

from letterwise.data.vocabulary import Vocabulary, code_points
from letterwise.errors import UserError
from letterwise.inference.constraints.language.expression import Unsupported
from letterwise.inference.constraints.limits import Limits
from letterwise.inference.constraints.llguidance.matcher import intersection, lark_regex, library
from letterwise.inference.constraints.llguidance.messages import in_plain_words
from letterwise.inference.constraints.schema_checks import without_escaped_characters
from letterwise.shapes import Bool

ANY_TEXT, ONE_LINE = "(?s:.)*", r"[^\n]*\n?"


def grammar_of(limits: Limits) -> str | None:
    """What llguidance calls a grammar, of a JSON schema or a Lark grammar. Raises `UserError`, a clause, when it is none."""
    if limits.json_schema is not None:
        try:
            schema = without_escaped_characters(json.loads(limits.json_schema))
            return library().LLMatcher.grammar_from_json_schema(schema, defaults={"whitespace_flexible": False})
        except RecursionError:
            raise UserError("it is nested too deeply") from None
        except (ValueError, Unsupported) as error:
            raise UserError(in_plain_words(str(error))) from None
    if limits.grammar is not None:
        return library().LLMatcher.grammar_from_lark(limits.grammar)
    return None


def with_regular_parts(grammar: str | None, limits: Limits, texts: Sequence[str], alphabet: str) -> list[str]:
    """The grammar, and what else is asked: the regex, the texts to contain, one line, and the regex `alphabet`."""
    parts = [] if limits.regex is None else [lark_regex(limits.regex)]
    parts += [f"{ANY_TEXT}{_literal(text)}{ANY_TEXT}" for text in texts]
    parts += [ONE_LINE] if limits.until_line else []
    regular = [intersection([*parts, alphabet])] if parts or grammar is None else []
    return regular if grammar is None else [grammar, *regular]


def one_character(vocabulary: Vocabulary, usable: Bool[np.ndarray, "V"] | None) -> str:
    """A regex for one character that may be written."""
    if vocabulary.kind == "byte":
        if usable is None:
            return "(?s:.)"
        points: Iterable[int] = np.flatnonzero(usable[:128]).tolist()
        beyond = [(0x80, 0x10FFFF)] if usable[128:].all() else []
    else:
        all_points = code_points(vocabulary.characters)
        points, beyond = (all_points if usable is None else all_points[usable]).tolist(), []
    ranges: list[tuple[int, int]] = []
    for point in points:
        if 0xD800 <= point < 0xE000:
            continue  # lone surrogates are no text
        if ranges and ranges[-1][1] == point - 1:
            ranges[-1] = (ranges[-1][0], point)
        else:
            ranges.append((point, point))
    return "[" + "".join(f"\\x{{{first:x}}}-\\x{{{last:x}}}" for first, last in [*ranges, *beyond]) + "]"


def _literal(text: str) -> str:
    return "".join(f"\\x{{{ord(character):x}}}" for character in text)
