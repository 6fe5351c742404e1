"""Schema check: is what was given a JSON schema? Its keywords have values of their kinds, as JSON Schema 2020-12 has it.

    {"minLength": -1} ──▶ UserError: 'minLength' is -1, and must be a whole number of 0 or more

Whoever reads a schema behind this need not ask what a value is. Keywords that JSON Schema does not know are of no consequence.
"""

import json
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from letterwise.data.vocabulary import SHOWN
from letterwise.errors import UserError

KINDS = ("null", "boolean", "integer", "number", "string", "array", "object")
DEEPEST = 200  # schemas in schemas: more than one can read with Python's usual stack


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _bound(value: Any) -> bool:
    return _number(value) or isinstance(value, bool)


def _whole(value: Any) -> bool:
    return _number(value) and value >= 0 and (isinstance(value, int) or value.is_integer())


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _kind(value: Any) -> bool:
    kinds = value if isinstance(value, list) else [value]
    return all(isinstance(kind, str) and kind in KINDS for kind in kinds) and kinds != []


def _schemas(value: Any) -> bool:
    return isinstance(value, list) and value != []


class Rule(NamedTuple):
    """What the value of a keyword must be."""

    holds: Callable[[Any], bool]
    what: str


COUNT = Rule(_whole, "a whole number of 0 or more")
NUMBER = Rule(_number, "a number")
BOUND = Rule(_bound, "a number")  # draft 4 has true and false
TEXT = Rule(lambda value: isinstance(value, str), "a text in quotes")
FLAG = Rule(lambda value: isinstance(value, bool), "true or false")
SCHEMA = Rule(lambda value: isinstance(value, dict | bool), "a schema: an object, true or false")
NAMED = Rule(lambda value: isinstance(value, dict), "an object of schemas by name")
LIST = Rule(_schemas, "a list of at least one schema")
KEYWORDS: dict[str, Rule] = {
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"), COUNT),
    **dict.fromkeys(("minimum", "maximum"), NUMBER),
    **dict.fromkeys(("exclusiveMinimum", "exclusiveMaximum"), BOUND),
    "multipleOf": Rule(lambda value: _number(value) and value > 0, "a number above 0"),
    **dict.fromkeys(("pattern", "format", "$ref"), TEXT),
    "type": Rule(_kind, f"one of {', '.join(KINDS)}, or a list of them"),
    "enum": Rule(lambda value: isinstance(value, list), "a list of values"),
    "required": Rule(_texts, "a list of names"),
    "uniqueItems": FLAG,
    "items": Rule(lambda value: SCHEMA.holds(value) or LIST.holds(value), SCHEMA.what),  # before 2020-12, a list is prefixItems
    "additionalProperties": SCHEMA,
    **dict.fromkeys(("properties", "patternProperties", "$defs", "definitions"), NAMED),
    **dict.fromkeys(("anyOf", "allOf", "oneOf", "prefixItems"), LIST),
}  # fmt: skip

UNREAD = {"const", "not", "if", "then", "else", "contains", "minContains", "maxContains", "propertyNames", "dependencies",
          "dependentSchemas", "dependentRequired", "unevaluatedItems", "unevaluatedProperties", "additionalItems", "$id",
          "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor"}  # fmt: skip
MEANINGFUL = {*KEYWORDS, *UNREAD} - {"$defs", "definitions"}  # all other keywords say nothing about a value


def checked(schema: Any, depth: int = 0) -> None:
    """Raises `UserError` for what is no JSON schema, with the keyword and what it should be."""
    if isinstance(schema, bool):
        return
    if not isinstance(schema, dict):
        raise UserError(f"--json_schema: {_shown(schema)} is no schema: it must be an object, or true or false.")
    if depth > DEEPEST:
        raise UserError(f"--json_schema: schemas stand in schemas more than {DEEPEST} deep: give some names, in '$defs'.")
    for keyword, value in schema.items():
        rule = KEYWORDS.get(keyword)
        if rule and not rule.holds(value):
            raise UserError(f"--json_schema: {keyword!r} is {_shown(value)}, and must be {rule.what}.")
        if rule is NAMED:
            value = [*value.values()]
        elif rule not in (SCHEMA, LIST) and keyword != "items":
            continue
        for each in value if isinstance(value, list) else [value]:
            checked(each, depth + 1)


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)[: 4 * SHOWN]
