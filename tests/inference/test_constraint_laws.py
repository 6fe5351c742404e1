"""The law of constraints, on worlds small enough to list: each text that matches has a chance, and no other.

The judges are others': Python's `re`, `jsonschema`, and for grammars the smallest sets of texts that their rules agree with.
"""

import datetime
import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from letterwise.api.constraint_files import with_files
from letterwise.data.vocabulary import Vocabulary
from letterwise.errors import UserError
from letterwise.inference.constraints.cache import constraint_for
from letterwise.inference.constraints.constraint import Constraint
from letterwise.inference.constraints.earley_guide import EarleyGuide
from letterwise.inference.constraints.guide import Guide
from letterwise.inference.constraints.language import nfa
from letterwise.inference.constraints.limits import Limits

JSON = Vocabulary("char", '"\\[]{}:,.-+01239abcdefilnrstuxy')
ASCII = Vocabulary("char", "".join(map(chr, range(1, 128))) + "é€\u2028")
MANY = Vocabulary("char", "".join(c for c in map(chr, range(32, 0xD000)) if c.isprintable())[:20_000])


def writable(guide: Guide, vocabulary: Vocabulary, left: int, ids: tuple[int, ...] = ()) -> Iterator[str]:
    """Every text that a guide can be led through to an end."""
    if guide.is_accepting():
        yield vocabulary.decode(ids)
    if left:
        for id in np.flatnonzero(guide.allowed()):
            twin = guide.fork()
            assert twin.advance(int(id))
            yield from writable(twin, vocabulary, left - 1, (*ids, int(id)))


def drawn(guide: Guide, vocabulary: Vocabulary, seed: int, longest: int) -> str:
    """A text by a model that knows nothing: it goes on for a while, and then the shortest way."""
    generator, ids = np.random.default_rng(seed), []
    for _ in range(int(generator.integers(0, longest))):
        may = np.flatnonzero(guide.allowed())
        if not len(may):
            break
        ids.append(int(generator.choice(may)))
        assert guide.advance(ids[-1])
    return vocabulary.decode([*ids, *guide.completion()])


# Grammars. A rule is a choice of rows of items; an item is a letter or a rule, perhaps with a sign behind.

ITEMS = st.tuples(st.sampled_from(["a", "b", "start", "one", "two"]), st.sampled_from(["", "", "", "?", "*", "+"]))
ROWS = st.lists(st.lists(ITEMS, max_size=3), min_size=1, max_size=3)
GRAMMARS = st.fixed_dictionaries({"start": ROWS, "one": ROWS, "two": ROWS})


def language(rules: dict[str, list[list[tuple[str, str]]]], longest: int) -> set[str]:
    """All texts of a grammar that are no longer than that: sets grow until the rules agree."""
    texts: dict[str, set[str]] = {name: set() for name in rules}

    def joined(*parts: set[str]) -> set[str]:
        found = {""}
        for part in parts:
            found = {text for one, other in itertools.product(found, part) if len(text := one + other) <= longest}
        return found

    def of_item(name: str, sign: str) -> set[str]:
        once = texts.get(name, {name})
        several = {"", *once} if sign in ("*", "?") else set(once)
        while sign in ("*", "+") and len(more := several | joined(several, once)) > len(several):
            several = more
        return several

    while True:
        grown = {
            name: texts[name] | set().union(*(joined(*(of_item(*item) for item in row)) for row in rows))
            for name, rows in rules.items()
        }
        if grown == texts:
            return texts["start"]
        texts = grown


@settings(max_examples=40)
@example(rules={"start": [[("one", "+")]], "one": [[]], "two": [[]]}, longest=0, more={})
@given(rules=GRAMMARS, longest=st.integers(0, 4), more=st.sampled_from([{}, {"must_contain": ("ba",)}, {"exclude": "b"}]))
def test_a_grammar_writes_each_of_its_sentences_and_no_other(rules: dict, longest: int, more: dict) -> None:
    """Rules that are empty, that begin or end with themselves, or never end: all the same."""

    def spelled(item: tuple[str, str]) -> str:
        return (item[0] if item[0] in rules else f'"{item[0]}"') + item[1]

    text = "".join(
        f"{n}: {' | '.join(' '.join(map(spelled, row)) or chr(34) * 2 for row in rows)}\n" for n, rows in rules.items()
    )
    expected = {
        sentence
        for sentence in language(rules, longest)
        if all(part in sentence for part in more.get("must_contain", ())) and not set(sentence) & set(more.get("exclude", ""))
    }
    vocabulary = Vocabulary("char", "ab\n")
    try:
        constraint = Constraint(vocabulary, Limits(num_tokens=longest, grammar=text, **more))
    except UserError:
        assert expected == set(), text
        return
    assert constraint.dfa or constraint.rtn
    assert set(writable(constraint.guide(), vocabulary, longest)) == expected, text


# Schemas, and all small values there are.

STRINGS = ["", "a", "b", "1", "aa", "ab", '"', "\\", "a\\", '"b', "aab", "\n"]
NUMBERS = ["0", "1", "2", "3", "9", "-1", "-2", "10", "0.1", "1.2", "-0.3", "9.9", "20", "0.10", "0.29", "1.03"]
SCALARS = [*(json.dumps(text) for text in STRINGS), *NUMBERS, "true", "false", "null"]
PAIRS = [f'{{"{name}":{value}}}' for name in ("a", "b", "ab") for value in ("0", '"a"', "[]")]
VALUES = [
    *SCALARS, "[]", "{}", *(f"[{a}]" for a in SCALARS[::3]),
    *(f"[{a},{b}]" for a, b in itertools.product(SCALARS[-4:], repeat=2)),
    *PAIRS, *(f"{a[:-1]},{b[1:]}" for a, b in itertools.combinations(PAIRS, 2) if a[2:4] != b[2:4]), "[[]]", '[{"a":[1]}]',
]  # fmt: skip
PATTERNS = [
    "a",
    "^a",
    "b$",
    "^(a|b)+$",
    '^[^"]*$',
    r"^[^\\]*$",
    "^[^ -~]*$",
    "a|1",
    r"\d",
    r"^\W$",
    r"\\",
    "^.$",
    r"^\S{2}$",
    r'"',
]
bound = st.sampled_from([-2, -1, 0, 1, 3, 10, 0.1, 0.29, -0.3, 1.2, 1.25])
leaves = st.one_of(
    st.sampled_from([{}, True, {"type": "string"}, {"type": "number"}, {"type": "integer"}, {"type": ["null", "boolean"]}]),
    st.sampled_from([{"const": '"b'}, {"enum": [1, 1.2, "a", [1], {"a": 0}, None]}, {"type": "integer", "enum": [2.0, "a"]}]),
    st.builds(lambda p: {"type": "string", "pattern": p}, st.sampled_from(PATTERNS)),
    st.builds(lambda low, high: {"type": "string", "minLength": low, "maxLength": high}, st.integers(0, 2), st.integers(0, 3)),
    st.builds(
        lambda p, low, high: {"type": "string", "pattern": p, "minLength": low, "maxLength": high},
        st.sampled_from(PATTERNS), st.integers(0, 2), st.integers(0, 3),
    ),
    st.builds(
        lambda kind, of, low: {"type": kind, "multipleOf": of, **low}, st.sampled_from(["integer", "number"]),
        st.sampled_from([0.25, 0.5, 1, 1.5, 2, 3, 7, 10, 999983]),  # a judge that divides floats is right about these
        st.one_of(st.just({}), st.builds(lambda key, value: {key: value}, st.sampled_from(["minimum", "maximum"]), bound)),
    ),
    st.builds(
        lambda kind, low, high, bounds: {"type": kind, bounds[0]: low, bounds[1]: high}, st.sampled_from(["integer", "number"]),
        bound, bound, st.sampled_from([("minimum", "maximum"), ("exclusiveMinimum", "exclusiveMaximum"), ("minimum",) * 2]),
    ),
)  # fmt: skip
SCHEMAS = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(lambda items, least: {"type": "array", "items": items, "minItems": least}, inner, st.integers(0, 2)),
        st.builds(
            lambda a, b, required, more: {"type": "object", "properties": {"a": a, "b": b}, "required": required, **more},
            inner, inner, st.sampled_from([[], ["a"], ["a", "b"], ["ab"]]),
            st.one_of(st.just({}), st.builds(lambda value: {"additionalProperties": value}, st.one_of(st.just(False), inner))),
        ),
        st.builds(
            lambda a, b, required, least, most, more: {
                "type": "object", "properties": {"a": a, "b": b}, "required": required, "maxProperties": most,
                **(more or least),
            },
            inner, inner, st.sampled_from([[], ["b"]]), st.sampled_from([{}, {"minProperties": 1}, {"minProperties": 2}]),
            st.integers(0, 2), st.sampled_from([{}, {"additionalProperties": True}]),
        ).map(lambda schema: {"additionalProperties": False, **schema}),
        st.builds(
            lambda a, b, items, least, most: {
                "type": "array", "prefixItems": [a, b], "items": items, "minItems": least, **most,
            },
            inner, inner, inner, st.integers(0, 2), st.sampled_from([{}, {"maxItems": 0}, {"maxItems": 1}, {"maxItems": 2}]),
        ),
        st.builds(lambda a, b: {"anyOf": [a, b]}, inner, inner),
        st.builds(lambda a, b: {"allOf": [a, b]}, inner, inner),
    ),
    max_leaves=3,
)  # fmt: skip


def lets(guide: Guide, text: str) -> bool:
    """Can a guide be led along a text, up to its end?"""
    return all(guide.allowed()[id] and guide.advance(int(id)) for id in JSON.encode(text)) and guide.is_accepting()


@settings(max_examples=40)
@given(schema=SCHEMAS)
def test_a_schema_lets_each_value_through_that_fits_and_no_other(schema: Any) -> None:
    """Values as JSON is written here (docs/constraints.md): names in the schema's order, no spaces, integers without a
    fraction. The judge is jsonschema, whose numbers are floats: none of these is near enough to a bound to matter."""
    judge, document = jsonschema.Draft202012Validator(schema), json.dumps({"allOf": [schema]})
    fitting = {text for text in VALUES if judge.is_valid(json.loads(text))}
    longest = max(map(len, VALUES))
    try:
        constraint = constraint_for(JSON, Limits(num_tokens=longest, json_schema=document))
    except UserError:
        assert not fitting
        return
    let_through = {text for text in VALUES if lets(constraint.guide(), text)}
    constants = re.search('"(enum|const)"', document) is not None  # written in one way only: 2.0, and not 2
    searched = not constraint.dfa and not constraint.rtn  # by llguidance, which may miss what is there
    assert let_through <= fitting if constants or searched else let_through == fitting
    for seed in range(5):
        text = drawn(constraint.guide(), JSON, seed, longest)
        if "Infinity" not in json.dumps(value := json.loads(text)):  # 1E999, where any value may come: no judge can hold it
            assert judge.is_valid(value), text
        assert len(text) <= longest


CASES: list[dict[str, Any]] = [
    *({"type": "string", "pattern": pattern} for pattern in (
        "python", "^.{5}$", r"^\S+@\S+\.\S+$", "cat|dog", '^[^"]*$', r"^[^\\]*$", "^[^ -~]*$",
    )),
    {"type": "object", "properties": {k: {"type": "string", "minLength": 3} for k in "abc"}, "required": [*"abc"]},
    {"type": "object", "properties": {"s": {"type": "string", "minLength": 10}, "n": {"type": "number", "minimum": 0}},
     "required": ["s", "n"]},
    {"type": "object", "properties": {f"k{i}": {"type": "number"} for i in range(20)},
     "required": [f"k{i}" for i in range(20)]},
    {"type": "string", "format": "date-time"}, {"type": "string", "format": "time"}, {"enum": [1e100, 1e-7]}, {},
    {"type": "string", "pattern": "abc", "minLength": 10},
    {"type": "string", "pattern": "^a", "minLength": 10, "maxLength": 12},
    {"allOf": [{"type": "string", "minLength": 5}, {"maxLength": 6}]}, {"type": "integer", "multipleOf": 999983, "minimum": 1},
    {"type": "number", "multipleOf": 0.01, "minimum": 0.005, "maximum": 0.015},
    {"allOf": [{"type": "string", "pattern": "^a"}, {"pattern": "b$"}, {"pattern": "^.{4}$"}]},
    {"allOf": [{"$ref": "#/$defs/n"}, {"properties": {"b": {"type": "null"}}, "required": ["b"]}],
     "$defs": {"n": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}}},
    {"type": "object", "properties": {k: {"type": "integer"} for k in "abc"}, "additionalProperties": False,
     "minProperties": 2, "maxProperties": 2},
    {"oneOf": [{"type": "object", "properties": {"kind": {"const": kind}}, "required": ["kind"]} for kind in ("cat", "dog")]},
    {"type": "integer", "minimum": 10**40},
    {"type": "string", "pattern": r"^\W\s\D\S\w\d$"}, {"type": "string", "pattern": r"^[^\W\d]\.[\w.-]+[^\s]$"},
]  # fmt: skip


@pytest.mark.parametrize("vocabulary", [ASCII, MANY], ids=["ascii", "20,000 characters"])
@pytest.mark.parametrize("schema", CASES, ids=json.dumps)
def test_what_can_be_had_is_served(schema: dict[str, Any], vocabulary: Vocabulary) -> None:
    constraint = constraint_for(vocabulary, Limits(num_tokens=400, json_schema=json.dumps(schema)))
    judge = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
    for seed in range(6):
        text = drawn(constraint.guide(), vocabulary, seed, 60)
        assert judge.is_valid(json.loads(text)), text
        if "time" in schema.get("format", ""):
            (datetime.time if schema["format"] == "time" else datetime.datetime).fromisoformat(json.loads(text))


def test_what_only_llguidance_knows_is_served(monkeypatch) -> None:
    """llguidance takes \\" for two characters, so its patterns get none of them."""
    schema = {"allOf": [{"type": "string", "pattern": "^[^a]*$"}, {"type": "string", "minLength": 3}]}
    judge = jsonschema.Draft202012Validator(schema)
    constraint = constraint_for(ASCII, Limits(num_tokens=40, json_schema=json.dumps(schema)))
    for seed in range(6):
        assert judge.is_valid(json.loads(drawn(constraint.guide(), ASCII, seed, 30)))


@pytest.mark.parametrize("vocabulary", [ASCII, MANY], ids=["ascii", "20,000 characters"])
@pytest.mark.parametrize(
    ("grammar", "regex"),
    [
        (r'start: /(.|\n)*/ "END"', r"(?s:.*)END"), ('start: "a" start | /[^x]+q/ "7".."9"', "a*[^x]+q[7-9]"),
        ('%import common.INT\nstart: sum // left-recursive\nsum: sum "+" INT | INT', r"\d+(\+\d+)*"),
        ('start: W ("," W)*\nW: /[ab]/ "c"\n%ignore " "\n%ignore /\\n/\n', r"[ \n]*[ab]c[ \n]*(,[ \n]*[ab]c[ \n]*)*"),
        ('start: word ("," word)~1..2\nword: "Ab"i -> name\n | W\nW: /[a-z]/', r"([aA][bB]|[a-z])(,([aA][bB]|[a-z])){1,2}"),
    ],
)  # fmt: skip
def test_grammars_that_can_be_had_are_served(grammar: str, regex: str, vocabulary: Vocabulary) -> None:
    constraint = constraint_for(vocabulary, Limits(num_tokens=400, grammar=grammar))
    for seed in range(6):
        assert re.fullmatch(regex, text := drawn(constraint.guide(), vocabulary, seed, 60)), text


@pytest.mark.parametrize(
    ("regex", "plain"),
    [("(?x) c # x\n at", "cat"), ("(?ix)[ab]\\ \\# # [\n c", r"(?i)[ab] #c"), ("(a|b)*a(a|b){16}", None), ("^a|b$", "a|b")],
)
def test_regexes_mean_what_python_means(regex: str, plain: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nfa, "BUDGET", nfa.BUDGET >> 5)  # with its types checked, the code is slow
    constraint = constraint_for(ASCII, Limits(num_tokens=40, regex=regex))
    for seed in range(6):
        assert re.fullmatch(plain or regex, drawn(constraint.guide(), ASCII, seed, 30))


def test_what_is_nested_knows_its_end() -> None:
    """Brackets as deep as there is room for, one at a time."""
    guide = Constraint(ASCII, Limits(num_tokens=9, grammar='start: "(" start ")" | "x"\n')).guide()
    assert isinstance(guide, EarleyGuide)
    depth = 0
    while guide.allowed()[ASCII.encode("(")[0]]:
        guide.advance(int(ASCII.encode("(")[0]))
        depth += 1
    assert (depth, ASCII.decode(guide.completion())) == (4, "x))))")


def test_drafts_before_this_one_are_read() -> None:
    for schema, texts in (
        ({"type": "integer", "minimum": 1, "exclusiveMinimum": True, "maximum": 3}, {"2", "3"}),
        ({"items": [{"const": 1}], "additionalItems": False, "type": "array", "minItems": 1.0}, {"[1]"}),
        ({"const": 3, "x-strict": True, "nullable": False}, {"3"}),
        (True, {"0", "1", "2", "3"}),
    ):
        guide = constraint_for(Vocabulary("char", "0123[]"), Limits(num_tokens=3, json_schema=json.dumps(schema))).guide()
        assert set(writable(guide, Vocabulary("char", "0123[]"), 3 if schema is not True else 1)) == texts


def test_hundreds_of_properties_are_served() -> None:
    schema = {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(500)}, "required": ["p499"]}
    constraint = Constraint(ASCII, Limits(num_tokens=400, json_schema=json.dumps(schema)))
    judge = jsonschema.Draft202012Validator(schema)
    for seed in range(2):
        assert judge.is_valid(json.loads(text := drawn(constraint.guide(), ASCII, seed, 20))), text


def test_one_of_is_served_where_no_value_fits_two() -> None:
    guide = constraint_for(JSON, Limits(json_schema='{"oneOf": [{"type": "null"}, {"enum": [1, 2]}]}')).guide()
    assert set(writable(guide, JSON, 4)) == {"null", "1", "2"}


def test_a_path_may_hold_a_colon(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, flag, held in (("run:1", "grammar", 'start: "x"'), ("{:}", "json_schema", '{"const": 1}')):
        (tmp_path / name).write_text(held)
        texts = set(writable(constraint_for(JSON, with_files(Limits(**{flag: name}))).guide(), JSON, 3))
        assert texts == ({"x"} if flag == "grammar" else {"1"})
