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
    Automaton,
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
from letterwise.inference.constraints.language.schema.keywords import MEANINGFUL
from letterwise.inference.constraints.language.schema.merge import COMBINING, are_exclusive, merged, patterns_of, resolved
from letterwise.inference.constraints.language.schema.numbers import (
    EXPONENT,
    FRACTION,
    INTEGER_PART,
    MINUS,
    Bound,
    integer,
    multiple,
    number,
)
from letterwise.inference.constraints.language.schema.patterns import content_of

READ = {  # keywords that are read here, beside those that combine schemas; each is about values of one type
    "type", "minLength", "maxLength", "pattern", "items", "prefixItems", "minItems", "maxItems", "properties", "required",
    "additionalProperties", "minProperties", "maxProperties", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
    "multipleOf",
}  # fmt: skip
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
        match [*keywords]:
            case []:
                return self._any_value()
            case ["$ref"]:
                return self._reference(keywords["$ref"], max_chars, depth)
            case ["anyOf"]:
                return Choice(tuple(self.value(each, max_chars, depth + 1) for each in keywords["anyOf"]))
            case ["oneOf"] if are_exclusive(keywords["oneOf"], self.root):
                return Choice(tuple(self.value(each, max_chars, depth + 1) for each in keywords["oneOf"]))
        only_constants = keywords.keys() <= {"const", "enum", "type"}
        if not keywords.keys() & COMBINING and (only_constants or not keywords.keys() & {"const", "enum"}):
            return self._merged_value(keywords, max_chars, depth)
        return Choice(tuple(self._merged_value(case, max_chars, depth) for case in merged(keywords, self.root)))

    def _merged_value(self, keywords: Mapping[str, Any], max_chars: int, depth: int) -> Expression:
        """The values of a schema that neither refers to others nor combines them."""
        if not keywords:
            return self._any_value()
        if "const" in keywords or "enum" in keywords:
            return _constants([keywords["const"]] if "const" in keywords else keywords["enum"], keywords.get("type"))
        if unread := keywords.keys() - READ:
            raise Unsupported(", ".join(unread))
        types = keywords.get("type", ALL_TYPES)
        types = [types] if isinstance(types, str) else types
        return Choice(tuple(self._of_type(type_, keywords, max_chars, depth) for type_ in types))

    def _any_value(self) -> Expression:
        """Any JSON: a rule that calls itself, where rules may."""
        if not self.with_rules:
            raise Unsupported
        return RuleRef(ANY_VALUE)

    def _reference(self, pointer: str, max_chars: int, depth: int) -> Expression:
        """What a `$ref` points to: a rule, or unrolled."""
        if not self.with_rules:
            return self.value(resolved(pointer, self.root), max_chars, depth + 1)
        if pointer not in self.rules:
            self.rules[pointer] = NOTHING  # it may lead to itself
            self.rules[pointer] = self.value(resolved(pointer, self.root), UNLIMITED, 0)
        return RuleRef(pointer)

    def _shared(self, value: Expression) -> Expression:
        """A value that stands in several places: a rule, or each array around it would double it."""
        if not self.with_rules or size(value) <= MAX_REPEATED:
            return value
        name = f"value {len(self.rules)}"
        self.rules[name] = value
        return RuleRef(name)

    def _of_type(self, type_: str, keywords: Mapping[str, Any], max_chars: int, depth: int) -> Expression:
        """Values of one type."""
        step = Decimal(str(keywords["multipleOf"])) if "multipleOf" in keywords else None
        match type_:
            case "null":
                return literal("null")
            case "boolean":
                return Choice((literal("true"), literal("false")))
            case "integer":
                return multiple(step, True, *bounds(keywords)) if step else integer(*bounds(keywords))
            case "number":
                return multiple(step, False, *bounds(keywords)) if step else number(*bounds(keywords))
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
        """Arrays: `prefixItems`, then `items`, as many as may be."""
        minimum, maximum, prefix = keywords.get("minItems", 0), keywords.get("maxItems"), keywords.get("prefixItems", [])
        if maximum is not None and maximum < minimum:
            return NOTHING
        more = maximum is None or maximum > len(prefix)  # than the prefix
        item = self.value(keywords.get("items", True), max_chars - 2, depth + 1) if more else NOTHING
        if not prefix and minimum <= 1 and maximum in (None, 1):
            items: Expression = item if maximum else Separated(item, CharClass(","))
            return Concat((CharClass("["), items if minimum else Repeat(items, 0, 1), CharClass("]")))
        first = [self.value(each, max_chars - 2, depth + 1) for each in prefix[:maximum]]
        if not prefix and maximum != 0:
            item = self._shared(item)
            first = [item]
        rest = None if maximum is None else maximum - len(first)
        items = Repeat(Concat((CharClass(","), item)), max(0, minimum - len(first)), rest)
        for place, value in reversed([*enumerate(first)]):
            items = Concat((CharClass(","), value, items) if place else (value, items))
            items = items if place < minimum else Repeat(items, 0, 1)
        return Concat((CharClass("["), items, CharClass("]")))

    def _object(self, keywords: Mapping[str, Any], max_chars: int, depth: int) -> Expression:
        """Objects: members in the order of `properties`, then those that are required besides, then any other."""
        additional = keywords.get("additionalProperties", True)
        required = dict.fromkeys(keywords.get("required", []))
        properties = {**dict.fromkeys(required, additional), **keywords.get("properties", {})}
        properties = {name: properties[name] for name in {**keywords.get("properties", {}), **required}}
        minimum, maximum = keywords.get("minProperties", 0), keywords.get("maxProperties")
        if minimum > len(required) and additional is not False:  # names that are free may be equal: they do not count
            if minimum > len(properties):
                raise Unsupported("minProperties")
            additional = False
        keys = {name: _quoted(name) + ":" for name in properties}
        shortest = {name: len(keys[name]) + 2 for name in required}  # with a value of one character, and a comma
        max_chars -= 1 + sum(shortest.values())  # two braces, but the first member has no comma
        members: list[tuple[Expression, bool]] = []
        for name, schema in properties.items():
            value = self.value(schema, max_chars + shortest.get(name, 1) - len(keys[name]) - 1, depth + 1)
            members.append((Concat((literal(keys[name]), value)), name in required))
        other = None
        if additional is not False:
            value = self.value(additional, max_chars - 3, depth + 1)
            other = Concat((_any_key_but([*properties]), CharClass(":"), value))
        if minimum > len(required) or (maximum is not None and (other or maximum < len(members))):
            return Concat((CharClass("{"), self._counted(members, other, minimum, maximum), CharClass("}")))
        if other:
            members.append((Separated(other, CharClass(",")), False))
        return Concat((CharClass("{"), Members(tuple(members), CharClass(",")), CharClass("}")))

    def _counted(
        self, members: list[tuple[Expression, bool]], other: Expression | None, minimum: int, maximum: int | None
    ) -> Automaton:
        """Members in this order, and others behind them, so many in all: a state knows how many are written."""
        members = [(self._shared(member), required) for member, required in members]
        other = other and self._shared(other)
        top = minimum if maximum is None else maximum  # without a maximum, more than the minimum is the same as the minimum

        def with_one_more(member: Expression, place: int, count: int) -> list[tuple[Expression, int]]:
            if count == maximum:
                return []
            return [(Concat((CharClass(","), member)) if count else member, place * (top + 1) + min(count + 1, top))]

        transitions: list[tuple[tuple[Expression, int], ...]] = []
        for place, (member, required) in enumerate(members):
            for count in range(top + 1):
                without = [] if required else [(EMPTY, (place + 1) * (top + 1) + count)]
                transitions.append((*without, *with_one_more(member, place + 1, count)))
        for count in range(top + 1):
            transitions.append(tuple(with_one_more(other, len(members), count) if other else []))
        return Automaton(tuple(transitions), frozenset(len(members) * (top + 1) + n for n in range(minimum, top + 1)))


def bounds(keywords: Mapping[str, Any]) -> tuple[Bound | None, Bound | None]:
    """The larger lower bound and the smaller upper one: each a number, and whether it is excluded itself."""
    low = [
        (Decimal(str(keywords[key])), key == "exclusiveMinimum") for key in ("minimum", "exclusiveMinimum") if key in keywords
    ]
    high = [
        (Decimal(str(keywords[key])), key == "exclusiveMaximum") for key in ("maximum", "exclusiveMaximum") if key in keywords
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
    if maximum is not None and maximum < minimum:
        return NOTHING
    if "pattern" not in keywords:
        return Repeat(CHARACTER, minimum, maximum)
    return content_of(patterns_of(keywords["pattern"]), minimum, maximum)


def _any_key_but(keys: list[str]) -> Expression:
    """A string, quotes included, that is none of some keys, which hold nothing that JSON escapes."""
    if any(_quoted(key) != f'"{key}"' for key in keys):
        raise Unsupported
    return Concat((CharClass('"'), _other_than(keys), CharClass('"')))


def _other_than(texts: list[str]) -> Automaton:
    """Characters of a string that do not spell one of some texts: a trie of them, which one can leave at each state."""
    numbers: dict[str, int] = {"": 0}
    for text in texts:
        for length in range(1, len(text) + 1):
            numbers.setdefault(text[:length], len(numbers))
    away, escape = len(numbers), len(numbers) + 1  # whatever follows; behind a backslash
    children: list[list[str]] = [[] for _ in numbers]
    for text in numbers:
        if text:
            children[numbers[text[:-1]]].append(text)
    transitions: list[tuple[tuple[Expression, int], ...]] = []
    for longer in children:
        kept = "".join(f"\\x{{{ord(text[-1]):x}}}" for text in sorted(longer))
        moves = [(literal(text[-1]).parts[0], numbers[text]) for text in longer]
        transitions.append((*moves, (CharClass(rf'[^"\\\x00-\x1f\x7f{kept}]'), away), (CharClass("\\\\"), escape)))
    transitions += [((UNESCAPED, away), (CharClass("\\\\"), escape)), ((ESCAPE, away),)]
    return Automaton(tuple(transitions), frozenset({*numbers.values(), away} - {numbers[text] for text in texts}))
