r"""Requests: what was asked of a text, read from where it stands, and refused in a sentence where it cannot be kept.

    Limits as they were typed ──▶ files read, (?x) written out, patterns of a schema made safe ──▶ Limits for `Constraint`

The engine of matching.py would refuse in its own words, and takes some of what it cannot keep (docs/constraints.md). So that is
looked for here: what refers to characters that come before or after, and keywords of a schema that are about the whole.
"""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from letterwise.data.vocabulary import SHOWN
from letterwise.errors import UserError
from letterwise.inference.constraints.language import lark
from letterwise.inference.constraints.language.json_schema import apart
from letterwise.inference.constraints.language.patterns import has_escaped, plain_pattern
from letterwise.inference.constraints.language.regex import Unusual, class_end
from letterwise.inference.constraints.language.schema_check import COUNT, KEYWORDS, checked
from letterwise.inference.constraints.limits import Limits
from letterwise.text_encoding import decoded, read_whole

BEGINS_A_GRAMMAR = re.compile(r"\s*(?://[^\n]*\s*)*(?:%|[!?]?_*[A-Za-z]\w*(?:\.\d+)?\s*:)")
BOUNDS = re.compile(r"\{(\d+),(\d+)\}")
GBNF = re.compile(r"^\s*[\w-]+\s*::=", re.MULTILINE)
NOT_LARK = re.compile(r"%(?:json|lark|regex)\b|@\w+|<[^<>\s]*>")
BEGINS_A_SCHEMA = re.compile(r"\s*(?:[{\[\"\d]|(?:true|false|null)\s*$)")
VERBOSE = re.compile(r"\(\?([is]*x[isx]*)\)")
NOT_KEPT = [  # what a regex may hold that depends on its surroundings, and what to write instead
    (re.compile(r"\(\?<?[=!]"), "looks ahead or behind", "write what may stand there, or use --must_contain or --exclude"),
    (re.compile(r"\\[bB]"), "is about the edge of a word", r"write the characters that may stand there, as (^| ) or [^\w]"),
    (re.compile(r"\\[AzZG]"), "is an anchor", "leave it out: the whole text matches"),
    (re.compile(r"\\[1-9]|\(\?P=\w+\)|\\k<\w+>"), "repeats what was matched before", "write the choices out, or use --grammar"),
    (re.compile(r"\(\?>|\(\?\("), "is a kind of group that is not known", "use (?:…)"),
    (re.compile(r"\(\?(?:R|[0-9]+|&\w+|P>\w+)\)"), "calls the regex again", "use --grammar, whose rules can do that"),
    (re.compile(r"(?:[*+?]|\{\d+(?:,\d*)?\})\+"), "takes all it can, and gives nothing back", "leave out the second +"),
    (re.compile(r"\\\Z"), "ends in the middle of an escape", r"write \\ for a backslash"),
]
INSTEAD = {  # keywords that are about a value as a whole, and what to write instead
    "oneOf": "two alternatives may fit the same value: write 'anyOf', or give them different types",
    "not": "say what is allowed instead, with 'enum', 'pattern' or 'anyOf'",
    "if": "write the cases as 'anyOf'", "then": "write the cases as 'anyOf'", "else": "write the cases as 'anyOf'",
    "uniqueItems": "leave it out, and check for equal items afterwards", "contains": "describe the items with 'items'",
    "dependentSchemas": "write the cases as 'anyOf'", "dependentRequired": "write the cases as 'anyOf'",
    "propertyNames": "name the properties, with 'additionalProperties': false",
    "unevaluatedProperties": "use 'additionalProperties'", "unevaluatedItems": "use 'items'",
}  # fmt: skip
VALUES, MANY = {"items", "additionalProperties"}, {"properties", "$defs", "definitions"}  # where schemas stand in schemas
LISTS = {"anyOf", "allOf", "oneOf", "prefixItems"}
DATE = (
    r"[0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))"
).replace("[0-9]{4}", "([0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)")  # no year 0000, no 29 February
TIME = r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?(Z|[-+]([01][0-9]|2[0-3]):[0-5][0-9])"
FORMATS = {  # RFC 3339, without what not every reader takes: leap seconds, lower-case letters
    "date": DATE, "time": TIME, "date-time": f"{DATE}T{TIME}",
    "uuid": "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "ipv4": r"((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])\.){3}(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])",
}  # fmt: skip


def understood(limits: Limits) -> Limits:
    """The same request in the form that `Constraint` takes. Raises `UserError`."""
    regex, schema, grammar = limits.regex, limits.json_schema, limits.grammar
    if regex is not None:
        regex = _kept("--regex", written_out(regex))
    if schema is not None:
        if not BEGINS_A_SCHEMA.match(schema) or _is_file(schema):
            schema = _held_by(schema, "--json_schema")
        schema = _safe(schema)
    if grammar is not None and (_is_file(grammar) or not BEGINS_A_GRAMMAR.match(grammar) or _looks_like_a_name(grammar)):
        grammar = _held_by(grammar, "--grammar")
    if grammar is not None:
        _kept_in(grammar)
    return replace(limits, regex=regex, json_schema=schema, grammar=grammar)


def written_out(regex: str) -> str:
    """A regex in verbose mode without it: spaces and comments gone. Raises `UserError` where readers differ about it."""
    begin = VERBOSE.match(regex)
    if not begin:
        if found := re.search(r"\(\?[a-zA-Z]*x[a-zA-Z]*[-:)]", regex):
            raise UserError(f"--regex: {found[0]!r} cannot be had there: put (?x) at the very beginning, or leave it out.")
        return regex
    flags, at, kept = begin[1].replace("x", ""), begin.end(), []
    while at < len(regex):
        end = at + 1
        if regex[at] == "\\":
            end = at + 2
        elif regex[at] == "[":
            end = _class_end(regex, at)
            if re.search(r"(?<!\\)[\s#]", regex[at:end]):
                raise UserError(f"--regex: with (?x), a space or # in {regex[at:end]!r} is unclear: put \\ before it.")
        elif regex[at] == "#":
            at = regex.find("\n", at) + 1 or len(regex)
            continue
        if not regex[at].isspace():
            kept.append(regex[at:end])
        at = end
    return (f"(?{flags})" if flags else "") + "".join(kept)


def _kept(flag: str, regex: str) -> str:
    """The regex again. Raises `UserError` when it has a part that depends on what is around it."""
    at = 0
    while at < len(regex):
        for sign, what, instead in NOT_KEPT:
            if found := sign.match(regex, at):
                part = _part(regex, at) if found[0].startswith("(") else found[0]
                raise UserError(f"{flag}: {part!r} {what}, which cannot be promised: {instead}.")
        if (found := BOUNDS.match(regex, at)) and int(found[1][:20]) > int(found[2][:20]):
            raise UserError(f"{flag}: {found[0]!r} ends before it begins: write the smaller number first.")
        at = _class_end(regex, at) if regex[at] == "[" else at + 2 if regex[at] == "\\" else at + 1
    return regex


def _kept_in(grammar: str) -> None:
    """Raises `UserError` when a grammar has a regex that depends on what is around it, or what llguidance adds to Lark."""
    for token in lark.QUOTED.finditer(grammar):
        if token["regex"]:
            _kept("--grammar", token["regex"][1:].rpartition("/")[0])
    if GBNF.search(grammar):
        raise UserError("--grammar: '::=' is GBNF's: Lark's syntax is wanted, as start: \"a\" | \"b\".")
    if found := NOT_LARK.search(lark.QUOTED.sub(" ", grammar)):
        raise UserError(f"--grammar: {found[0][:SHOWN]!r} is not Lark's: say it in Lark's syntax, or use --json_schema.")


def _class_end(regex: str, at: int) -> int:
    """The place behind a class; the end of the regex where there is none, or classes within classes."""
    try:
        return class_end(regex, at)
    except Unusual:
        return len(regex)


def _part(regex: str, at: int) -> str:
    """The group that begins there, up to its end."""
    end, depth = at, 0
    while end < len(regex):
        depth += {"(": 1, ")": -1}.get(regex[end], 0) if regex[end - 1 : end] != "\\" else 0
        end += 1
        if depth == 0:
            break
    return regex[at : min(end, at + SHOWN)]


def _is_file(given: str) -> bool:
    try:
        return "\n" not in given and Path(given).is_file()
    except (OSError, ValueError):
        return False


def _looks_like_a_name(given: str) -> bool:
    return re.fullmatch(r"\S+\.(?:lark|ebnf|gbnf|txt|grammar)", given) is not None


def _held_by(path: str, flag: str) -> str:
    """What a file holds."""
    if not path:
        raise UserError(f"{flag} is empty: give the thing itself or a file of it, or leave out {flag}.")
    try:
        with open(path, "rb") as file:
            return decoded(read_whole(file, path, flag), path, flag=flag)
    except (OSError, ValueError) as error:
        told = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{flag} {path[: 4 * SHOWN]!r} is neither the thing itself nor a file of it: {told}.") from None


def _safe(text: str) -> str:
    """A JSON schema with its patterns as the engine can keep them, and formats as patterns."""

    def odd(constant: str) -> Any:
        raise ValueError(f"{constant} is no JSON")

    try:
        schema = json.loads(text, parse_constant=odd)
    except (ValueError, RecursionError) as error:
        told = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise UserError(f"--json_schema {text[: 4 * SHOWN]!r} is no JSON schema: {told}.") from None
    checked(schema)
    return json.dumps(_safe_schema(schema), ensure_ascii=False)


def _safe_schema(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    schema = of_today(schema)
    safe = dict(schema)
    for key, instead in INSTEAD.items():
        if key in safe and not (key == "oneOf" and apart(safe[key])):
            raise UserError(f"--json_schema: {key!r} cannot be promised while a text is written: {instead}.")
    _countable(safe)
    for key, value in schema.items():
        if key in VALUES:
            safe[key] = _safe_schema(value)
        elif key in MANY and isinstance(value, dict):
            safe[key] = {name: _safe_schema(inner) for name, inner in value.items()}
        elif key in LISTS and isinstance(value, list):
            safe[key] = [_safe_schema(inner) for inner in value]
        elif key == "patternProperties" and isinstance(value, dict):
            safe[key] = {_name_pattern(name): _safe_schema(inner) for name, inner in value.items()}
    if isinstance(safe.get("format"), str) and safe["format"] in FORMATS and "pattern" not in safe:
        safe["pattern"] = f"^{FORMATS[safe.pop('format')]}$"
    if isinstance(safe.get("pattern"), str):
        try:
            plain_pattern(_kept("--json_schema: pattern", safe["pattern"]))
        except (Unusual, RecursionError) as error:
            raise UserError(
                f"--json_schema: pattern {safe['pattern'][: 4 * SHOWN]!r} has a part that cannot be kept: "
                f"{str(error)[:SHOWN]!r}. Say it with letters, [classes], groups, |, ?, *, + and {{n,m}}."
            ) from None
    return safe


def of_today(schema: dict[str, Any]) -> dict[str, Any]:
    """The same schema as JSON Schema 2020-12 has it, without what says nothing."""
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


def _countable(schema: dict[str, Any]) -> None:
    """Raises `UserError` when properties are counted that could have equal names."""
    for key in ("minProperties", "maxProperties"):
        closed = schema.get("additionalProperties") is False and "patternProperties" not in schema
        if key in schema and not closed:
            raise UserError(
                f"--json_schema: {key!r} cannot be promised where names are free: add 'additionalProperties': false, or name "
                "what has to be there in 'required'."
            )


def _name_pattern(pattern: str) -> str:
    """A pattern of names, again. Raises `UserError` where the engine would confuse what JSON escapes."""
    try:
        if not has_escaped(pattern):
            return pattern
    except Unusual:
        pass
    raise UserError(
        f"--json_schema: the name pattern {pattern[: 4 * SHOWN]!r} lets characters be that JSON escapes (quotes, backslashes, "
        "control characters): name the characters it may hold, as [a-z_]."
    )


def for_the_engine(schema: Any) -> Any:
    """A safe schema whose patterns are of characters that JSON does not escape: those the engine can keep."""
    if isinstance(schema, list):
        return [for_the_engine(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: value if key in ("const", "enum") else for_the_engine(value) for key, value in schema.items()}
    if isinstance(schema.get("pattern"), str):
        plain["pattern"] = plain_pattern(schema["pattern"])
    return plain
