r"""Normalize: a request as it was typed, in the one form that `Constraint` takes.

Limits ──▶ files read, (?x) gone, what cannot be kept refused ──▶ Limits
"""

import re
from dataclasses import replace
from pathlib import Path

from letterwise.config.file_names import expanded
from letterwise.data.vocabulary import SHOWN
from letterwise.errors import UserError
from letterwise.inference.constraints.language.lark import QUOTED
from letterwise.inference.constraints.limits import Limits
from letterwise.inference.constraints.regex_checks import checked_regex, without_verbose
from letterwise.inference.constraints.schema_checks import checked_schema
from letterwise.text_encoding import decoded, read_whole

BEGINS_A_GRAMMAR = re.compile(r"\s*(?://[^\n]*\s*)*(?:%|[!?]?_*[A-Za-z]\w*(?:\.\d+)?\s*:)")
BEGINS_A_SCHEMA = re.compile(r"\s*(?:[{\[\"\d]|(?:true|false|null)\s*$)")
GBNF = re.compile(r"^\s*[\w-]+\s*::=", re.MULTILINE)
NOT_LARK = re.compile(r"%(?:json|lark|regex)\b|@\w+|<[^<>\s]*>")
GRAMMAR_FILE = re.compile(r"\S+\.(?:lark|ebnf|gbnf|txt|grammar)")


def normalized(limits: Limits) -> Limits:
    """The same request: a schema or grammar may have been the name of a file. Raises `UserError`."""
    regex, schema, grammar = limits.regex, limits.json_schema, limits.grammar
    if regex is not None:
        regex = checked_regex("--regex", without_verbose(regex))
    if schema is not None:
        if not BEGINS_A_SCHEMA.match(schema) or _is_file(schema):
            schema = _read(schema, "--json_schema", "a JSON schema")
        schema = checked_schema(schema)
    if grammar is not None and (_is_file(grammar) or not BEGINS_A_GRAMMAR.match(grammar) or GRAMMAR_FILE.fullmatch(grammar)):
        grammar = _read(grammar, "--grammar", "a grammar")
    if grammar is not None:
        _check_grammar(grammar)
    return replace(limits, regex=regex, json_schema=schema, grammar=grammar)


def _check_grammar(grammar: str) -> None:
    """Raises `UserError` when a regex in it depends on what is around it, or when it is not Lark's syntax."""
    for token in QUOTED.finditer(grammar):
        if token["regex"]:
            checked_regex("--grammar", token["regex"][1:].rpartition("/")[0])
    if GBNF.search(grammar):
        raise UserError("--grammar: '::=' is GBNF's: Lark's syntax is wanted, as start: \"a\" | \"b\".")
    if found := NOT_LARK.search(QUOTED.sub(" ", grammar)):
        raise UserError(f"--grammar: {found[0][:SHOWN]!r} is not Lark's: say it in Lark's syntax, or use --json_schema.")


def _is_file(given: str) -> bool:
    try:
        return "\n" not in given and Path(expanded(given)).is_file()
    except (OSError, ValueError, UserError):
        return False


def _read(path: str, flag: str, what: str) -> str:
    """The text of a file."""
    if not path:
        raise UserError(f"{flag} is empty: give {what} or the name of a file, or leave out {flag}.")
    try:
        with open(expanded(path), "rb") as file:
            text = decoded(read_whole(file, path, flag), path, flag=flag)
    except (OSError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{flag} {path[: 4 * SHOWN]!r} is neither {what} nor a file that can be read: {cause}.") from None
    if not text.strip():
        raise UserError(f"{flag}: there is nothing in {path!r}: write {what} into it.")
    return text
