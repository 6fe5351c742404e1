r"""Normalize: a request as it was given, in the one form that `Constraint` takes.

Limits ──▶ (?x) gone, what cannot be kept refused ──▶ Limits
"""

import re
from dataclasses import replace

from letterwise.data.vocabulary import SHOWN
from letterwise.errors import UserError
from letterwise.inference.constraints.language.lark import QUOTED
from letterwise.inference.constraints.limits import Limits
from letterwise.inference.constraints.regex_checks import checked_regex, without_verbose
from letterwise.inference.constraints.schema_checks import checked_schema

GBNF = re.compile(r"^\s*[\w-]+\s*::=", re.MULTILINE)
NOT_LARK = re.compile(r"%(?:json|lark|regex)\b|@\w+|<[^<>\s]*>")


def normalized(limits: Limits) -> Limits:
    """The same request. Raises `UserError` for what cannot be kept. Nothing is taken for the name of a file."""
    regex, schema, grammar = limits.regex, limits.json_schema, limits.grammar
    if regex is not None:
        regex = checked_regex("--regex", without_verbose(regex))
    if schema is not None:
        schema = checked_schema(schema)
    if grammar is not None:
        _check_grammar(grammar)
    return replace(limits, regex=regex, json_schema=schema, grammar=grammar)


def _check_grammar(grammar: str) -> None:
    """Raises `UserError` when a regex in it depends on what is around it, or when it is not Lark's syntax."""
    if not grammar.strip():
        raise UserError('--grammar is empty: give a grammar, as start: "a" | "b", or leave out --grammar.')
    for token in QUOTED.finditer(grammar):
        if token["regex"]:
            checked_regex("--grammar", token["regex"][1:].rpartition("/")[0])
    if GBNF.search(grammar):
        raise UserError("--grammar: '::=' is GBNF's: Lark's syntax is wanted, as start: \"a\" | \"b\".")
    if found := NOT_LARK.search(QUOTED.sub(" ", grammar)):
        raise UserError(f"--grammar: {found[0][:SHOWN]!r} is not Lark's: say it in Lark's syntax, or use --json_schema.")
