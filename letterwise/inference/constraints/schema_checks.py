"""Schema checks: a JSON schema with only what can be kept, or a sentence about what cannot.

    text ──JSON──▶ keywords that are refused, formats as patterns, patterns that can be kept ──▶ text

llguidance would refuse in its own words, and accepts some of what it cannot keep (docs/constraints.md). So keywords
that are about a value as a whole are looked for here.
"""

import json
import math
from typing import Any

from letterwise.data.vocabulary import SHOWN
from letterwise.errors import UserError, sentence
from letterwise.inference.constraints.language.expression import Unsupported
from letterwise.inference.constraints.language.schema.keywords import COUNT, KEYWORDS, check_schema
from letterwise.inference.constraints.language.schema.merge import are_exclusive
from letterwise.inference.constraints.language.schema.patterns import may_hold_escaped, unescaped_pattern
from letterwise.inference.constraints.regex_checks import checked_regex

INSTEAD = {  # keywords that are about a value as a whole, and what to write instead
    "oneOf": "two alternatives may fit the same value: write 'anyOf', or give them different types or constants",
    "not": "say what is allowed instead, with 'enum', 'pattern' or 'anyOf'",
    "if": "write the cases as 'anyOf'", "then": "write the cases as 'anyOf'", "else": "write the cases as 'anyOf'",
    "uniqueItems": "leave it out, and check for equal items afterwards", "contains": "describe the items with 'items'",
    "dependentSchemas": "write the cases as 'anyOf'", "dependentRequired": "write the cases as 'anyOf'",
    "propertyNames": "name the properties, with 'additionalProperties': false",
    "unevaluatedProperties": "use 'additionalProperties'", "unevaluatedItems": "use 'items'",
}  # fmt: skip
SCHEMA_KEYWORDS = {"items", "additionalProperties"}  # whose value is a schema
SCHEMA_LISTS = {"anyOf", "allOf", "oneOf", "prefixItems"}
SCHEMA_MAPS = {"properties", "$defs", "definitions"}
DATE = (
    r"[0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))"
).replace("[0-9]{4}", "([0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)")  # no year 0000, no 29 February
TIME = r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?(Z|[-+]([01][0-9]|2[0-3]):[0-5][0-9])"
FORMATS = {  # RFC 3339, without what not every reader takes: leap seconds, lower-case letters
    "date": DATE, "time": TIME, "date-time": f"{DATE}T{TIME}",
    "uuid": "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "ipv4": r"((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])\.){3}(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])",
}  # fmt: skip


def checked_schema(text: str) -> str:
    """A JSON schema whose every keyword can be kept, with formats as patterns. Raises `UserError`."""

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is no JSON")

    def finite(number: str) -> float:
        value = float(number)
        if not math.isfinite(value):
            raise ValueError(f"{number[:SHOWN]} is larger than the numbers that JSON's readers know")
        return value

    try:
        schema = json.loads(text, parse_constant=refuse, parse_float=finite)
    except (ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise UserError(f"--json_schema {text[: 4 * SHOWN]!r} is no JSON schema: {sentence(why)}") from None
    check_schema(schema)
    return json.dumps(_checked(schema, schema), ensure_ascii=False)


def without_escaped_characters(schema: Any) -> Any:
    """A checked schema for llguidance, whose patterns it keeps only for strings without characters that JSON escapes."""
    if isinstance(schema, list):
        return [without_escaped_characters(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: v if key in ("const", "enum") else without_escaped_characters(v) for key, v in schema.items()}
    if isinstance(schema.get("pattern"), str):
        plain["pattern"] = unescaped_pattern(schema["pattern"])
    return plain


def _checked(schema: Any, root: Any) -> Any:
    """The schema, and all in it, with formats as patterns. Raises `UserError` for what cannot be kept to while writing."""
    if not isinstance(schema, dict):
        return schema
    schema = as_2020_12(schema)
    checked = dict(schema)
    for key, instead in INSTEAD.items():
        if key in checked and not (key == "oneOf" and are_exclusive(checked[key], root)):
            raise UserError(f"--json_schema: {key!r} is not supported while a text is written: {instead}.")
    _check_counted_properties(checked)
    for key, value in schema.items():
        if key in SCHEMA_KEYWORDS:
            checked[key] = _checked(value, root)
        elif key in SCHEMA_MAPS and isinstance(value, dict):
            checked[key] = {name: _checked(inner, root) for name, inner in value.items()}
        elif key in SCHEMA_LISTS and isinstance(value, list):
            checked[key] = [_checked(inner, root) for inner in value]
        elif key == "patternProperties" and isinstance(value, dict):
            checked[key] = {_checked_name_pattern(name): _checked(inner, root) for name, inner in value.items()}
    if isinstance(checked.get("format"), str) and checked["format"] in FORMATS and "pattern" not in checked:
        checked["pattern"] = f"^{FORMATS[checked.pop('format')]}$"
    if isinstance(checked.get("pattern"), str):
        _check_pattern(checked["pattern"])
    return checked


def as_2020_12(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema of an earlier draft as draft 2020-12 has it, without keywords that have no effect."""
    plain = {key: int(value) if KEYWORDS.get(key) is COUNT else value for key, value in schema.items()}
    if plain.get("uniqueItems") is False:
        del plain["uniqueItems"]
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):  # draft 4
        if isinstance(plain.get(exclusive), bool) and plain.pop(exclusive) and bound in plain:
            plain[exclusive] = plain.pop(bound)
    if isinstance(plain.get("items"), list):  # before 2020-12
        plain["prefixItems"] = plain.pop("items")
        if "additionalItems" in plain:
            plain["items"] = plain.pop("additionalItems")
    return plain


def _check_pattern(pattern: str) -> None:
    try:
        unescaped_pattern(checked_regex("--json_schema: pattern", pattern))
    except (Unsupported, RecursionError) as error:
        raise UserError(
            f"--json_schema: pattern {pattern[: 4 * SHOWN]!r} has a part that is not supported: {str(error)[:SHOWN]!r}. "
            "Use letters, [classes], groups, |, ?, *, + and {n,m}."
        ) from None


def _check_counted_properties(schema: dict[str, Any]) -> None:
    """Raises `UserError` when properties are counted whose names could be equal."""
    patterns = "patternProperties" in schema
    names = 0 if patterns else len({*schema.get("properties", {}), *schema.get("required", [])})
    free = schema.get("additionalProperties") is not False or patterns
    too_few = free and schema.get("minProperties", 0) > names
    if too_few or (patterns and "maxProperties" in schema):
        key = "minProperties" if too_few else "maxProperties"
        raise UserError(
            f"--json_schema: {key!r} is not supported where names are free: name as many in 'properties' or 'required'."
        )


def _checked_name_pattern(pattern: str) -> str:
    """The pattern again. Raises `UserError` where llguidance would confuse what JSON escapes."""
    try:
        if not may_hold_escaped(pattern):
            return pattern
    except Unsupported:  # nobody knows
        pass
    raise UserError(
        f"--json_schema: the name pattern {pattern[: 4 * SHOWN]!r} allows characters that JSON escapes (quotes, backslashes, "
        "control characters): name the characters it may hold, as [a-z_]."
    )
