"""Limits: what may be written, and when it ends. The request as it came, checked for contradictions."""

from dataclasses import dataclass

import numpy as np

from letterwise.config.generation import ConstraintConfig, StopConfig
from letterwise.config.knob import check
from letterwise.data.vocabulary import SHOWN, Vocabulary, code_points
from letterwise.errors import UserError
from letterwise.shapes import Bool

MAX_CHARS = 10_000  # of a text under a constraint: its automaton grows with every character


@dataclass(frozen=True)
class Limits(StopConfig, ConstraintConfig):
    """When to stop and what may be written, as config/generation.py declares it. Raises `UserError` on values without sense."""

    def __post_init__(self) -> None:
        check(self)
        if "" in self.stop:
            raise UserError("stop='' would stop before the first character: give --stop some text.")
        if "" in self.must_contain:
            raise UserError("must_contain='' is in every text: give --must_contain some.")
        for given in (self.regex, self.json_schema, self.grammar, *self.must_contain):
            if given and not given.isascii() and any("\ud800" <= character <= "\udfff" for character in given):
                raise UserError(f"{given[:SHOWN]!r} is no text: a constraint is made of whole characters, in UTF-8.")
        forms = [f"--{name}" for name in ("regex", "json_schema", "grammar") if getattr(self, name) is not None]
        if len(forms) > 1:
            raise UserError(f"{' and '.join(forms)} do not go together: say it all in one of them.")
        if self.constrained and self.stop:
            what = forms[0] if forms else "--must_contain"
            raise UserError(f"a text that ends before stop={self.stop[0]!r} would not match: say the end in {what} instead.")
        if self.constrained and self.num_tokens > MAX_CHARS:
            raise UserError(f"num_tokens={self.num_tokens} is too long for a constraint: {MAX_CHARS} is the most.")
        if self.constrained and self.max_copy:
            what = forms[0] if forms else "--must_contain"
            raise UserError(
                f"--max_copy {self.max_copy} and {what} do not go together: what has to match may have to be copied."
            )

    @property
    def constrained(self) -> bool:
        """Is more asked than one can see from a single character?"""
        return bool(self.must_contain) or any(x is not None for x in (self.regex, self.json_schema, self.grammar))

    def characters(self, vocabulary: Vocabulary) -> Bool[np.ndarray, "V"] | None:
        """Which characters may be written at all (V,); None when each may.

        Raises `UserError` when none may, and for a byte vocabulary when bytes cannot say it.
        """
        if self.charset is None and not self.exclude:
            return None
        if vocabulary.kind == "byte" and not f"{self.charset or ''}{self.exclude}".isascii():
            raise UserError(
                "this model writes bytes: --charset and --exclude take ASCII characters only; --regex can name others."
            )
        points = np.arange(256) if vocabulary.kind == "byte" else code_points(vocabulary.characters)
        only = np.ones(len(points), bool) if self.charset is None else np.isin(points, code_points(self.charset))
        only &= ~np.isin(points, code_points(self.exclude))
        if not only.any():
            cause = f"exclude={self.exclude[:SHOWN]!r}" if self.charset is None else f"charset={self.charset[:SHOWN]!r}"
            raise UserError(f"{cause} leaves no character of this model's vocabulary to write.")
        return only
