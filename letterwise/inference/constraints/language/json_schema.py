"""JSON Schema: the JSON texts of a schema, as an expression.

    {"type": "array", "items": {"type": "null"}} ──json_of──▶ "[" null ("," null)* "]"

The dialect is draft 2020-12, as far as most schemas go. JSON is written without spaces, properties in the order of the
schema and others behind them. A schema that refers to itself is unrolled as deep as the length of a text allows: then
it is regular. Where that is too much, or any value may come, `rules_of` makes the schema's parts rules that call each
other.
"""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from letterwise.inference.constraints.language.expression import (
    EMPTY,
    NOTHING,
    START_RULE,
    CharClass,
    Choice,
    Concat,
    Expression,
    Members,
    Repeat,
    RuleRef,
    Separated,
    Unsupported,
    literal,
    size,
)
from letterwise.inference.constraints.language.numbers import (
    EXPONENT,
    FRACTION,
    INTEGER_PART,
    MINUS,
    Bound,
    integer,
    number,
)
from letterwise.inference.constraints.language.patterns import content_of
from letterwise.inference.constraints.language.schema_keywords import MEANINGFUL, check_schema

TYPE_OF_KEYWORD = {
    "minLength": "string", "maxLength": "string", "pattern": "string", "items": "array", "minItems": "array",
    "maxItems": "array", "properties": "object", "required": "object", "additionalProperties": "object",
}  # fmt: skip
BOUNDS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}  # of integers and numbers
COUNTS = {"minLength", "maxLength", "minItems", "maxItems"}
TYPES_OF = {
    bool: ["boolean"], int: ["integer", "number"], float: ["number"], str: ["string"], type(None): ["null"], list: ["array"],
    dict: ["object"],
}  # fmt: skip
ALL_TYPES = ["null", "boolean", "number", "string", "array", "object"]
MAX_DEPTH, MAX_SCHEMAS = 100, 2_000  # values within values, and schemas read in all
MAX_REPEATED = 20  # nodes of an expression that may stand in several places
UNLIMITED = 2**62  # characters
ANY_VALUE, ANY_MEMBER, ANY_STRING = "any value", "any member", "any string"  # names of rules

UNESCAPED = CharClass(r'[^"\\\x00-\x1f\x7f]')
ESCAPE = Choice((  # what stands behind a backslash
    CharClass(r'["\\bfnrt]'),
    Concat((
        *map(CharClass, "u00"),
        Choice((
            Concat((CharClass("[01]"), CharClass("[0-9A-Fa-f]"))), Concat((CharClass("7"), CharClass("[Ff]"))),
        )),
    )),
))  # fmt: skip
CHARACTER = Choice((UNESCAPED, Concat((CharClass("\\\\"), ESCAPE))))
STRING = Concat((CharClass('"'), Repeat(CHARACTER, 0, None), CharClass('"')))
ANY_RULES: dict[str, Expression] = {
    ANY_VALUE: Choice((
        STRING, Concat((MINUS, INTEGER_PART, FRACTION, EXPONENT)), literal("null"), literal("true"), literal("false"),
        Concat((CharClass("["), Repeat(Separated(RuleRef(ANY_VALUE), CharClass(",")), 0, 1), CharClass("]"))),
        Concat((CharClass("{"), Repeat(Separated(RuleRef(ANY_MEMBER), CharClass(",")), 0, 1), CharClass("}"))),
    )),
    ANY_MEMBER: Concat((STRING, CharClass(":"), RuleRef(ANY_VALUE))),
    ANY_STRING: STRING,
}  # fmt: skip


def json_of(schema: Any, max_chars: int) -> Expression:
    """JSON texts of at most `max_chars`, of a schema that `check_schema` lets pass. Raises `Unsupported`."""
    return _Reader(schema).value(schema, max_chars, 0)


def rules_of(schema: Any) -> dict[str, Expression]:
    """JSON texts of any length, as rules that call each other, `START_RULE` for the whole. Raises `Unsupported`."""
    reader = _Reader(schema, ANY_RULES)
    reader.rules[START_RULE] = reader.value(schema, UNLIMITED, 0)
    return reader.rules


class _Reader:
    """Reads one schema. With `rules`, values may call them, and what a `$ref` points to becomes one."""

    def __init__(self, root: Any, rules: Mapping[str, Expression] | None = None) -> None:
        self.root, self.schemas_read, self.with_rules, self.rules = root, 0, rules is not None, dict(rules or {})

    def value(self, schema: Any, max_chars: int, depth: int) -> Expression:
        """The JSON values of a schema that have at most `max_chars`, `depth` values deep in the text."""
        if max_chars < 1 or schema is False:
            return NOTHING
        schema = {} if schema is True else schema
        self.schemas_read += 1
        if depth > MAX_DEPTH or self.schemas_read > MAX_SCHEMAS or not isinstance(schema, dict):
            raise Unsupported
        keywords = {key: value for key, value in schema.items() if key in MEANINGFUL}
        match sorted(keywords):
            case []:
                return self._any_value()
            case ["$ref"] if isinstance(keywords["$ref"], str):
                return self._reference(keywords["$ref"], max_chars, depth)
            case ["anyOf"] if isinstance(keywords["anyOf"], list):
                return Choice(tuple(self.value(each, max_chars, depth + 1) for each in keywords["anyOf"]))
            case ["oneOf"] if isinstance(keywords["oneOf"], list) and have_different_types(keywords["oneOf"]):
                return Choice(tuple(self.value(each, max_chars, depth + 1) for each in keywords["oneOf"]))
            case ["allOf"] if isinstance(keywords["allOf"], list) and len(keywords["allOf"]) == 1:
                return self.value(keywords["allOf"][0], max_chars, depth + 1)
            case ["const"]:
                return _constants([keywords["const"]], None)
            case ["const", "type"]:
                return _constants([keywords["const"]], keywords["type"])
            case ["enum"] | ["enum", "type"] if isinstance(keywords["enum"], list):
                return _constants(keywords["enum"], keywords.get("type"))
        types = keywords.pop("type", ALL_TYPES)
        types = [types] if isinstance(types, str) else types
        numeric = "integer" in types or "number" in types
        if (
            not all(numeric if key in BOUNDS else TYPE_OF_KEYWORD.get(key) in types for key in keywords)
            or not all(type(keywords[key]) is int for key in keywords.keys() & COUNTS)
            or not all(type(keywords[key]) in (int, float) for key in keywords.keys() & BOUNDS)
        ):  # it was not looked at before, as what a `$ref` points to may be
            raise Unsupported
        return Choice(tuple(self._of_type(type_, keywords, max_chars, depth) for type_ in types))

    def _any_value(self) -> Expression:
        if not self.with_rules:
            raise Unsupported
        return RuleRef(ANY_VALUE)

    def _reference(self, pointer: str, max_chars: int, depth: int) -> Expression:
        """What a `$ref` points to: a rule, or unrolled."""
        if not self.with_rules:
            return self.value(self._resolved(pointer), max_chars, depth + 1)
        if pointer not in self.rules:
            self.rules[pointer] = NOTHING  # it may lead to itself
            self.rules[pointer] = self.value(self._resolved(pointer), UNLIMITED, 0)
        return RuleRef(pointer)

    def _resolved(self, pointer: str) -> Any:
        """The schema that a `$ref` within this schema points to."""
        if pointer == "#":
            return self.root
        if not pointer.startswith("#/") or "~" in pointer or "%" in pointer:
            raise Unsupported
        found = self.root
        for name in pointer[2:].split("/"):
            if not isinstance(found, dict) or name not in found:
                raise Unsupported
            found = found[name]
        check_schema(found)  # it may stand where no schema was looked for
        return found

    def _shared(self, value: Expression) -> Expression:
        """A value that stands in several places: a rule, or each array around it would double it."""
        if not self.with_rules or size(value) <= MAX_REPEATED:
            return value
        name = f"value {len(self.rules)}"
        self.rules[name] = value
        return RuleRef(name)

    def _of_type(self, type_: str, keywords: Mapping[str, Any], max_chars: int, depth: int) -> Expression:
        match type_:
            case "null":
                return literal("null")
            case "boolean":
                return Choice((literal("true"), literal("false")))
            case "integer":
                return integer(*bounds(keywords))
            case "number":
                return number(*bounds(keywords))
            case "string" if self.with_rules and not keywords.keys() & {"pattern", "minLength", "maxLength"}:
                return RuleRef(ANY_STRING)  # hundreds of them are one
            case "string":
                return Concat((CharClass('"'), _content(keywords), CharClass('"')))
            case "array":
                return self._array(keywords, max_chars, depth)
            case "object":
                return self._object(keywords, max_chars, depth)
        raise Unsupported

    def _array(self, keywords: Mapping[str, Any], max_chars: int, depth: int) -> Expression:
        minimum, maximum = keywords.get("minItems", 0), keywords.get("maxItems")
        if maximum is not None and maximum < minimum:
            return NOTHING
        if maximum == 0:
            return literal("[]")
        item = self.value(keywords.get("items", True), max_chars - 2, depth + 1)
        if minimum <= 1 and maximum is None:
            items: Expression = Separated(item, CharClass(","))
        else:
            item = self._shared(item)
            more = Repeat(Concat((CharClass(","), item)), max(0, minimum - 1), None if maximum is None else maximum - 1)
            items = Concat((item, more))
        return Concat((CharClass("["), items if minimum else Repeat(items, 0, 1), CharClass("]")))

    def _object(self, keywords: Mapping[str, Any], max_chars: int, depth: int) -> Expression:
        additional = keywords.get("additionalProperties", True)
        required = dict.fromkeys(keywords.get("required", []))
        properties = {**dict.fromkeys(required, additional), **keywords.get("properties", {})}
        properties = {name: properties[name] for name in {**keywords.get("properties", {}), **required}}
        keys = {name: _quoted(name) + ":" for name in properties}
        shortest = {name: len(keys[name]) + 2 for name in required}  # with a value of one character, and a comma
        max_chars -= 1 + sum(shortest.values())  # two braces, but the first member has no comma
        members: list[tuple[Expression, bool]] = []
        for name, schema in properties.items():
            value = self.value(schema, max_chars + shortest.get(name, 1) - len(keys[name]) - 1, depth + 1)
            members.append((Concat((literal(keys[name]), value)), name in required))
        if additional is not False:
            other = self.value(additional, max_chars - 3, depth + 1)
            member = Concat((_any_key_but([*properties]), CharClass(":"), other))
            members.append((Separated(member, CharClass(",")), False))
        return Concat((CharClass("{"), Members(tuple(members), CharClass(",")), CharClass("}")))


def have_different_types(schemas: Any) -> bool:
    """Does each of these schemas have types of its own, so that no value fits two of them?"""
    if not isinstance(schemas, list):
        return False
    seen: set[str] = set()
    for schema in schemas:
        if not isinstance(schema, dict):
            return False
        types = schema.get("type", [])
        types = {types} if isinstance(types, str) else {type_ for type_ in types if isinstance(type_, str)}
        constants = [schema["const"]] if "const" in schema else schema.get("enum", [])
        if constants and not types:
            types = {TYPES_OF[type(value)][-1] for value in constants}
        types = {"number" if type_ == "integer" else type_ for type_ in types}
        if not types or types & seen:
            return False
        seen |= types
    return True


def bounds(keywords: Mapping[str, Any]) -> tuple[Bound | None, Bound | None]:
    """The larger lower bound and the smaller upper one: each a number, and whether it is excluded itself."""
    low = [
        (Decimal(repr(keywords[key])), key == "exclusiveMinimum") for key in ("minimum", "exclusiveMinimum") if key in keywords
    ]
    high = [
        (Decimal(repr(keywords[key])), key == "exclusiveMaximum") for key in ("maximum", "exclusiveMaximum") if key in keywords
    ]
    return max(low, default=None), min(high, key=lambda bound: (bound[0], not bound[1]), default=None)


def _quoted(text: str) -> str:
    """A text as JSON has it. Control characters could be written in two ways: `Unsupported`."""
    if any(character < " " or character == "\x7f" for character in text):
        raise Unsupported
    return json.dumps(text, ensure_ascii=False)


def _constants(values: list[Any], types: Any) -> Expression:
    """One of these values, of those that have one of the types, each in the one way that Python writes it."""
    types = [types] if isinstance(types, str) else types
    fitting = [
        value
        for value in values
        if types is None
        or any(type_ in types for type_ in TYPES_OF[type(value)])
        or (type(value) is float and value.is_integer() and "integer" in types)
    ]
    return Choice(tuple(literal(json.dumps(value, ensure_ascii=False, separators=(",", ":"))) for value in fitting))


def _content(keywords: Mapping[str, Any]) -> Expression:
    """What stands between a string's quotes."""
    minimum, maximum = keywords.get("minLength", 0), keywords.get("maxLength")
    if "pattern" not in keywords:
        return NOTHING if maximum is not None and maximum < minimum else Repeat(CHARACTER, minimum, maximum)
    if "minLength" in keywords or "maxLength" in keywords:
        raise Unsupported("minLength or maxLength beside pattern")
    return content_of(keywords["pattern"])


def _any_key_but(keys: list[str]) -> Expression:
    """A string, quotes included, that is none of some keys, which hold nothing that JSON escapes."""
    if any(_quoted(key) != f'"{key}"' for key in keys):
        raise Unsupported
    return Concat((CharClass('"'), _other_than(keys), CharClass('"')))


def _other_than(texts: list[str]) -> Expression:
    """Characters of a string that do not spell one of some texts."""
    if not texts:
        return Repeat(CHARACTER, 0, None)
    firsts = sorted({text[0] for text in texts if text})
    others = "".join(f"\\x{{{ord(first):x}}}" for first in firsts)
    choices: list[Expression] = [] if "" in texts else [EMPTY]
    for first in firsts:
        choices.append(Concat((*literal(first).parts, _other_than([text[1:] for text in texts if text[:1] == first]))))
    departure = Choice((CharClass(rf'[^"\\\x00-\x1f\x7f{others}]'), Concat((CharClass("\\\\"), ESCAPE))))
    return Choice((*choices, Concat((departure, Repeat(CHARACTER, 0, None)))))
