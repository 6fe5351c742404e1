"""Merge: schemas that hold at once, as one without references and combinations.

    {"allOf": [{"minimum": 3}, {"maximum": 5}]} ──merged──▶ [{"minimum": 3, "maximum": 5}]

`anyOf` and `oneOf` are a choice, so the answer is a list of schemas: a value fits the whole when it fits one of them. The
schemas of members and items that hold at once stay an `allOf`, and are merged when they are read.
"""

import itertools
import math
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from letterwise.inference.constraints.language.expression import TooLarge, Unsupported
from letterwise.inference.constraints.language.schema.keywords import MEANINGFUL, TYPES, check_schema

Schema = dict[str, Any]
COMBINING = {"$ref", "allOf", "anyOf", "oneOf"}
LOWER = {"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"}  # of two bounds, the larger holds
UPPER = {"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"}
NUMERIC = {"minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "multipleOf"}
CHECKED = {"type", "minLength", "maxLength", *NUMERIC}  # keywords that `fits` knows
TYPE_OF = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null", list: "array", dict: "object"}
MAX_CASES, MAX_DEPTH = 200, 50


def merged(schema: Any, root: Any, depth: int = 0) -> list[Schema]:
    """Schemas without `COMBINING` keywords and `const`; a value fits `schema` when it fits one of them.

    Raises `Unsupported` and `TooLarge`.
    """
    if isinstance(schema, bool):
        return [{}] if schema else []
    if depth > MAX_DEPTH:
        raise Unsupported("a schema that leads to itself")
    cases = [{key: value for key, value in schema.items() if key in MEANINGFUL - COMBINING - {"const", "enum"}}]
    if "const" in schema:
        cases = _all_pairs(cases, [{"enum": [schema["const"]]}])
    if "enum" in schema:
        cases = _all_pairs(cases, [{"enum": schema["enum"]}])
    parts = [resolved(schema["$ref"], root)] if "$ref" in schema else []
    for part in [*parts, *schema.get("allOf", [])]:
        cases = _all_pairs(cases, merged(part, root, depth + 1))
    if "oneOf" in schema and not are_exclusive(schema["oneOf"], root):
        raise Unsupported("oneOf")
    for choices in (schema[key] for key in ("anyOf", "oneOf") if key in schema):
        cases = _all_pairs(cases, [case for choice in choices for case in merged(choice, root, depth + 1)])
    return cases


def resolved(pointer: str, root: Any) -> Any:
    """The schema that a `$ref` within a schema points to. Raises `Unsupported`."""
    if pointer == "#":
        return root
    if not pointer.startswith("#/") or "%" in pointer:
        raise Unsupported(pointer)
    found = root
    for part in pointer[2:].split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list) and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        elif isinstance(found, dict) and name in found:
            found = found[name]
        else:
            raise Unsupported(pointer)
    check_schema(found)  # it may stand where no schema was looked for
    return found


def are_exclusive(schemas: list[Any], root: Any) -> bool:
    """Does no value fit two of these schemas? As far as types, constants, and members that are constants show."""
    try:
        cases = [merged(schema, root) for schema in schemas]
    except (Unsupported, TooLarge):
        return False
    return all(_exclude(a, b) for one, other in itertools.combinations(cases, 2) for a in one for b in other)


def _exclude(a: Schema, b: Schema) -> bool:
    """Does nothing match both? By constants, types, or a required property that tells them apart."""
    if "enum" in a and "enum" in b:
        return not any(same(x, y) for x in a["enum"] for y in b["enum"])
    types_a, types_b = _value_types(a), _value_types(b)
    if not types_a & types_b:
        return True
    if types_a | types_b != {"object"}:
        return False
    names = {*a.get("required", [])} & {*b.get("required", [])}
    return any(_constants_differ(*(each.get("properties", {}).get(name, True) for each in (a, b))) for name in names)


def _constants_differ(a: Any, b: Any) -> bool:
    """Are both constants, and has no value of one an equal in the other?"""
    values = [
        [each["const"]] if "const" in each else each["enum"]
        for each in (a, b)
        if isinstance(each, dict) and {"const", "enum"} & each.keys()
    ]
    return len(values) == 2 and not any(same(x, y) for x in values[0] for y in values[1])


def _value_types(schema: Schema) -> set[str]:
    if "enum" in schema:
        return {type_of(value) for value in schema["enum"]}
    return types_of(schema.get("type", [*TYPES]))


def _all_pairs(left: list[Schema], right: list[Schema]) -> list[Schema]:
    """One of these and one of those hold."""
    if len(left) * len(right) > MAX_CASES:
        raise TooLarge
    return [both for a in left for b in right if (both := _both(a, b)) is not None]


def _both(a: Schema, b: Schema) -> Schema | None:
    """Two schemas that hold at once; None when no value fits both."""
    members, items = {"properties", "additionalProperties"}, {"items", "prefixItems"}
    if "patternProperties" in {*a, *b} and (members | {"patternProperties"}) & a.keys() & b.keys():
        raise Unsupported("patternProperties")
    if "prefixItems" in {*a, *b} and items & a.keys() and items & b.keys():
        raise Unsupported("prefixItems")
    both = {**a, **b}
    for key in a.keys() & b.keys():
        both[key] = _combined(key, a[key], b[key])
    if members & a.keys() and members & b.keys():
        names = dict.fromkeys([*a.get("properties", {}), *b.get("properties", {})])
        both["properties"] = {name: {"allOf": [_member(a, name), _member(b, name)]} for name in names}
    if "enum" in both and both.keys() - {"enum", "type"}:
        if both.keys() - {"enum"} - CHECKED:
            raise Unsupported("enum")
        both = {"enum": [value for value in both["enum"] if fits(value, both)]}
    return None if both.get("enum") == [] or both.get("type") == [] else both


def _member(schema: Schema, name: str) -> Any:
    """What a schema says of a member of that name."""
    return schema.get("properties", {}).get(name, schema.get("additionalProperties", True))


def _combined(key: str, a: Any, b: Any) -> Any:
    """What the two values of a keyword say at once."""
    if key in LOWER | UPPER:
        return max(a, b) if key in LOWER else min(a, b)
    match key:
        case "type":
            types = [type_ for type_ in TYPES if type_ in types_of(a) & types_of(b)]
            return [type_ for type_ in types if type_ != "integer" or "number" not in types]
        case "enum":
            return [value for value in a if any(same(value, other) for other in b)]
        case "multipleOf":
            return _common_multiple(Decimal(str(a)), Decimal(str(b)))
        case "required":
            return [*dict.fromkeys([*a, *b])]
        case "items" | "additionalProperties":
            return {"allOf": [a, b]}
        case "pattern":
            return [*patterns_of(a), *patterns_of(b)]
        case "properties":
            return a  # by name, in `_both`
    if same(a, b):
        return a
    raise Unsupported(key)


def patterns_of(pattern: str | list[str]) -> list[str]:
    """The patterns that a merged schema has under `pattern`."""
    return [pattern] if isinstance(pattern, str) else pattern


def types_of(types: str | list[str]) -> set[str]:
    """The types that a schema names; an integer is a number."""
    named = {types} if isinstance(types, str) else {*types}
    return named | {"integer"} if "number" in named else named


def type_of(value: Any) -> str:
    """The type of a JSON value; of a number without a fraction: integer."""
    return "integer" if isinstance(value, float) and value.is_integer() else TYPE_OF[type(value)]


def _common_multiple(a: Decimal, b: Decimal) -> Decimal:
    """The least common multiple of both."""
    x, y = Fraction(a), Fraction(b)
    common = Fraction(math.lcm(x.numerator * y.denominator, y.numerator * x.denominator), x.denominator * y.denominator)
    places = max(-int(a.as_tuple().exponent), -int(b.as_tuple().exponent), 0)
    return Decimal(int(common * 10**places)).scaleb(-places)


def same(a: Any, b: Any) -> bool:
    """Are two JSON values equal? 1 and 1.0 are, 1 and true are not."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return a == b


def fits(value: Any, schema: Mapping[str, Any]) -> bool:
    """Does a constant fit what a schema says of its type, and of numbers and lengths?"""
    type_ = type_of(value)
    if "type" in schema and type_ not in types_of(schema["type"]):
        return False
    if type_ == "string":
        return schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", math.inf)
    if type_ not in ("integer", "number"):
        return True
    exact = Fraction(str(value))
    limits = {key: Fraction(str(schema[key])) for key in schema.keys() & NUMERIC}
    return (
        limits.get("minimum", exact) <= exact <= limits.get("maximum", exact)
        and ("exclusiveMinimum" not in limits or exact > limits["exclusiveMinimum"])
        and ("exclusiveMaximum" not in limits or exact < limits["exclusiveMaximum"])
        and ("multipleOf" not in limits or exact % limits["multipleOf"] == 0)
    )
