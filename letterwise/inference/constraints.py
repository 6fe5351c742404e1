"""Constraints: what a text has to match, as a guide that walks along while it is written.

    Limits ──▶ Constraint ──guide()──▶ Guide ──allowed (V,) bool──▶ a character is chosen ──take(id)──▶ …

The promise is that a text under a constraint always matches it when it ends, `num_tokens` included. How it is kept:

* A regex, most JSON schemas, the texts to contain, a line and the vocabulary are one automaton, which knows from each state how
  far the end is (automaton.py). Where its table would be too large, or is not known, the engine of matching.py takes the same
  (without schemas) together with the length as one regex, their intersection. Both let a character pass only if a whole text
  can still follow.
* For other JSON schemas and grammars (and for byte vocabularies, where a character can take several places) the guide knows one
  way to complete the text, at each step (engine_guide.py). A character after which no such way is found, short enough, is not
  taken. The search is bounded, so near the end it may pass over characters that a longer search would have let through; it
  never lets a wrong one.

A text may end wherever it is whole. It ends there with the probability of all characters that cannot follow: when the model
wants to leave the pattern. `\\d+` writes a number, and stops when something else than a digit is drawn.
"""

import functools
import json
import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from letterwise.data.vocabulary import SHOWN, Vocabulary, code_points
from letterwise.errors import UserError
from letterwise.inference.automaton import FAR, START, Automaton
from letterwise.inference.completion import find
from letterwise.inference.engine_guide import EngineGuide
from letterwise.inference.expression import ANY, One, Repeat, Row, Unusual, literal, parse
from letterwise.inference.guide import Guide
from letterwise.inference.limits import LONGEST, Limits
from letterwise.inference.matching import Alphabet, Place, engine
from letterwise.inference.nets import TooLarge, automaton_of
from letterwise.inference.schema import json_of
from letterwise.inference.walk import Walk
from letterwise.text_encoding import decoded

ANYTHING, ONE_LINE = "(?s:.)*", r"[^\n]*\n?"
BYTE = Vocabulary("byte")


class Constraint:
    """What a text has to match, ready for any number of texts. Raises `UserError` when no text can."""

    def __init__(self, vocabulary: Vocabulary, limits: Limits) -> None:
        self.vocabulary, self.limits = vocabulary, limits
        self.usable = limits.characters(vocabulary)
        self.alphabet = Alphabet(vocabulary, self.usable)
        self.grammar = _grammar(limits)
        self._understood()
        texts = dict.fromkeys(limits.must_contain)  # those that others contain go without saying
        self.texts = [text for text in texts if not any(text in other for other in texts if other != text)]
        self.phrases = [vocabulary.encode(text).tolist() for text in self.texts]
        self.bounded = self.grammar is None and vocabulary.kind == "char"  # what the engine lets follow keeps the promise alone
        self.automaton = self._automaton(limits.num_tokens) if vocabulary.kind == "char" and limits.grammar is None else None
        if self.automaton:
            possible = self.automaton.ends[START] <= limits.num_tokens
        else:
            self.start = self._place(limits.num_tokens)
            self.rest = None if self.bounded else find(self.start, limits.num_tokens, phrases=self.phrases)
            possible = self.rest is not None or (self.bounded and _possible(self.start))
        if not possible:
            raise self._refusal()

    def guide(self, max_seconds: float = math.inf) -> Guide:
        """For one text, from its beginning. `max_seconds` is what to name when there is no more time."""
        if self.automaton:
            return Walk(self.automaton, self.limits.num_tokens)
        return EngineGuide(self.start.fork(), self.limits.num_tokens, self.rest, self.phrases, max_seconds)

    def _automaton(self, longest: int) -> Automaton | None:
        """The table of texts that match, of any length; None where its making would take too long, or is not known.

        Values of a schema stand within each other as deep as texts of the `longest` length need.
        """
        limits, any_text = self.limits, Repeat(ANY, 0, None)
        ids = {character: id for id, character in enumerate(self.vocabulary.characters)}
        usable = np.ones(len(self.vocabulary), bool) if self.usable is None else self.usable

        def which(one: One) -> Bool[np.ndarray, "V"]:
            """The characters that may be written of those that it stands for; a plain one need not be looked up."""
            if one.flags or len(one.written) > 1 or one.written == ".":
                atom = _slashed(f"(?{one.flags}:{one.written})")
                if _possible(self.alphabet.place(self._regular([atom, "(?:(?s:.){2,})?"]))):
                    raise Unusual(one.written)  # not one character: it was read wrongly
                return self.alphabet.place(self._regular([atom])).allowed()
            mask = np.zeros(len(self.vocabulary), bool)
            if one.written in ids:
                mask[ids[one.written]] = usable[ids[one.written]]
            return mask

        try:
            parts = [] if limits.regex is None else [parse(limits.regex)]
            parts += [] if limits.json_schema is None else [json_of(json.loads(limits.json_schema), longest)]
            parts += [Row((any_text, literal(text), any_text)) for text in self.texts]
            parts += [parse(ONE_LINE)] if limits.until_line else []
            return automaton_of(parts, len(self.vocabulary), which)
        except (Unusual, TooLarge, RecursionError):
            return None

    def _understood(self) -> None:
        """Is what was given grammatical, vocabulary aside?"""
        for flag, given in (
            ("regex", self.limits.regex),
            ("json_schema", self.limits.json_schema),
            ("grammar", self.limits.grammar),
        ):
            if given is not None:
                try:
                    Alphabet(BYTE).place(self.grammar or self._regular([_slashed(given)]))
                except UserError as error:
                    raise UserError(f"--{flag} {given[: 4 * SHOWN]!r} is not understood: {error}.") from None

    def _place(self, most: int | None) -> Place:
        """Where a text of at most `most` characters begins (None: of any length)."""
        length = "*" if most is None else f"{{0,{most}}}"
        return self.alphabet.place(*self._grammars(_one_of(self.vocabulary, self.usable) + length))

    def _grammars(self, alphabet: str) -> list[str]:
        """What llguidance is told: the grammar, if there is one, and the intersection of all that is regular."""
        limits = self.limits
        parts = [] if limits.regex is None else [_slashed(limits.regex)]
        parts += [f"{ANYTHING}{_literal(text)}{ANYTHING}" for text in self.texts]
        parts += [ONE_LINE] if limits.until_line else []
        regular = [self._regular([*parts, alphabet])] if parts or self.grammar is None else []
        return regular if self.grammar is None else [self.grammar, *regular]

    @staticmethod
    def _regular(regexes: list[str]) -> str:
        """A grammar of the texts that match all of these."""
        return "start: TEXT\nTEXT: " + " & ".join(f"/{regex}/" for regex in regexes)

    def _refusal(self) -> UserError:
        """Why no text can match, in a sentence."""
        limits = self.limits
        needed = self._needed()
        if needed:
            return UserError(
                f"num_tokens={limits.num_tokens} is too short: a text that matches takes {needed}; raise --num_tokens."
            )
        free = Alphabet(BYTE).place(*self._grammars(ANYTHING))
        text = find(free, LONGEST, phrases=[list(text.encode()) for text in self.texts])
        if text is None:
            return UserError("no text was found that matches all that is asked: loosen it, or say it in a simpler way.")
        written = BYTE.decode(text)
        missing = [c for c in sorted(set(written)) if c not in self.vocabulary]
        if missing:
            return UserError(
                f"no text of this model's vocabulary can match: {written[: 4 * SHOWN]!r} would, "
                f"but the model has never seen {''.join(missing[:SHOWN])!r}."
            )
        return UserError(
            f"--charset and --exclude leave no text that matches: {written[: 4 * SHOWN]!r} would, but must not be written."
        )

    def _needed(self) -> int:
        """How many characters a text that matches takes: the fewest if that is sure, else as found; 0 if there is none."""
        roomy = self._automaton(LONGEST) if self.automaton else None
        if roomy and roomy.ends[START] < FAR:
            return int(roomy.ends[START])
        if not self.bounded:
            return len(find(self._place(None), LONGEST, phrases=self.phrases) or ())
        if self.automaton or not _possible(self._place(None)):
            return 0
        few = self.limits.num_tokens
        enough = 2 * few + 1
        while not _possible(self._place(enough)):
            few, enough = enough, 2 * enough
        while enough - few > 1:
            middle = (few + enough) // 2
            few, enough = (few, middle) if _possible(self._place(middle)) else (middle, enough)
        return enough


def constraint_for(vocabulary: Vocabulary, limits: Limits) -> Constraint:
    """The constraint of these limits, made once for all samples. A schema or grammar may be the name of a file."""
    schema, grammar = limits.json_schema, limits.grammar
    if schema is not None and not schema.lstrip().startswith("{"):
        schema = _held_by(schema, "--json_schema")
    if grammar is not None and ":" not in grammar:  # a grammar has rules, "name: …"
        grammar = _held_by(grammar, "--grammar")
    return _ready(vocabulary, replace(limits, json_schema=schema, grammar=grammar, max_seconds=math.inf))


@functools.lru_cache(maxsize=16)
def _ready(vocabulary: Vocabulary, limits: Limits) -> Constraint:
    return Constraint(vocabulary, limits)


def _grammar(limits: Limits) -> str | None:
    """What llguidance calls a grammar, of a JSON schema or a Lark grammar. Raises `UserError` when it is none."""
    if limits.json_schema is not None:
        schema = limits.json_schema
        try:
            return engine().LLMatcher.grammar_from_json_schema(json.loads(schema), defaults={"whitespace_flexible": False})
        except (ValueError, RecursionError) as error:
            raise UserError(f"--json_schema {schema[: 4 * SHOWN]!r} is no JSON schema: {error}.") from None
    if limits.grammar is not None:
        return engine().LLMatcher.grammar_from_lark(limits.grammar)
    return None


def _held_by(path: str, flag: str) -> str:
    """What a file holds."""
    try:
        return decoded(Path(path).read_bytes(), path, flag=flag)
    except (OSError, ValueError) as error:
        told = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{flag} {path[: 4 * SHOWN]!r} is neither the thing itself nor a file of it: {told}.") from None


def _possible(place: Place) -> bool:
    return bool(place.allowed().any()) or place.may_end()


def _one_of(vocabulary: Vocabulary, usable: np.ndarray | None) -> str:
    """A regex for one character that may be written."""
    if vocabulary.kind == "byte":
        if usable is None:
            return "(?s:.)"
        points: Iterable[int] = np.flatnonzero(usable[:128]).tolist()
        beyond = [(0x80, 0x10FFFF)] if usable[128:].all() else []
    else:
        all_points = code_points(vocabulary.characters)
        points, beyond = (all_points if usable is None else all_points[usable]).tolist(), []
    runs: list[tuple[int, int]] = []
    for point in points:
        if 0xD800 <= point < 0xE000:
            continue  # lone surrogates are no text
        if runs and runs[-1][1] == point - 1:
            runs[-1] = (runs[-1][0], point)
        else:
            runs.append((point, point))
    return "[" + "".join(f"\\x{{{first:x}}}-\\x{{{last:x}}}" for first, last in [*runs, *beyond]) + "]"


def _slashed(regex: str) -> str:
    """A regex as it stands between slashes."""
    return engine().regex_to_lark(regex, "") or "(?:)"


def _literal(text: str) -> str:
    return "".join(f"\\x{{{ord(character):x}}}" for character in text)
