"""Schema keywords: is what was given a JSON schema? Each keyword has a value of the right form, as in draft 2020-12.

    {"minLength": -1} ──▶ UserError: 'minLength' is -1, and must be a whole number of 0 or more

Behind this check nobody need ask what form a value has. Keywords that JSON Schema does not know have no effect.
"""

import json
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from letterwise.data.vocabulary import SHOWN
from letterwise.errors import UserError

TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")
MAX_DEPTH = 200  # schemas in schemas: more than one can read with Python's usual stack


def _number(value: Any) -> bool:
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and math.isfinite(value))


def _bound(value: Any) -> bool:
    return _number(value) or isinstance(value, bool)


def _whole(value: Any) -> bool:
    return _number(value) and value >= 0 and (isinstance(value, int) or value.is_integer())


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _types(value: Any) -> bool:
    types = value if isinstance(value, list) else [value]
    return all(isinstance(type_, str) and type_ in TYPES for type_ in types) and types != []


def _schemas(value: Any) -> bool:
    return isinstance(value, list) and value != []


class Form(NamedTuple):
    """What the value of a keyword must be."""

    holds: Callable[[Any], bool]
    what: str


COUNT = Form(_whole, "a whole number of 0 or more")
NUMBER = Form(_number, "a number")
BOUND = Form(_bound, "a number")  # draft 4 has true and false
TEXT = Form(lambda value: isinstance(value, str), "a text in quotes")
FLAG = Form(lambda value: isinstance(value, bool), "true or false")
SCHEMA = Form(lambda value: isinstance(value, dict | bool), "a schema: an object, true or false")
SCHEMA_MAP = Form(lambda value: isinstance(value, dict), "an object of schemas by name")
SCHEMA_LIST = Form(_schemas, "a list of at least one schema")
KEYWORDS: dict[str, Form] = {
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"), COUNT),
    **dict.fromkeys(("minimum", "maximum"), NUMBER),
    **dict.fromkeys(("exclusiveMinimum", "exclusiveMaximum"), BOUND),
    "multipleOf": Form(lambda value: _number(value) and value > 0, "a number above 0"),
    **dict.fromkeys(("pattern", "format", "$ref"), TEXT),
    "type": Form(_types, f"one of {', '.join(TYPES)}, or a list of them"),
    "enum": Form(lambda value: isinstance(value, list), "a list of values"),
    "required": Form(_texts, "a list of names"),
    "uniqueItems": FLAG,
    "items": Form(lambda value: SCHEMA.holds(value) or SCHEMA_LIST.holds(value), SCHEMA.what),  # a list before 2020-12
    "additionalProperties": SCHEMA,
    **dict.fromkeys(("properties", "patternProperties", "$defs", "definitions"), SCHEMA_MAP),
    **dict.fromkeys(("anyOf", "allOf", "oneOf", "prefixItems"), SCHEMA_LIST),
}  # fmt: skip

NOT_CHECKED = {"const", "not", "if", "then", "else", "contains", "minContains", "maxContains", "propertyNames", "dependencies",
          "dependentSchemas", "dependentRequired", "unevaluatedItems", "unevaluatedProperties", "additionalItems", "$id",
          "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor"}  # fmt: skip
MEANINGFUL = {*KEYWORDS, *NOT_CHECKED} - {"$defs", "definitions"}  # all others have no effect on what is valid


def check_schema(schema: Any, depth: int = 0) -> None:
    """Raises `UserError` for what is no JSON schema, with the keyword and what it should be."""
    if isinstance(schema, bool):
        return
    if not isinstance(schema, dict):
        raise UserError(f"--json_schema: {_shown(schema)} is no schema: it must be an object, or true or false.")
    if depth > MAX_DEPTH:
        raise UserError(f"--json_schema: schemas stand in schemas more than {MAX_DEPTH} deep: give some names, in '$defs'.")
    for keyword, value in schema.items():
        form = KEYWORDS.get(keyword)
        if form and not form.holds(value):
            raise UserError(f"--json_schema: {keyword!r} is {_shown(value)}, and must be {form.what}.")
        if form is SCHEMA_MAP:
            value = [*value.values()]
        elif form not in (SCHEMA, SCHEMA_LIST) and keyword != "items":
            continue
        for each in value if isinstance(value, list) else [value]:
            check_schema(each, depth + 1)


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)[: 4 * SHOWN]
