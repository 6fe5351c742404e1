"""Schema: what JSON of a schema looks like, as an expression.

    {"type": "array", "items": {"type": "null"}} ──json_of──▶ "[" null ("," null)* "]"

JSON is written without spaces, properties in the order of the schema, as the engine of matching.py has it, which is the oracle
in tests/inference. Only what most schemas are made of is read here. What refers to itself is laid out as deep as the length of
the text lets it go: then it is regular, too.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from letterwise.inference.expression import (
    ANY_DIGIT,
    Chain,
    Choice,
    Expression,
    Members,
    One,
    Repeat,
    Row,
    Unusual,
    anchored,
    literal,
)

TOLD = {"title", "description", "default", "examples", "$comment", "$schema", "$defs", "definitions"}  # of no consequence
FITTING = {  # keywords, and what they are about
    "minLength": "string", "maxLength": "string", "pattern": "string", "minimum": "integer", "maximum": "integer",
    "items": "array", "minItems": "array", "maxItems": "array", "properties": "object", "required": "object",
    "additionalProperties": "object",
}  # fmt: skip
KINDS = {bool: ["boolean"], int: ["integer", "number"], str: ["string"], type(None): ["null"]}  # a constant's
COUNTS = {"minLength", "maxLength", "minItems", "maxItems"}
DEEPEST, LARGEST, MOST_DIGITS = 100, 2_000, 20  # values within values, and values in all; a bound's digits

NOTHING = Choice(())
PLAIN = One(r'[^"\\\x00-\x1f\x7f]')
ESCAPED = Choice((
    One(r'["\\bfnrt]'),
    Row((*map(One, "u00"), Choice((Row((One("[01]"), One("[0-9A-Fa-f]"))), Row((One("7"), One("[Ff]"))))))),
))  # fmt: skip
CHARACTER = Choice((PLAIN, Row((One("\\\\"), ESCAPED))))
WHOLE = Choice((One("0"), Row((One("[1-9]"), Repeat(ANY_DIGIT, 0, None)))))
SIGN = Repeat(One("-"), 0, 1)
FRACTION = Repeat(Row((One(r"\."), Repeat(ANY_DIGIT, 1, None))), 0, 1)
EXPONENT = Repeat(Row((One("[Ee]"), Repeat(One("[-+]"), 0, 1), Repeat(ANY_DIGIT, 1, None))), 0, 1)
# of a pattern: what is neither quote nor backslash nor control character
LETTER = re.compile(r'[^\x00-\x1f\x7f"\\.\[]|\\[^\w\s"\\]')
LETTERS = re.compile(r"\[(?:[a-z]-[a-z]|[A-Z]-[A-Z]|[0-9]-[0-9]|[\w ,;:!?'()/@#%*+=<>{}|.])+-?\]")
PATTERN_CLASSES = {r"\d": ANY_DIGIT, r"\w": One("[0-9A-Za-z_]")}  # in a schema's patterns they are of ASCII


def json_of(schema: Any, longest: int) -> Expression:
    """JSON of a schema that the engine has found sound, in at most so many characters. Raises `Unusual` where this cannot."""
    return _Reader(schema).value(schema, longest, 0)


class _Reader:
    """Reads one schema: `room` is how many characters a value may take at most, `depth` how many values it stands in."""

    def __init__(self, root: Any) -> None:
        self.root, self.read = root, 0

    def value(self, schema: Any, room: int, depth: int) -> Expression:
        if room < 1:
            return NOTHING
        self.read += 1
        if depth > DEEPEST or self.read > LARGEST or not isinstance(schema, dict):
            raise Unusual
        asked = {key: value for key, value in schema.items() if key not in TOLD}
        match sorted(asked):
            case ["$ref"]:
                return self.value(self._referred(asked["$ref"]), room, depth + 1)
            case ["anyOf"]:
                return Choice(tuple(self.value(each, room, depth + 1) for each in asked["anyOf"]))
            case ["const"]:
                return _constants([asked["const"]], None)
            case ["enum"] | ["enum", "type"]:
                return _constants(asked["enum"], asked.get("type"))
        kinds = asked.pop("type", None)
        kinds = [kinds] if isinstance(kinds, str) else kinds
        if (
            not kinds
            or any(FITTING.get(key) not in kinds for key in asked)
            or any(type(asked[key]) is not int for key in asked.keys() & COUNTS)
        ):
            raise Unusual
        return Choice(tuple(self._of_kind(kind, asked, room, depth) for kind in kinds))

    def _of_kind(self, kind: str, asked: Mapping[str, Any], room: int, depth: int) -> Expression:
        match kind:
            case "null":
                return literal("null")
            case "boolean":
                return Choice((literal("true"), literal("false")))
            case "integer":
                return integer(asked.get("minimum"), asked.get("maximum"))
            case "number" if not asked.keys() & {"minimum", "maximum"}:
                return Row((SIGN, WHOLE, FRACTION, EXPONENT))
            case "string":
                return Row((One('"'), _content(asked), One('"')))
            case "array":
                return self._array(asked, room, depth)
            case "object":
                return self._object(asked, room, depth)
        raise Unusual

    def _referred(self, place: str) -> Any:
        """What a reference within this schema points to."""
        if not place.startswith("#/") or "~" in place or "%" in place:
            raise Unusual
        found = self.root
        for name in place[2:].split("/"):
            if not isinstance(found, dict) or name not in found:
                raise Unusual
            found = found[name]
        return found

    def _array(self, asked: Mapping[str, Any], room: int, depth: int) -> Expression:
        least, most = asked.get("minItems", 0), asked.get("maxItems")
        if "items" not in asked or most == 0:
            raise Unusual
        if most is not None and most < least:
            return NOTHING
        item = self.value(asked["items"], room - 2, depth + 1)
        if least <= 1 and most is None:
            items: Expression = Chain(item, One(","))
        else:
            items = Row((item, Repeat(Row((One(","), item)), max(0, least - 1), None if most is None else most - 1)))
        return Row((One("["), items if least else Repeat(items, 0, 1), One("]")))

    def _object(self, asked: Mapping[str, Any], room: int, depth: int) -> Expression:
        properties, required = asked.get("properties", {}), asked.get("required", [])
        if asked.get("additionalProperties") is not False or not set(required) <= set(properties):
            raise Unusual
        keys = {name: _quoted(name) + ":" for name in properties}
        least = {name: len(keys[name]) + 2 for name in set(required)}  # with a value of one character, and a comma
        room -= 1 + sum(least.values())  # the first has no comma, but there are two braces
        members = []
        for name, schema in properties.items():
            value = self.value(schema, room + least.get(name, 1) - len(keys[name]) - 1, depth + 1)
            members.append((Row((literal(keys[name]), value)), name in required))
        return Row((One("{"), Members(tuple(members), One(",")), One("}")))


def _quoted(text: str) -> str:
    """A text as JSON has it. Control characters could be written in two ways: `Unusual`."""
    if any(character < " " or character == "\x7f" for character in text):
        raise Unusual
    return json.dumps(text, ensure_ascii=False)


def _constants(values: list[Any], kind: Any) -> Expression:
    """One of these values, of those that are of a kind."""
    if not all(type(value) in KINDS for value in values) or not isinstance(kind, str | None):
        raise Unusual
    fitting = [value for value in values if kind is None or kind in KINDS[type(value)]]
    return Choice(tuple(literal(_quoted(value) if isinstance(value, str) else json.dumps(value)) for value in fitting))


def _content(asked: Mapping[str, Any]) -> Expression:
    """What stands between a string's quotes."""
    least, most = asked.get("minLength", 0), asked.get("maxLength")
    if "pattern" not in asked:
        return NOTHING if most is not None and most < least else Repeat(CHARACTER, least, most)
    if "minLength" in asked or "maxLength" in asked:
        raise Unusual
    return _of_pattern(anchored(asked["pattern"]))


def _of_pattern(pattern: Expression) -> Expression:
    """A pattern's expression, where it means the same in JSON: all of its characters stand for themselves."""
    match pattern:
        case Row(parts):
            return Row(tuple(map(_of_pattern, parts)))
        case Choice(parts):
            return Choice(tuple(map(_of_pattern, parts)))
        case Repeat(part, least, most):
            return Repeat(_of_pattern(part), least, most)
        case One(written, "") if written in PATTERN_CLASSES:
            return PATTERN_CLASSES[written]
        case One(written, "") if LETTER.fullmatch(written) or LETTERS.fullmatch(written):
            return pattern
    raise Unusual


def integer(least: Any, most: Any) -> Expression:
    """Whole numbers between two, both included, in decimal digits. None: no bound."""
    if any(type(bound) not in (int, type(None)) or len(str(bound)) > MOST_DIGITS for bound in (least, most)):
        raise Unusual
    positive = NOTHING if most is not None and most < 0 else _between(max(0, least or 0), most)
    if least is not None and least >= 0:
        return positive
    nearest = 0 if (least is None) == (most is None) else 1  # -0, as the engine has it
    return Choice((positive, Row((One("-"), _between(max(nearest, -(most or 0)), None if least is None else -least)))))


def _between(least: int, most: int | None) -> Expression:
    """Whole numbers from 0 on between two."""
    if most is None:
        ten = 10 ** len(str(least))
        longer = Row((One("[1-9]"), Repeat(ANY_DIGIT, len(str(least)), None)))
        return Choice((_between(least, ten - 1), longer))
    if least > most:
        return NOTHING
    if len(str(least)) < len(str(most)):
        ten = 10 ** len(str(least))
        return Choice((_between(least, ten - 1), _between(ten, most)))
    return _digits(str(least), str(most))


def _digits(least: str, most: str) -> Expression:
    """Rows of as many digits, between two in the order of a dictionary."""
    if least == "0" * len(least) and most == "9" * len(most):
        return Repeat(ANY_DIGIT, len(least), len(least))
    first, last, rest = int(least[0]), int(most[0]), len(least) - 1
    if first == last:
        return Row((One(least[0]), _digits(least[1:], most[1:])))
    choices = [Row((One(least[0]), _digits(least[1:], "9" * rest))), Row((One(most[0]), _digits("0" * rest, most[1:])))]
    if last - first > 1:
        choices.append(Row((One(f"[{first + 1}-{last - 1}]"), Repeat(ANY_DIGIT, rest, rest))))
    return Choice(tuple(choices))
