r"""Constraint files: a schema or a grammar may be the name of a file. Only who typed it on this machine may mean that.

Limits as they were typed ──with_files──▶ Limits that hold the text of what they named
"""

import re
from dataclasses import replace
from pathlib import Path

from letterwise.config.file_names import expanded
from letterwise.data.vocabulary import SHOWN
from letterwise.errors import UserError
from letterwise.inference.constraints.limits import Limits
from letterwise.text_encoding import decoded, read_whole

BEGINS_A_GRAMMAR = re.compile(r"\s*(?://[^\n]*\s*)*(?:%|[!?]?_*[A-Za-z]\w*(?:\.\d+)?\s*:)")
BEGINS_A_SCHEMA = re.compile(r"\s*(?:[{\[\"\d]|(?:true|false|null)\s*$)")
GRAMMAR_FILE = re.compile(r"\S+\.(?:lark|ebnf|gbnf|txt|grammar)")


def with_files(limits: Limits) -> Limits:
    """The same request, with the text of the files that it names. Raises `UserError` when one cannot be read."""
    schema, grammar = limits.json_schema, limits.grammar
    if schema is not None and (not BEGINS_A_SCHEMA.match(schema) or _is_file(schema)):
        schema = _read(schema, "--json_schema", "a JSON schema")
    if grammar is not None and (_is_file(grammar) or not BEGINS_A_GRAMMAR.match(grammar) or GRAMMAR_FILE.fullmatch(grammar)):
        grammar = _read(grammar, "--grammar", "a grammar")
    return replace(limits, json_schema=schema, grammar=grammar)


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
            text = decoded(read_whole(file, path, flag), path, flag)
    except (OSError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{flag} {path[: 4 * SHOWN]!r} is neither {what} nor a file that can be read: {cause}.") from None
    if not text.strip():
        raise UserError(f"{flag}: there is nothing in {path!r}: write {what} into it.")
    return text
