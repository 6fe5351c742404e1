"""Constraint: what a text has to match, and the guide that keeps a text inside it.

    Limits ──▶ ConstraintRequest ──the first form there is──▶ Constraint ──guide()──▶ Guide, one for each text

A text under a constraint matches it when it ends, at most `num_tokens` long. Three ways to keep this promise, in order:

1. DFA. A regex, most JSON schemas, texts to contain, one line. A table that knows from each state how far the end is.
2. RTN, read by Earley's recogniser. What is nested, or too large for a table. As exact as the DFA.
3. llguidance. What neither reads here, and byte vocabularies, where a character may take several ids. The guide knows
   one way to complete the text at each step, and refuses a character after which it finds none. The search is bounded:
   near the end it may refuse a character that could follow, but it never lets a wrong one through.

A text may end wherever it matches. It ends there with the probability of all characters that cannot follow: when the
model wants to leave the pattern. `\\d+` writes a number, and stops when something else than a digit is drawn.
"""

import math

from letterwise.data.vocabulary import Vocabulary
from letterwise.inference.constraints.dfa_guide import DFAGuide
from letterwise.inference.constraints.earley_guide import EarleyGuide
from letterwise.inference.constraints.guide import Guide
from letterwise.inference.constraints.language.dfa import START
from letterwise.inference.constraints.limits import Limits
from letterwise.inference.constraints.llguidance.guide import LLGuidanceGuide
from letterwise.inference.constraints.refusal import refusal
from letterwise.inference.constraints.regex_checks import check_size
from letterwise.inference.constraints.request import ConstraintRequest


class Constraint:
    """What a text has to match, compiled once for any number of texts. Raises `UserError` when no text can match."""

    def __init__(self, vocabulary: Vocabulary, limits: Limits) -> None:
        if limits.regex is not None:
            check_size(limits.regex)
        self.limits, self.request = limits, ConstraintRequest(vocabulary, limits)
        if limits.json_schema is None:
            self.request.check_syntax()
        chars, max_ids = vocabulary.kind == "char", limits.num_tokens
        if (self.request.fewest or 0) > max_ids:
            raise refusal(self.request, None, None)
        self.dfa = self.request.dfa(max_ids) if chars else None
        self.rtn = self.request.rtn(max_ids) if chars and not self.dfa else None
        if self.dfa:
            possible = self.dfa.distances[START] <= max_ids
        elif self.rtn:
            possible = EarleyGuide(self.rtn, max_ids).distance() <= max_ids
        else:
            if limits.json_schema is not None:
                self.request.check_syntax()
            self.matcher = self.request.matcher(max_ids)
            exact = self.request.without_dead_ends
            self.rest = None if exact else self.request.search(self.matcher, max_ids)
            possible = self.rest is not None or (exact and not self.matcher.is_dead_end())
        if not possible:
            raise refusal(self.request, self.dfa, self.rtn)

    def guide(self, max_seconds: float = math.inf) -> Guide:
        """For one text, from its beginning. `max_seconds` is what to name when there is no more time."""
        max_ids = self.limits.num_tokens
        if self.dfa:
            return DFAGuide(self.dfa, max_ids)
        if self.rtn:
            return EarleyGuide(self.rtn, max_ids)
        return LLGuidanceGuide(self.matcher.fork(), max_ids, self.rest, self.request.phrases, max_seconds)
