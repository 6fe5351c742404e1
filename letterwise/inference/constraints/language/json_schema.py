"""JSON schema: what JSON of a schema looks like, as an expression.

    {"type": "array", "items": {"type": "null"}} ──json_of──▶ "[" null ("," null)* "]"

JSON is written without spaces, properties in the order of the schema and others behind them. Only what most schemas are made
of is read here. What refers to itself is laid out as deep as the length of the text lets it go: then it is regular, too. Where
that is too much, or any value at all may come, the schema's parts are rules that call each other.
"""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from letterwise.inference.constraints.language.numbers import EXPONENT, FRACTION, NOTHING, SIGN, WHOLE, Bound, integer, number
from letterwise.inference.constraints.language.patterns import content_of
from letterwise.inference.constraints.language.regex import (
    Chain,
    Choice,
    Expression,
    Members,
    One,
    Repeat,
    Row,
    Rule,
    Unusual,
    literal,
    size,
)
from letterwise.inference.constraints.language.schema_check import MEANINGFUL, checked

FITTING = {  # keywords, and what they are about
    "minLength": "string", "maxLength": "string", "pattern": "string", "items": "array", "minItems": "array",
    "maxItems": "array", "properties": "object", "required": "object", "additionalProperties": "object",
}  # fmt: skip
BOUNDS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}  # of integers and numbers
KINDS = {
    bool: ["boolean"], int: ["integer", "number"], float: ["number"], str: ["string"], type(None): ["null"], list: ["array"],
    dict: ["object"],
}  # fmt: skip
COUNTS = {"minLength", "maxLength", "minItems", "maxItems"}
DEEPEST, LARGEST = 100, 2_000  # values within values, and values in all
SMALL = 20  # parts of an expression that may stand in several places
ENDLESS = 2**62  # characters: there is room for everything
BEGIN, ANY, MEMBER, ANY_STRING = "start", "any value", "any member", "any string"  # names of rules
ALL_KINDS = ["null", "boolean", "number", "string", "array", "object"]

PLAIN = One(r'[^"\\\x00-\x1f\x7f]')
ESCAPED = Choice((
    One(r'["\\bfnrt]'),
    Row((*map(One, "u00"), Choice((Row((One("[01]"), One("[0-9A-Fa-f]"))), Row((One("7"), One("[Ff]"))))))),
))  # fmt: skip
CHARACTER = Choice((PLAIN, Row((One("\\\\"), ESCAPED))))
STRING = Row((One('"'), Repeat(CHARACTER, 0, None), One('"')))
ANY_RULES: dict[str, Expression] = {
    ANY: Choice((
        STRING, Row((SIGN, WHOLE, FRACTION, EXPONENT)), literal("null"), literal("true"), literal("false"),
        Row((One("["), Repeat(Chain(Rule(ANY), One(",")), 0, 1), One("]"))),
        Row((One("{"), Repeat(Chain(Rule(MEMBER), One(",")), 0, 1), One("}"))),
    )),
    MEMBER: Row((STRING, One(":"), Rule(ANY))),
    ANY_STRING: STRING,
}  # fmt: skip


def json_of(schema: Any, longest: int) -> Expression:
    """JSON of a schema that the engine has found sound, in at most so many characters. Raises `Unusual` where this cannot."""
    return _Reader(schema).value(schema, longest, 0)


def rules_of(schema: Any) -> dict[str, Expression]:
    """The same, of any length, as rules that call each other. The first one is of the whole."""
    reader = _Reader(schema, ANY_RULES)
    reader.rules[BEGIN] = reader.value(schema, ENDLESS, 0)
    return reader.rules


class _Reader:
    """Reads one schema: `room` is how many characters a value may take at most, `depth` how many values it stands in."""

    def __init__(self, root: Any, rules: Mapping[str, Expression] | None = None) -> None:
        """With `rules`, values may call them, and what is referred to becomes one."""
        self.root, self.read, self.named, self.rules = root, 0, rules is not None, dict(rules or {})

    def value(self, schema: Any, room: int, depth: int) -> Expression:
        """The JSON values of a schema that fit into `room` characters, `depth` values deep in the text."""
        if room < 1 or schema is False:
            return NOTHING
        schema = {} if schema is True else schema
        self.read += 1
        if depth > DEEPEST or self.read > LARGEST or not isinstance(schema, dict):
            raise Unusual
        asked = {key: value for key, value in schema.items() if key in MEANINGFUL}
        match sorted(asked):
            case []:
                return self._any()
            case ["$ref"] if isinstance(asked["$ref"], str):
                return self._rule(asked["$ref"]) if self.named else self.value(self._referred(asked["$ref"]), room, depth + 1)
            case ["anyOf"] if isinstance(asked["anyOf"], list):
                return Choice(tuple(self.value(each, room, depth + 1) for each in asked["anyOf"]))
            case ["oneOf"] if isinstance(asked["oneOf"], list) and apart(asked["oneOf"]):
                return Choice(tuple(self.value(each, room, depth + 1) for each in asked["oneOf"]))
            case ["allOf"] if isinstance(asked["allOf"], list) and len(asked["allOf"]) == 1:
                return self.value(asked["allOf"][0], room, depth + 1)
            case ["const"]:
                return _constants([asked["const"]], None)
            case ["const", "type"]:
                return _constants([asked["const"]], asked["type"])
            case ["enum"] | ["enum", "type"] if isinstance(asked["enum"], list):
                return _constants(asked["enum"], asked.get("type"))
        kinds = asked.pop("type", ALL_KINDS)
        kinds = [kinds] if isinstance(kinds, str) else kinds
        bounded = asked.keys() & BOUNDS and {"integer", "number"} & {*kinds}
        if (
            not isinstance(kinds, list)
            or not isinstance(asked.get("properties", {}), dict)
            or not isinstance(asked.get("required", []), list)
            or not all(isinstance(name, str) for name in asked.get("required", []))
            or any(key not in BOUNDS or not bounded for key in asked if FITTING.get(key) not in kinds)
            or any(type(asked[key]) is not int for key in asked.keys() & COUNTS)
            or any(type(asked[key]) not in (int, float) for key in asked.keys() & BOUNDS)
        ):
            raise Unusual
        return Choice(tuple(self._of_kind(kind, asked, room, depth) for kind in kinds))

    def _any(self) -> Expression:
        """Any value at all."""
        if not self.named:
            raise Unusual
        return Rule(ANY)

    def _rule(self, place: str) -> Expression:
        """What a reference points to."""
        if place not in self.rules:
            self.rules[place] = NOTHING  # it may lead to itself
            self.rules[place] = self.value(self._referred(place), ENDLESS, 0)
        return Rule(place)

    def _shared(self, value: Expression) -> Expression:
        """A value that stands in several places, and would stand in twice as many for each array around it."""
        if not self.named or size(value) <= SMALL:
            return value
        name = f"value {len(self.rules)}"
        self.rules[name] = value
        return Rule(name)

    def _of_kind(self, kind: str, asked: Mapping[str, Any], room: int, depth: int) -> Expression:
        match kind:
            case "null":
                return literal("null")
            case "boolean":
                return Choice((literal("true"), literal("false")))
            case "integer":
                return integer(*bounds(asked))
            case "number":
                return number(*bounds(asked))
            case "string" if self.named and not asked.keys() & {"pattern", "minLength", "maxLength"}:
                return Rule(ANY_STRING)  # hundreds of them are one
            case "string":
                return Row((One('"'), _content(asked), One('"')))
            case "array":
                return self._array(asked, room, depth)
            case "object":
                return self._object(asked, room, depth)
        raise Unusual

    def _referred(self, place: str) -> Any:
        """What a reference within this schema points to."""
        if place == "#":
            return self.root
        if not place.startswith("#/") or "~" in place or "%" in place:
            raise Unusual
        found = self.root
        for name in place[2:].split("/"):
            if not isinstance(found, dict) or name not in found:
                raise Unusual
            found = found[name]
        checked(found)  # what stands beside the keywords was not looked at
        return found

    def _array(self, asked: Mapping[str, Any], room: int, depth: int) -> Expression:
        least, most = asked.get("minItems", 0), asked.get("maxItems")
        if most is not None and most < least:
            return NOTHING
        if most == 0:
            return literal("[]")
        item = self.value(asked.get("items", True), room - 2, depth + 1)
        if least <= 1 and most is None:
            items: Expression = Chain(item, One(","))
        else:
            item = self._shared(item)
            items = Row((item, Repeat(Row((One(","), item)), max(0, least - 1), None if most is None else most - 1)))
        return Row((One("["), items if least else Repeat(items, 0, 1), One("]")))

    def _object(self, asked: Mapping[str, Any], room: int, depth: int) -> Expression:
        more = asked.get("additionalProperties", True)
        required = dict.fromkeys(asked.get("required", []))
        properties = {**dict.fromkeys(required, more), **asked.get("properties", {})}
        properties = {name: properties[name] for name in {**asked.get("properties", {}), **required}}
        keys = {name: _quoted(name) + ":" for name in properties}
        least = {name: len(keys[name]) + 2 for name in required}  # with a value of one character, and a comma
        room -= 1 + sum(least.values())  # the first has no comma, but there are two braces
        members: list[tuple[Expression, bool]] = []
        for name, schema in properties.items():
            value = self.value(schema, room + least.get(name, 1) - len(keys[name]) - 1, depth + 1)
            members.append((Row((literal(keys[name]), value)), name in required))
        if more is not False:
            other = self.value(more, room - 3, depth + 1)
            members.append((Chain(Row((_any_key_but([*properties]), One(":"), other)), One(",")), False))
        return Row((One("{"), Members(tuple(members), One(",")), One("}")))


def apart(schemas: Any) -> bool:
    """Are these of different kinds, so that no value fits two of them?"""
    if not isinstance(schemas, list):
        return False
    seen: set[str] = set()
    for schema in schemas:
        if not isinstance(schema, dict):
            return False
        kinds = schema.get("type", [])
        kinds = {kinds} if isinstance(kinds, str) else {kind for kind in kinds if isinstance(kind, str)}
        constants = [schema["const"]] if "const" in schema else schema.get("enum", [])
        if constants and not kinds:
            kinds = {KINDS[type(value)][-1] for value in constants}
        kinds = {"number" if kind == "integer" else kind for kind in kinds}
        if not kinds or kinds & seen:
            return False
        seen |= kinds
    return True


def bounds(asked: Mapping[str, Any]) -> tuple[Bound | None, Bound | None]:
    """The larger of the lower bounds and the smaller of the upper ones: each a number, and whether it is excluded itself."""
    low = [
        (Decimal(repr(asked[key])), open_) for key, open_ in (("minimum", False), ("exclusiveMinimum", True)) if key in asked
    ]
    high = [
        (Decimal(repr(asked[key])), open_) for key, open_ in (("maximum", False), ("exclusiveMaximum", True)) if key in asked
    ]
    return max(low, default=None), min(high, key=lambda bound: (bound[0], not bound[1]), default=None)


def _quoted(text: str) -> str:
    """A text as JSON has it. Control characters could be written in two ways: `Unusual`."""
    if any(character < " " or character == "\x7f" for character in text):
        raise Unusual
    return json.dumps(text, ensure_ascii=False)


def _constants(values: list[Any], kinds: Any) -> Expression:
    """One of these values, of those that are of a kind, each in the one way that Python writes it."""
    kinds = [kinds] if isinstance(kinds, str) else kinds
    fitting = [
        value
        for value in values
        if kinds is None
        or any(kind in kinds for kind in KINDS[type(value)])
        or (type(value) is float and value.is_integer() and "integer" in kinds)
    ]
    return Choice(tuple(literal(json.dumps(value, ensure_ascii=False, separators=(",", ":"))) for value in fitting))


def _content(asked: Mapping[str, Any]) -> Expression:
    """What stands between a string's quotes."""
    least, most = asked.get("minLength", 0), asked.get("maxLength")
    if "pattern" not in asked:
        return NOTHING if most is not None and most < least else Repeat(CHARACTER, least, most)
    if "minLength" in asked or "maxLength" in asked:
        raise Unusual("minLength or maxLength beside pattern")
    return content_of(asked["pattern"])


def _any_key_but(keys: list[str]) -> Expression:
    """A string, quotes included, that is none of some others, which hold nothing that JSON escapes."""
    if any(_quoted(key) != f'"{key}"' for key in keys):
        raise Unusual
    return Row((One('"'), _other_than(keys), One('"')))


def _other_than(texts: list[str]) -> Expression:
    """Characters of a string that do not spell one of some texts."""
    if not texts:
        return Repeat(CHARACTER, 0, None)
    firsts = sorted({text[0] for text in texts if text})
    others = "".join(f"\\x{{{ord(first):x}}}" for first in firsts)
    choices: list[Expression] = [] if "" in texts else [Row(())]
    choices += [Row((*literal(first).parts, _other_than([t[1:] for t in texts if t[:1] == first]))) for first in firsts]
    away = Choice((One(rf'[^"\\\x00-\x1f\x7f{others}]'), Row((One("\\\\"), ESCAPED))))
    return Choice((*choices, Row((away, Repeat(CHARACTER, 0, None)))))
