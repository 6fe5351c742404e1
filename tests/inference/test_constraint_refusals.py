"""What no constraint can be made of is said in a sentence, and what is deep or long neither crashes nor lasts."""

import json
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from inference.test_constraint_laws import ASCII, JSON

from letterwise.api.constraint_files import with_files
from letterwise.errors import UserError
from letterwise.inference.constraints.cache import constraint_for
from letterwise.inference.constraints.constraint import Constraint
from letterwise.inference.constraints.limits import Limits


@pytest.fixture(autouse=True)
def deep_stack() -> Iterator[None]:
    """With its types checked, which is done the first time, a call takes three frames."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(3 * before)
    yield
    sys.setrecursionlimit(before)


DOUBLING = "start: r0 r0\n" + "".join(f"r{i}: r{i + 1} r{i + 1}\n" for i in range(30)) + 'r{}: "a"\n'


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"regex": "a{1000000}"}, "takes more than 10,000 characters"),
        ({"regex": "((a{100}){100}){100}"}, "takes more than 10,000 characters"),
        ({"regex": "(ab|c){100}" * 90}, "is too large: it makes more than 20,000 states"),
        ({"regex": "(" * 3000 + "a" + ")" * 3000}, "too large"),
        ({"regex": "|".join(map(str, range(5_000)))}, "too large"),
        ({"regex": r"a\bb"}, r"'\\\\b' is a word boundary"),
        ({"regex": "x(?<!y)z"}, r"'\(\?<!y\)' is look-around"),
        ({"regex": r"(a)\1"}, "is a back-reference"),
        ({"regex": "a{2,1}"}, r"'\{2,1\}' ends before it begins"),
        ({"regex": "a++a"}, r"'\+\+' is a possessive quantifier"),
        ({"regex": r"\++[+]+a{1,3}+"}, r"'\{1,3\}\+' is a possessive quantifier"),
        ({"regex": "a{ 2 }"}, r"'\{ 2 \}' is a repetition with spaces in it"),
        ({"regex": "(?x)a{2 ,3}"}, r"'\{2 ,3\}' is a repetition with spaces in it"),
        ({"regex": "x(?R)"}, r"'\(\?R\)' is a recursive call"),
        ({"regex": "a\\"}, "ends in the middle of an escape"),
        ({"regex": "a$b"}, r"\^ and \$ stand at the ends of a text"),
        ({"regex": "a(?x) b"}, r"put \(\?x\) at the very beginning"),
        ({"regex": "(?x)[a b]"}, "is unclear"),
        ({"json_schema": '{"type":' * 3000}, "is no JSON schema"),
        ({"json_schema": '{"items":' * 300 + "{}" + "}" * 300}, "more than 200 deep"),
        ({"json_schema": '{"items":' * 150 + "{}" + "}" * 150}, "nested too deeply"),
        ({"json_schema": '{"pattern": 5}'}, "'pattern' is 5, and must be a text"),
        ({"json_schema": '{"items": {"minLength": -1}}'}, "'minLength' is -1, and must be a whole number of 0 or more"),
        ({"json_schema": '{"type": "number", "multipleOf": 0}'}, "must be a number above 0"),
        ({"json_schema": '{"$ref": "#/held/a", "held": {"a": {"pattern": 5}}}'}, "'pattern' is 5"),
        ({"json_schema": "[1]"}, r"\[1\] is no schema: it must be an object"),
        ({"json_schema": "false"}, "no text of this model's vocabulary"),
        ({"json_schema": '{"$ref": "#/$defs/a"}'}, r"'\$ref' leads to '#/\$defs/a', which is not there"),
        ({"json_schema": '{"type": "string", "format": "phone"}'}, "format 'phone' is not known: say it with 'pattern'"),
        ({"json_schema": '{"type": "string", "pattern": "a{1000}"}'}, "num_tokens=400 is too short: .* takes 1002"),
        ({"json_schema": '{"const": NaN}'}, "NaN is no JSON"),
        ({"json_schema": '{"const": [-1e400]}'}, "-1e400 is larger than the numbers"),
        ({"json_schema": '{"enum": [1, 1e999]}'}, "1e999 is larger than the numbers"),
        ({"json_schema": os.devnull}, "there is nothing in '/dev/null'"),
        ({"grammar": os.devnull}, "there is nothing in '/dev/null'"),
        ({"json_schema": '{"oneOf": [{"type": "string"}, {"const": "a"}]}'}, "'oneOf' is not supported .* write 'anyOf'"),
        ({"json_schema": '{"properties": {"a": {"not": {}}}}'}, "'not' is not supported"),
        ({"json_schema": '{"type": "object", "minProperties": 2}'}, "where names are free"),
        ({"json_schema": '{"type": "object", "patternProperties": {"^[^a]": {}}}'}, "the name pattern .* JSON escapes"),
        (
            {"json_schema": '{"type": "number", "minimum": -1e300}'},
            "write bounds of 60 digits at most, or leave such a bound out",
        ),
        ({"json_schema": '{"type": "object", "patternProperties": {"^a": {}, "b$": {}}}'}, "or write one for both"),
        ({"json_schema": json.dumps({"pattern": "(?=a)b"})}, r"pattern: '\(\?=a\)' is look-around"),
        ({"json_schema": json.dumps({"type": "string", "pattern": "[[a]"})}, "has a part that is not supported"),
        ({"grammar": "some/where:else/rules.lark"}, "neither a grammar nor a file"),
        ({"grammar": "start: /a++a/"}, r"'\+\+' is a possessive quantifier"),
        ({"grammar": 'start: %json {"type": "string"}'}, "'%json' is not Lark's"),
        ({"grammar": 'root ::= "a"'}, "is GBNF's: Lark's syntax is wanted"),
        ({"grammar": 'start: a{"x"}\na{y}: y\n'}, r"line 2, character \d: templates are not read"),
        ({"grammar": 'start: "a" b'}, "there is no rule 'b'"),
        ({"grammar": "start: 'a'"}, 'texts are in "double quotes"'),
        ({"grammar": DOUBLING.format(30)}, "no text of this model's vocabulary, of at most 10,000 characters"),
        ({"grammar": 'start: "a"~20000'}, "no text of at most 10,000|no text of this model's vocabulary"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_had_is_said_in_a_sentence(asked: dict[str, str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence) as refused:
        constraint_for(ASCII, with_files(Limits(num_tokens=400, **asked)))
    for word in ("coerce", "WordUnicode", "lookaround", "NoExtension", "not supported yet", "lexer", "Unsatisfiable"):
        assert word not in str(refused.value)


@pytest.mark.parametrize("depth", [20, 100])
@pytest.mark.parametrize("counts", [{"minItems": 1}, {"minItems": 1, "maxItems": 1}], ids=str)
def test_arrays_in_arrays_take_no_longer_than_they_are_deep(depth: int, counts: dict[str, int]) -> None:
    """Each stands in two places of the expression of the array around it."""
    schema: dict[str, Any] = {"type": "null"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema, **counts}
    guide = constraint_for(JSON, Limits(num_tokens=2 * depth + 4, json_schema=json.dumps(schema))).guide()
    assert JSON.decode(guide.completion()) == "[" * depth + "null" + "]" * depth


@pytest.mark.parametrize("length", [50, 3_000, 40_000])
def test_a_long_chain_of_rules_does_not_crash(length: int) -> None:
    """A stack that overflows ends the process, and no test could say so: 3,000 rules did."""
    rules = "".join(f"r{i}: r{i + 1}\n" for i in range(length))
    schema = {f"r{i}": {"$ref": f"#/$defs/r{i + 1}"} for i in range(length)} | {f"r{length}": {"const": 1}}
    for asked, text in (
        ({"grammar": f'start: r0\n{rules}r{length}: "x"\n'}, "x"),
        ({"json_schema": json.dumps({"$ref": "#/$defs/r0", "$defs": schema})}, "1"),
    ):
        if length == 40_000:
            with pytest.raises(UserError, match="200,000 are the most"):
                Constraint(JSON, Limits(num_tokens=3, **asked))
        else:
            guide = Constraint(JSON, Limits(num_tokens=3, **asked)).guide()
            assert JSON.decode(guide.completion()) == text


@pytest.mark.parametrize("name", ["json_schema", "grammar"])
def test_an_empty_name_is_not_a_folder(name: str) -> None:
    """From `--grammar "$UNSET"`: Path("") is the current folder."""
    with pytest.raises(UserError, match=f"--{name} is empty"):
        constraint_for(ASCII, with_files(Limits(num_tokens=5, **{name: ""})))
