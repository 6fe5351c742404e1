"""Constraint: what a text has to match, as a guide that walks along while it is written.

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
import re
import time
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from jaxtyping import Bool

from letterwise.data.vocabulary import SHOWN, Vocabulary, code_points
from letterwise.errors import UserError
from letterwise.inference.constraints.completion import EFFORT, SECONDS, Exhausted, find
from letterwise.inference.constraints.dfa_guide import DFAGuide
from letterwise.inference.constraints.earley_guide import Earley
from letterwise.inference.constraints.guide import Guide
from letterwise.inference.constraints.language import json_schema, lark
from letterwise.inference.constraints.language.dfa import DFA, START, UNREACHABLE
from letterwise.inference.constraints.language.json_schema import json_of
from letterwise.inference.constraints.language.lark import inlined
from letterwise.inference.constraints.language.nfa import LARGEST, Effort, Net, dfa_of
from letterwise.inference.constraints.language.recursive_network import BEGIN, Network, anything
from letterwise.inference.constraints.language.recursive_network import FAR as NEVER
from letterwise.inference.constraints.language.regex import (
    ANY,
    Expression,
    One,
    Repeat,
    Row,
    TooLarge,
    Unusual,
    clipped,
    literal,
    parse,
    shortest,
    whole,
)
from letterwise.inference.constraints.limits import LONGEST, Limits
from letterwise.inference.constraints.llguidance_guide import EngineGuide
from letterwise.inference.constraints.matching import Alphabet, Place, engine
from letterwise.inference.constraints.requests import for_the_engine, understood
from letterwise.inference.constraints.sentences import NOTHING_FITS, in_plain_words

ANYTHING, ONE_LINE = "(?s:.)*", r"[^\n]*\n?"
BYTE = Vocabulary("byte")


class Constraint:
    """What a text has to match, ready for any number of texts. Raises `UserError` when no text can."""

    def __init__(self, vocabulary: Vocabulary, limits: Limits) -> None:
        self.vocabulary, self.limits = vocabulary, limits
        self.usable = limits.characters(vocabulary)
        self.alphabet = Alphabet(vocabulary, self.usable)
        self.ids = {character: id for id, character in enumerate(vocabulary.characters)}
        self.by_schema, by_grammar = limits.json_schema is not None, limits.grammar is not None
        if limits.regex is not None:
            self._measured(limits.regex)
        if not self.by_schema:
            self._understood()
        texts = dict.fromkeys(limits.must_contain)  # those that others contain go without saying
        self.texts = [text for text in texts if not any(text in other for other in texts if other != text)]
        for text in self.texts:
            if foreign := [character for character in text if character not in vocabulary]:
                raise UserError(f"--must_contain {text[:SHOWN]!r} cannot be written: the model has never seen {foreign[0]!r}.")
        self.phrases = [vocabulary.encode(text).tolist() for text in self.texts]
        self.bounded = vocabulary.kind == "char" and not self.by_schema and not by_grammar
        self.dfa = self._dfa(limits.num_tokens) if vocabulary.kind == "char" else None
        self.network = self._network(limits.num_tokens) if vocabulary.kind == "char" and not self.dfa else None
        if self.dfa:
            possible = self.dfa.distances[START] <= limits.num_tokens
        elif self.network:
            possible = Earley(self.network, limits.num_tokens).least() <= limits.num_tokens
        else:
            if self.by_schema:
                self._understood()
            self.start = self._place(limits.num_tokens)
            self.rest = None if self.bounded else self._found(self.start, limits.num_tokens)
            possible = self.rest is not None or (self.bounded and _possible(self.start))
        if not possible:
            raise self._refusal()

    def guide(self, max_seconds: float = math.inf) -> Guide:
        """For one text, from its beginning. `max_seconds` is what to name when there is no more time."""
        if self.dfa:
            return DFAGuide(self.dfa, self.limits.num_tokens)
        if self.network:
            return Earley(self.network, self.limits.num_tokens)
        return EngineGuide(self.start.fork(), self.limits.num_tokens, self.rest, self.phrases, max_seconds)

    @functools.cached_property
    def grammar(self) -> str | None:
        """What the engine is told of a schema or grammar."""
        return _grammar(self.limits)

    def _found(self, place: Place, most: int) -> list[int] | None:
        """A short text that matches, of at most so many ids; None: there is none. Raises `UserError` when it gives up."""
        likely = [
            id for character, id in self.ids.items() if character in (self.limits.grammar or self.limits.json_schema or "")
        ]
        try:
            return find(place, most, phrases=self.phrases, likely=likely)
        except Exhausted:
            raise UserError(
                f"no text that matches was found within the effort ({EFFORT:,} steps, {SECONDS:g} seconds); there may be one. "
                "Say it in a simpler way, or raise --num_tokens."
            ) from None

    def _dfa(self, longest: int) -> DFA | None:
        """The table of texts that match, of any length; None where its making would take too long, or is not known.

        Values of a schema stand within each other as deep as texts of the `longest` length need.
        """
        limits = self.limits
        try:
            parts = [] if limits.regex is None else [whole(limits.regex)]
            parts += [] if limits.json_schema is None else [json_of(json.loads(limits.json_schema), longest)]
            parts += [] if limits.grammar is None else [inlined(lark.rules_of(limits.grammar))]
            parts = [clipped(part, longest) for part in (*parts, *self._beside())]
            return dfa_of(parts, len(self.vocabulary), self._which)
        except (Unusual, TooLarge, RecursionError):
            return None

    def _network(self, longest: int) -> Network | None:
        """The rules of texts that match, where that is not regular, or too large for a table; None where they are not known."""
        limits, beside = self.limits, self._beside()
        try:
            if limits.json_schema is not None:
                rules = json_schema.rules_of(json.loads(limits.json_schema))
            elif limits.grammar is not None:
                rules = lark.rules_of(limits.grammar)
            else:
                rules = {BEGIN: Row(()) if limits.regex is None else whole(limits.regex)}
            rules = {name: clipped(rule, longest) for name, rule in rules.items()}
            size = len(self.vocabulary)
            also = dfa_of(beside, size, self._which) if beside else anything(size)
            return Network(rules, size, self._which, also)
        except (Unusual, TooLarge, RecursionError):
            return None

    def _beside(self) -> list[Expression]:
        """What is asked of a text besides, and is regular."""
        any_text = Repeat(ANY, 0, None)
        parts: list[Expression] = [Row((any_text, literal(text), any_text)) for text in self.texts]
        return [*parts, parse(ONE_LINE)] if self.limits.until_line else parts

    def _which(self, one: One) -> Bool[np.ndarray, "V"]:
        """The characters that may be written of those that one stands for; a plain one need not be looked up."""
        if one.flags or len(one.written) > 1 or one.written == ".":
            atom = _slashed(f"(?{one.flags}:{one.written})")
            if _possible(self.alphabet.place(self._regular([atom, "(?:(?s:.){2,})?"]))):
                raise Unusual(one.written)  # not one character: it was read wrongly
            return self.alphabet.place(self._regular([atom])).allowed()
        mask = np.zeros(len(self.vocabulary), bool)
        if one.written in self.ids:
            id = self.ids[one.written]
            mask[id] = self.usable is None or self.usable[id]
        return mask

    def _measured(self, regex: str) -> None:
        """Raises `UserError` for a regex that takes more than a text may have, or more work than is spent on one."""
        shown = f"--regex {regex[: 4 * SHOWN]!r}"
        try:
            expression = clipped(whole(regex), LONGEST)
            least = shortest(expression)
            if least > LONGEST:
                raise UserError(f"{shown} takes more than {LONGEST:,} characters, which no text under a constraint has.")
            Net(expression, Effort())
        except TooLarge:
            raise UserError(f"{shown} is too large: it has more than {LARGEST:,} places. Repeat less often.") from None
        except RecursionError:
            raise UserError(f"{shown} is too large: its groups are nested too deeply.") from None
        except Unusual:
            if math.prod(int(count[:9]) for count in re.findall(r"\{(\d+)", regex) if int(count[:9])) > LARGEST:
                raise UserError(f"{shown} is too large: its repetitions make more than {LARGEST:,} places.") from None

    def _understood(self) -> None:
        """Is what was given grammatical, vocabulary aside?"""
        for flag, given in (
            ("regex", self.limits.regex),
            ("json_schema", self.limits.json_schema),
            ("grammar", self.limits.grammar),
        ):
            if given is not None:
                shown = f"--{flag} {given[: 4 * SHOWN]!r}"
                try:
                    Alphabet(BYTE).place(self.grammar or self._regular([_slashed(given)]))
                except UserError as error:
                    if str(error) == NOTHING_FITS:
                        raise UserError(f"no JSON fits {shown}: loosen it.") from None
                    raise UserError(f"{shown} is not understood: {error}.") from None

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
        if needed > LONGEST:
            return UserError(f"no text of at most {LONGEST:,} characters matches, and a constraint has no longer ones.")
        if needed:
            return UserError(
                f"num_tokens={limits.num_tokens} is too short: a text that matches takes {needed}; raise --num_tokens."
            )
        written = self._elsewhere() if self.dfa or self.network else self._by_bytes()
        if written is None:
            return UserError(
                f"no text of this model's vocabulary, of at most {LONGEST:,} characters, matches all that is asked: loosen it."
            )
        missing = [c for c in sorted(set(written)) if c not in self.vocabulary]
        if missing:
            return UserError(
                f"no text of this model's vocabulary can match: {written[: 4 * SHOWN]!r} would, "
                f"but the model has never seen {''.join(missing[:SHOWN])!r}."
            )
        return UserError(
            f"--charset and --exclude leave no text that matches: {written[: 4 * SHOWN]!r} would, but must not be written."
        )

    def _elsewhere(self) -> str | None:
        """What a model would write that knows more characters: ASCII, and those that are asked for."""
        limits = self.limits
        asked = f"{limits.regex or ''}{limits.json_schema or ''}{limits.grammar or ''}{''.join(self.texts)}"
        more = {*map(chr, range(1, 128)), *asked} - {*self.vocabulary.characters}
        if not more and self.usable is None:
            return None
        wider = Vocabulary("char", self.vocabulary.characters + "".join(sorted(more)))
        try:
            free = Constraint(wider, replace(limits, num_tokens=LONGEST, charset=None, exclude=""))
        except UserError:
            return None
        guide, ids, until = free.guide(), list[int](), time.monotonic() + SECONDS
        while not guide.is_accepting():
            if time.monotonic() > until:
                return None
            ids.append(guide.step_to_end())
        return wider.decode(ids)

    def _by_bytes(self) -> str | None:
        """The same, as the engine knows it."""
        try:
            text = find(
                Alphabet(BYTE).place(*self._grammars(ANYTHING)), LONGEST, phrases=[list(text.encode()) for text in self.texts]
            )
        except (UserError, Exhausted):
            return None
        return None if text is None else BYTE.decode(text)

    def _needed(self) -> int:
        """How many characters a text that matches takes: the fewest if that is sure, else as found; 0 if there is none."""
        if table := self._dfa(LONGEST) if self.dfa else None:
            return int(table.distances[START]) if table.distances[START] < UNREACHABLE else 0
        if network := (self._network(LONGEST) or self.network) if self.dfa or self.network else None:
            least = Earley(network, LONGEST).least()
            return least if least < NEVER else 0
        if not self.bounded:
            return len(self._found(self._place(None), LONGEST) or ())
        if not _possible(self._place(None)):
            return 0
        few, enough = self.limits.num_tokens, LONGEST
        if not _possible(self._place(enough)):
            return LONGEST + 1
        while enough - few > 1:
            middle = (few + enough) // 2
            few, enough = (few, middle) if _possible(self._place(middle)) else (middle, enough)
        return enough


def constraint_for(vocabulary: Vocabulary, limits: Limits) -> Constraint:
    """The constraint of these limits, made once for all samples. A schema or grammar may be the name of a file."""
    return _ready(vocabulary, replace(understood(limits), max_seconds=math.inf))


@functools.lru_cache(maxsize=16)
def _ready(vocabulary: Vocabulary, limits: Limits) -> Constraint:
    return Constraint(vocabulary, limits)


def _grammar(limits: Limits) -> str | None:
    """What llguidance calls a grammar, of a JSON schema or a Lark grammar. Raises `UserError` when it is none."""
    if limits.json_schema is not None:
        asked = limits.json_schema
        try:
            plain = for_the_engine(json.loads(asked))
            return engine().LLMatcher.grammar_from_json_schema(plain, defaults={"whitespace_flexible": False})
        except RecursionError:
            raise UserError("it is nested too deeply") from None
        except (ValueError, Unusual) as error:
            raise UserError(in_plain_words(str(error))) from None
    if limits.grammar is not None:
        return engine().LLMatcher.grammar_from_lark(limits.grammar)
    return None


def _possible(place: Place) -> bool:
    return bool(place.allowed().any()) or place.is_accepting()


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
