"""Request: what is asked of a text, with a vocabulary, and the three forms that it can be compiled to.

    vocabulary, Limits ──▶ ConstraintRequest ──▶ DFA (regular) · RTN (rules that call each other) · Matcher (llguidance)

The regex, schema or grammar, the texts to contain, one line and the usable characters are all in the form that comes
out. A form is None where the syntax is not read here, or the automaton would be too large.
"""

import functools
import json
from typing import Any

import numpy as np

from letterwise.data.vocabulary import SHOWN, Vocabulary
from letterwise.errors import UserError, sentence
from letterwise.inference.constraints.language import lark
from letterwise.inference.constraints.language.dfa import DFA
from letterwise.inference.constraints.language.expression import (
    ANY_CHAR,
    EMPTY,
    START_RULE,
    CharClass,
    Concat,
    Expression,
    Repeat,
    TooLarge,
    Unsupported,
    literal,
    min_length,
)
from letterwise.inference.constraints.language.regex import parse, parse_whole
from letterwise.inference.constraints.language.repeats import clipped
from letterwise.inference.constraints.language.rtn import RTN, any_text
from letterwise.inference.constraints.language.schema import json_schema
from letterwise.inference.constraints.language.subset_construction import dfa_of
from letterwise.inference.constraints.limits import Limits
from letterwise.inference.constraints.llguidance.completion import MAX_SECONDS, MAX_STEPS, BudgetSpent, find_completion
from letterwise.inference.constraints.llguidance.grammars import ONE_LINE, grammar_of, one_character, with_regular_parts
from letterwise.inference.constraints.llguidance.matcher import Matcher, Tokenizer, intersection, lark_regex
from letterwise.inference.constraints.llguidance.messages import NOTHING_FITS
from letterwise.shapes import Bool

BYTES = Vocabulary("byte")
LONG_PHRASE = 1000  # characters: to find out how many a text takes that holds a longer one, is slow


class ConstraintRequest:
    """What is asked. Raises `UserError` for texts to contain, or characters, that the vocabulary lacks."""

    def __init__(self, vocabulary: Vocabulary, limits: Limits) -> None:
        self.vocabulary, self.limits = vocabulary, limits
        self.usable = limits.characters(vocabulary)
        self.tokenizer = Tokenizer(vocabulary, self.usable)
        self.ids = {character: id for id, character in enumerate(vocabulary.characters)}
        texts = dict.fromkeys(limits.must_contain)
        self.texts = [text for text in texts if not any(text in other for other in texts if other != text)]
        for text in self.texts:
            if unknown := [character for character in text if character not in vocabulary]:
                raise UserError(f"--must_contain {text[:SHOWN]!r} cannot be written: the model has never seen {unknown[0]!r}.")
        self.phrases = [vocabulary.encode(text).tolist() for text in self.texts]
        needed = max(map(len, self.phrases), default=0)
        if needed > max(limits.num_tokens, LONG_PHRASE):
            raise UserError(
                f"num_tokens={limits.num_tokens} is too short: --must_contain alone takes {needed}. Raise --num_tokens."
            )

    @property
    def without_dead_ends(self) -> bool:
        """Does each character that `matcher` allows lead to an end? So it does in one regex over characters."""
        return self.vocabulary.kind == "char" and self.limits.json_schema is None and self.limits.grammar is None

    @functools.cached_property
    def fewest(self) -> float | None:
        """The fewest characters of a text that matches, infinity if there is none; None where only an automaton can tell."""
        if self.limits.regex is None or self.texts or self.limits.until_line or self.vocabulary.kind == "byte":
            return None
        try:
            return min_length(parse_whole(self.limits.regex), functools.cache(lambda of: bool(self._mask_of(of).any())))
        except (Unsupported, RecursionError):
            return None

    def dfa(self, max_chars: int) -> DFA | None:
        """The DFA of texts of any length; values of a schema stand in each other as deep as `max_chars` allows."""
        limits = self.limits
        try:
            parts = [] if limits.regex is None else [parse_whole(limits.regex)]
            parts += [] if limits.json_schema is None else [json_schema.json_of(json.loads(limits.json_schema), max_chars)]
            parts += [] if limits.grammar is None else [lark.inlined(lark.rules_of(limits.grammar))]
            parts = [clipped(part, max_chars) for part in (*parts, *self._beside())]
            return dfa_of(parts, len(self.vocabulary), self._mask_of)
        except (Unsupported, TooLarge, RecursionError):
            return None

    def rtn(self, max_chars: int) -> RTN | None:
        """The RTN of texts of at most `max_chars`."""
        limits, beside, vocab_size = self.limits, self._beside(), len(self.vocabulary)
        try:
            if limits.json_schema is not None:
                rules = json_schema.rules_of(json.loads(limits.json_schema))
            elif limits.grammar is not None:
                rules = lark.rules_of(limits.grammar)
            else:
                rules = {START_RULE: EMPTY if limits.regex is None else parse_whole(limits.regex)}
            rules = {name: clipped(rule, max_chars) for name, rule in rules.items()}
            dfa = dfa_of(beside, vocab_size, self._mask_of) if beside else any_text(vocab_size)
            return RTN(rules, vocab_size, self._mask_of, dfa)
        except (Unsupported, TooLarge, RecursionError):
            return None

    def matcher(self, max_chars: int | None) -> Matcher:
        """llguidance's form, of texts of at most `max_chars` characters (None: of any length)."""
        length = "*" if max_chars is None else f"{{0,{max_chars}}}"
        return self.tokenizer.matcher(*self.grammars(one_character(self.vocabulary, self.usable) + length))

    def grammars(self, alphabet: str) -> list[str]:
        """What llguidance is given; all of a text matches the regex `alphabet`, too."""
        return with_regular_parts(self._grammar, self.limits, self.texts, alphabet)

    def search(self, matcher: Matcher, max_ids: int) -> list[int] | None:
        """A short text that matches, of at most `max_ids`; None: there is none. Raises `UserError` when it gives up."""
        asked = self.limits.grammar or self.limits.json_schema or ""
        likely = [id for character, id in self.ids.items() if character in asked]
        try:
            return find_completion(matcher, max_ids, phrases=self.phrases, likely=likely)
        except BudgetSpent:
            raise UserError(
                f"no text that matches was found in {MAX_STEPS:,} steps and {MAX_SECONDS:g} seconds; there may be one. "
                "Make the request simpler, or raise --num_tokens."
            ) from None

    def check_syntax(self) -> None:
        """Raises `UserError` where llguidance cannot read what was given, whatever the vocabulary."""
        for flag in ("regex", "json_schema", "grammar"):
            given: Any = getattr(self.limits, flag)
            if given is not None:
                shown = f"--{flag} {given[: 4 * SHOWN]!r}"
                try:
                    Tokenizer(BYTES).matcher(self._grammar or intersection([lark_regex(given)]))
                except UserError as error:
                    if str(error) == NOTHING_FITS:
                        raise UserError(f"no JSON fits {shown}: ask for less.") from None
                    raise UserError(f"{shown} is not understood: {sentence(error)}") from None

    @functools.cached_property
    def _grammar(self) -> str | None:
        return grammar_of(self.limits)

    def _beside(self) -> list[Expression]:
        """What is asked beside the regex, schema or grammar, and is regular."""
        any_chars = Repeat(ANY_CHAR, 0, None)
        parts: list[Expression] = [Concat((any_chars, literal(text), any_chars)) for text in self.texts]
        return [*parts, parse(ONE_LINE)] if self.limits.until_line else parts

    def _mask_of(self, char_class: CharClass) -> Bool[np.ndarray, "V"]:
        """The usable characters of a class (V,). llguidance knows them; a plain character need not be looked up."""
        if char_class.flags or len(char_class.source) > 1 or char_class.source == ".":
            one = lark_regex(f"(?{char_class.flags}:{char_class.source})")
            if not self.tokenizer.matcher(intersection([one, "(?:(?s:.){2,})?"])).is_dead_end():
                raise Unsupported(char_class.source)  # not one character: it was read wrongly
            return self.tokenizer.matcher(intersection([one])).allowed()
        mask = np.zeros(len(self.vocabulary), bool)
        if char_class.source in self.ids:
            id = self.ids[char_class.source]
            mask[id] = self.usable is None or self.usable[id]
        return mask
