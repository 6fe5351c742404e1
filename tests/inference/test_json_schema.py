"""Schemas as expressions: they allow what llguidance allows, and what comes out is JSON of the schema."""

import json
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.constraints import SCHEMAS
from letterwise.data.vocabulary import Vocabulary
from letterwise.errors import UserError
from letterwise.inference.constraints.constraint import Constraint
from letterwise.inference.constraints.dfa_guide import DFAGuide
from letterwise.inference.constraints.earley_guide import EarleyGuide
from letterwise.inference.constraints.limits import Limits
from letterwise.inference.constraints.llguidance.guide import LLGuidanceGuide
from letterwise.inference.constraints.llguidance.matcher import Tokenizer, library

VOCABULARY = Vocabulary("char", "".join(map(chr, range(1, 128))) + "é€日")
TOKENIZER = Tokenizer(VOCABULARY)

NAMES = st.sampled_from(["a", "b", "aé", "a.b", 'q"\\'])
strings = st.one_of(
    st.just({"type": "string"}),
    st.builds(lambda low, high: {"type": "string", "minLength": low, "maxLength": high}, st.integers(0, 2), st.integers(0, 4)),
    st.sampled_from([r"^[A-Z]{2}[0-9]+$", r"^a(b|\.|\d)?/\w*$", r"^[a-cX,_-]+é$", "^$"]).map(
        lambda p: {"type": "string", "pattern": p}
    ),
)
numbers = st.one_of(
    st.sampled_from([{"type": "integer"}, {"type": "number"}]),
    st.builds(
        lambda low, high: {"type": "integer", "minimum": low, "maximum": high},
        st.integers(-150, 150),
        st.integers(-200, 1200),
    ),
    st.builds(
        lambda key, bound: {"type": "integer", key: bound}, st.sampled_from(["minimum", "maximum"]), st.integers(-1200, 1200)
    ),
)
constants = st.one_of(
    st.lists(st.sampled_from(["x", "xy", 'q"', "é€日", 0, 12, -3, True, None]), min_size=1, max_size=3, unique_by=repr).map(
        lambda v: {"enum": v}
    ),
    st.sampled_from([{"const": "xé"}, {"const": False}, {"type": "string", "enum": ["a", 1]}]),
)
simple = st.one_of(
    strings, numbers, constants, st.sampled_from([{"type": "null"}, {"type": ["boolean", "null"], "title": "t"}])
)


def arrays(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    counts = st.sampled_from(
        [{}, {"minItems": 1}, {"minItems": 2}, {"maxItems": 1}, {"minItems": 1, "maxItems": 3}, {"minItems": 2, "maxItems": 1}]
    )
    return st.builds(lambda items, counts: {"type": "array", "items": items, **counts}, inner, counts)


def objects(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda properties, needed: {"type": "object", "properties": properties, "additionalProperties": False,
                                    "required": [name for name, asked in zip(properties, needed, strict=False) if asked]},
        st.dictionaries(NAMES, inner, max_size=3), st.lists(st.booleans(), min_size=3, max_size=3),
    )  # fmt: skip


schemas = st.recursive(simple, lambda inner: st.one_of(arrays(inner), objects(inner)), max_leaves=4)


@settings(max_examples=120)
@given(schema=schemas, choices=st.lists(st.integers(0, 10**6), min_size=40, max_size=40))
def test_an_expression_allows_what_llguidance_allows(schema: dict[str, Any], choices: list[int]) -> None:
    limits = Limits(num_tokens=200, json_schema=json.dumps(schema))
    try:
        guide = Constraint(VOCABULARY, limits).guide()
    except UserError as error:
        assert "no text of this model's vocabulary" in str(error)  # noqa: PT017
        return
    matcher = TOKENIZER.matcher(library().LLMatcher.grammar_from_json_schema(schema, defaults={"whitespace_flexible": False}))
    assert isinstance(guide, DFAGuide)
    written: list[int] = []
    for choice in choices:
        may = guide.allowed()
        assert may.tolist() == matcher.allowed().tolist(), VOCABULARY.decode(written)
        assert guide.is_accepting() == matcher.is_accepting()
        if not may.any():
            break
        written.append(int(np.flatnonzero(may)[choice % may.sum()]))
        guide.advance(written[-1])
        matcher.advance(written[-1])
    text = VOCABULARY.decode(written + guide.completion())
    jsonschema.validate(json.loads(text), schema)


@pytest.mark.parametrize(
    ("schema", "wrong", "right"),
    [
        ({"type": "object", "properties": {"a": {"type": "string", "minLength": 3, "maxLength": 2}},
          "additionalProperties": False}, '{"', "{}"),
        ({"anyOf": [{"type": "null"}, {"type": "array", "items": {"type": "null"}, "minItems": 3, "maxItems": 2}]},
         "[", "null"),
        ({"type": "array", "items": {"type": "string", "minLength": 2, "maxLength": 1}}, '["', "[]"),
    ],
    ids=str,
)  # fmt: skip
def test_what_nothing_fits_is_not_begun(schema: dict[str, Any], wrong: str, right: str) -> None:
    for text, may in ((wrong, False), (right, True)):
        guide = Constraint(VOCABULARY, Limits(json_schema=json.dumps(schema))).guide()
        assert all(guide.allowed()[id] and guide.advance(int(id)) for id in VOCABULARY.encode(text)) == may


def test_too_short_tells_the_fewest_characters_that_would_do() -> None:
    """An object of 28 characters, which is too long to be looked into, and a string of 50."""
    small = {
        "type": "object",
        "properties": {"a" * 20: {"type": "null"}},
        "required": ["a" * 20],
        "additionalProperties": False,
    }
    schema = json.dumps({"anyOf": [small, {"type": "string", "minLength": 48}]})
    with pytest.raises(UserError, match="takes 29"):
        Constraint(VOCABULARY, Limits(num_tokens=20, json_schema=schema))
    Constraint(VOCABULARY, Limits(num_tokens=29, json_schema=schema))


@pytest.mark.parametrize("longest", [30, 150])
def test_what_refers_to_itself_goes_as_deep_as_there_is_room(longest: int) -> None:
    """Always one level deeper, and when there is no more room, back."""
    guide = Constraint(VOCABULARY, Limits(num_tokens=longest, json_schema=json.dumps(SCHEMAS["tree"]))).guide()
    assert isinstance(guide, DFAGuide)
    deeper, written = '{"value":1,"children":[', ""
    while all(guide.allowed()[id] and guide.advance(int(id)) for id in VOCABULARY.encode(deeper)):
        written += deeper
    text = written + VOCABULARY.decode(guide.completion())
    jsonschema.validate(json.loads(text), SCHEMAS["tree"])
    assert text.count("children") == longest // len(deeper + "]}")


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "format": "hostname"}, {"type": "object", "patternProperties": {"^a": {"type": "null"}}},
        {"allOf": [{"type": "string", "format": "hostname"}, {"maxLength": 3}]},
    ],
    ids=json.dumps,
)  # fmt: skip
def test_other_schemas_are_left_to_llguidance(schema: dict[str, Any]) -> None:
    assert isinstance(Constraint(VOCABULARY, Limits(num_tokens=50, json_schema=json.dumps(schema))).guide(), LLGuidanceGuide)


@pytest.mark.parametrize(
    "schema",
    [{"type": "object"}, {}, {"type": "array"}, {"properties": {"a": {"type": "null"}}, "required": ["b"]}],
    ids=json.dumps,
)
def test_where_any_value_may_come_rules_call_each_other(schema: dict[str, Any]) -> None:
    assert isinstance(Constraint(VOCABULARY, Limits(num_tokens=50, json_schema=json.dumps(schema))).guide(), EarleyGuide)
