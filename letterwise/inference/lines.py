"""Lines: as many as are asked for, each written by itself, and of what was written only what is wanted.

    candidate k (its seed: rng_seed + k) ──▶ whole? not known? not written before? ──▶ a line
                                         └──▶ counted, and dropped

Candidates are written side by side and taken in the order of their numbers: what comes out depends on the seed alone.
"""

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import replace
from typing import Literal

from letterwise.compiling.clock import clock
from letterwise.config.generation import MAX_TOKENS
from letterwise.data.vocabulary import Vocabulary
from letterwise.errors import UserError
from letterwise.inference.constraints.limits import Limits
from letterwise.inference.generate import SIDE_BY_SIDE, Ended, Samples
from letterwise.inference.sampling.sampler import Sampler

BARREN = 1000  # candidates in a row of which none was wanted: there is no sense in going on


def require_lines(n: int, vocabulary: Vocabulary, sampler: Sampler) -> None:
    """Raises `UserError` where a model or a sampler cannot write `n` lines."""
    if not 1 <= n <= MAX_TOKENS:
        raise UserError(f"--lines {n} must be from 1 to {MAX_TOKENS:,}.")
    if vocabulary.line_break is None:
        raise UserError("this model's text had no line break, and it knows no end of a line: train one with --lines.")
    for name in ("greedy", "beam"):
        if n > 1 and name in sampler.given:
            raise UserError(f"--{name} writes one line, always the same: give --lines 1, or leave it out.")


def one_line(limits: Limits) -> tuple[Limits, tuple[Ended, ...]]:
    """What to ask of a text that is to be one line, and what then ends a whole one.

    A line ends with a line break, whatever may be in it otherwise. Under a constraint there is none: the text ends where it is
    whole, and the model would rather end the line.
    """
    within = limits.exclude.replace("\n", "")
    if limits.constrained:
        return replace(limits, exclude=within + "\n"), ("match", "length")
    charset = None if limits.charset is None else limits.charset + "\n"
    one = replace(limits, num_tokens=limits.num_tokens + 1, charset=charset, exclude=within, until_line=True)
    return one, ("line", "stop")


class WrittenLines:
    """Lines, as they are found: iterate over them once.

    Attributes:
        candidates: how many were written so far; of them
        unfinished: had no end within the longest that was asked for, or nothing in them;
        known: are lines that were to be new, and are not;
        repeated: were written before.
        ended: at last "enough"; or "barren", when 1,000 candidates in a row were not wanted; or "time".
    """

    def __init__(
        self,
        write: Callable[[Sequence[int], float], Samples],
        n: int,
        *,
        begin: str = "",
        whole: Container[Ended] = ("line", "stop"),
        unique: bool = False,
        known: Container[str] = (),
        rng_seed: int = 0,
        max_seconds: float,
    ) -> None:
        """`write` gives a candidate for each of some seeds, within some seconds.

        A line is `begin` and a candidate behind it, if that ended in one of the ways that are `whole`.
        """
        self.write, self.n, self.begin, self.whole, self.known_lines = write, n, begin, whole, known
        self.seen: set[str] | None = set() if unique else None
        self.rng_seed, self.until = rng_seed, clock() + max_seconds
        self.candidates = self.unfinished = self.known = self.repeated = self.given = 0
        self.ended: Literal["", "enough", "barren", "time"] = ""
        self.samples = self._next()  # so that whatever cannot be is said at once

    def __iter__(self) -> Iterator[str]:
        barren = 0
        while not self.ended:
            for text, ended in zip(self.samples.texts(), self.samples.ended, strict=True):
                if ended == "time":
                    self.ended = "time"
                    return
                self.candidates += 1
                line = self.begin + text.removesuffix("\n")
                barren = 0 if (wanted := self._wanted(line, ended)) else barren + 1
                if wanted:
                    self.given += 1
                    yield line
                if self.given == self.n or barren == BARREN:
                    self.ended = "enough" if self.given == self.n else "barren"
                    return
            self.samples = self._next()

    def _next(self) -> Samples:
        """More candidates: about as many as lines are wanted, and more when many are dropped."""
        first, some = self.rng_seed + self.candidates, min(SIDE_BY_SIDE, max(self.n - self.given, self.candidates))
        return self.write(range(first, first + some), max(1e-9, self.until - clock()))

    def _wanted(self, line: str, ended: Ended) -> bool:
        """Whether the line is one to give; counts why not."""
        if not line or ended not in self.whole:
            self.unfinished += 1
        elif line in self.known_lines:
            self.known += 1
        elif self.seen is not None and line in self.seen:
            self.repeated += 1
        else:
            if self.seen is not None:
                self.seen.add(line)
            return True
        return False
