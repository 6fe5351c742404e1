"""Score: what each character of a text costs a model, line by line, in bounded memory.

    ids, some at a time ──Scorer──▶ bits of each character ──cut at line breaks──▶ Line, Line, …

A line break belongs to the line that it ends. The text's first character has nothing before it, and costs nothing here, as in
`evaluate`: the mean over all others is evaluate's, by the same protocol. A character that the vocabulary lacks is the oddest
thing there is: it costs `OOV_BITS`, or, where such are skipped, nothing; and the model reads on as if it were not there. Either
way it stays in its line.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from letterwise.checkpoint.text_model import TextModel
from letterwise.data.batches import Cuts, cut
from letterwise.data.vocabulary import CODE_POINTS, Tally, Vocabulary, require_ids
from letterwise.errors import finite
from letterwise.evaluation.protocols import overlap_of
from letterwise.units import bits

if TYPE_CHECKING:
    from letterwise.evaluation.passes import Pass

LIKELIEST = 5  # alternatives that are given for each character
LONGEST = 2**16  # characters: a longer line is cut, so that memory stays bounded
CHUNK = 2**15  # characters of a text that are read at a time
ESCAPE_BITS = math.log2(1e4)  # a character that a model has never seen: one in ten thousand,
OOV_BITS = ESCAPE_BITS + math.log2(CODE_POINTS)  # and then any code point there is
Compiled = Callable[[np.ndarray, Cuts], np.ndarray | None]  # ids (n,) and windows ──▶ nats (n,), if it is compiled by now


@dataclass(frozen=True)
class Characters:
    """n characters of a text, in its order; where they are scored closely, with A = 5 alternatives, the likeliest first."""

    ids: np.ndarray  # (n,) below V; or V + code point of a character that the vocabulary lacks
    bits: np.ndarray  # (n,) float64: surprise, -log₂ of the probability
    ranks: np.ndarray  # (n,): 1 for the likeliest of all; V + 1 for one that the vocabulary lacks; 0: not known, or skipped
    likeliest: np.ndarray  # (n, A) ids
    probabilities: np.ndarray  # (n, A) theirs

    def __len__(self) -> int:
        return len(self.ids)

    def cut(self, first: int, last: int) -> "Characters":
        """A part of them."""
        return Characters(
            self.ids[first:last], self.bits[first:last], self.ranks[first:last], self.likeliest[first:last],
            self.probabilities[first:last],
        )  # fmt: skip

    def parts(self) -> tuple[np.ndarray, ...]:
        """The arrays."""
        return self.ids, self.bits, self.ranks, self.likeliest, self.probabilities


def bits_only(ids: np.ndarray, bits: np.ndarray, alternatives: int = 0) -> Characters:
    """Characters of which no more is known; with so many empty places for alternatives."""
    nothing = np.zeros((len(ids), alternatives))
    return Characters(ids, bits, np.zeros(len(ids), np.int64), nothing.astype(np.int64), nothing)


@dataclass(frozen=True)
class Line:
    """A line of a text, with its line break if it has one."""

    number: int  # from 1
    start: int  # its first character's place in the text, from 0
    text: str
    bits: float  # what it costs
    predicted: int  # how many characters were: all but skipped ones and the text's first (a model of lines predicts that, too)
    characters: Characters  # none, where only their sum is kept

    @property
    def bits_per_char(self) -> float:
        """What a character of it costs, on average; 0 where none was predicted."""
        return self.bits / max(1, self.predicted)


class ScoredText(Iterator[Line]):
    """The lines of a text, each when it is asked for; `tally` tells how many characters were skipped so far."""

    def __init__(self, lines: Iterator[Line], tally: Tally) -> None:
        self.lines, self.tally = lines, tally

    def __next__(self) -> Line:
        return next(self.lines)


class Scorer:
    """A text that comes in pieces, each scored as soon as it is there: what has come at once is read in batches.

    Windows begin where `passes` begins them in the text as a whole, so pieces make no difference but the noise of float32. What
    is kept between them is one window, and what counts see before it.
    """

    def __init__(
        self,
        model: TextModel,
        *,
        protocol: str = "blocks",
        closely: bool = False,
        skips: bool = False,
        before: Sequence[int] | None = None,
        compiled: Compiled | None = None,
    ) -> None:
        """`before` stands before the text and costs nothing (None: nothing; for a model of lines, its line break).

        `closely` also gives ranks and the likeliest alternatives; if it `skips`, what the vocabulary lacks costs nothing.
        `compiled` is the same model, faster, for all that is not to be scored closely.

        Raises `UserError` when the protocol is not known.
        """
        self.model, self.protocol, self.closely, self.skips = model, protocol, closely, skips
        self.compiled = None if closely else compiled
        self.overlap, self.vocab_size = overlap_of(protocol, model.block_size), len(model.vocabulary)
        self.reach = model.config.counts_reach
        if before is None:
            before = () if model.line_break is None else (model.line_break,)
        self.before, self.start = np.array(before, np.int64), 0  # the last ids; where a window begins among them
        self.place = 0  # of that window in the text, or in its line

    def read(self, ids: np.ndarray) -> Characters:
        """What each of `ids` (n,) costs, also of those that the vocabulary lacks (V + their code point)."""
        ids = ids.astype(np.int64)
        oov = ids >= self.vocab_size
        scored = self._known(ids[~oov] if oov.any() else ids)
        return with_oov(ids, oov, scored, self.vocab_size, skipped=self.skips) if oov.any() else scored

    def _known(self, ids: np.ndarray) -> Characters:
        """What comes of ids that the model knows, behind those that it has read."""
        alternatives = min(LIKELIEST, self.vocab_size) if self.closely else 0
        parts = [bits_only(ids[:0], np.zeros(0), alternatives)]
        if not len(ids):
            return parts[0]
        if not len(self.before):  # nothing predicts the text's first character
            parts.append(bits_only(ids[:1], np.zeros(1), alternatives))
        text = np.concatenate((self.before, ids))
        if len(text) - self.start > 1:
            parts += self._read(text)
        scored = joined(parts)
        self._go_on(text)
        return scored.cut(len(scored) - len(ids), len(scored))  # what the first window holds was scored before

    def _read(self, text: np.ndarray) -> list[Characters]:
        """All characters of the text but its window's first."""
        if self.compiled:
            require_ids(text, self.vocab_size)
            windows = cut(text[self.start :], self.model.block_size, self.overlap, self.model.line_break)
            nats = self.compiled(text, windows._replace(starts=self.start + windows.starts))
            if nats is not None:
                surprise = nats[self.start + 1 :].astype(np.float64) * bits(1.0)
                finite(float(surprise.sum()))
                return [bits_only(text[self.start + 1 :], surprise)]
        from letterwise.evaluation.passes import passes  # it loads PyTorch

        batches = passes(self.model, text, protocol=self.protocol, start=self.start, with_logits=self.closely)
        return [_scored(some) for some in batches]

    def _go_on(self, text: np.ndarray) -> None:
        """Keep of the text so far what the window needs that the next character is scored in."""
        origin = self.start - self.place
        line_break = self.model.line_break
        if line_break is not None and len(breaks := np.flatnonzero(text[self.start :] == line_break)):
            origin = self.start + int(breaks[-1])
        step = self.model.block_size - self.overlap
        self.place = max(0, (len(text) - origin - 1 - self.overlap) // step * step)
        self.start = origin + self.place
        kept = max(0, self.start - self.reach)
        self.before, self.start = text[kept:].copy(), self.start - kept


def score(scorer: Scorer, ids: np.ndarray) -> Iterator[Characters]:
    """What each of `ids` (N,) costs, some at a time: they may lie in a file and be larger than memory."""
    pieces = [slice(start, start + CHUNK) for start in range(0, len(ids), CHUNK)]
    if len(pieces) < 2:
        yield from (scorer.read(ids[piece]) for piece in pieces)
        return
    with ThreadPoolExecutor(1, "letterwise") as pool:  # while one piece is made use of, the next is scored
        running = pool.submit(scorer.read, ids[pieces[0]])
        for piece in pieces[1:]:
            scored = running.result()
            running = pool.submit(scorer.read, ids[piece])
            yield scored
        yield running.result()


def with_oov(ids: np.ndarray, oov: np.ndarray, known: Characters, vocab_size: int, *, skipped: bool) -> Characters:
    """All of `ids` (n,), of which `known` are scored, and the others `oov` to the model: it has read on without them."""

    def whole(part: np.ndarray, otherwise: float) -> np.ndarray:
        values = np.full((len(ids), *part.shape[1:]), otherwise, part.dtype)
        values[~oov] = part
        return values

    bits, rank = (0.0, 0) if skipped else (OOV_BITS, vocab_size + 1)  # all that it knows is likelier
    ranks = whole(known.ranks, rank)
    return Characters(ids, whole(known.bits, bits), ranks, whole(known.likeliest, 0), whole(known.probabilities, 0.0))


def count_oov(ids: np.ndarray, vocab_size: int) -> int:
    """How many of `ids` (N,), which may be larger than memory, are of characters that the vocabulary lacks."""
    return sum(int((ids[start : start + CHUNK] >= vocab_size).sum()) for start in range(0, len(ids), CHUNK))


def lines(
    scored: Iterable[Characters], vocabulary: Vocabulary, *, first_predicted: bool = False, skips: bool = False
) -> Iterator[Line]:
    """The lines of a scored text, as soon as each is whole. A byte vocabulary's lines are spelled as far as they are UTF-8.

    `first_predicted`: the text's first known character was predicted, too, as a model of lines does. `skips`: those that the
    vocabulary lacks were not.
    """
    number, start, held, all_known = 0, 0, None, False
    unpredicted, size = 0 if first_predicted else 1, len(vocabulary)

    def line(begin: int, end: int) -> Line:
        """A line of the text, from what is held of it."""
        nonlocal number, start, unpredicted
        assert held is not None
        characters = held.cut(begin, end)
        known = len(characters) if all_known else int((characters.ids < size).sum())
        without = unpredicted if known else 0
        text, bits = vocabulary.spell(characters.ids), float(characters.bits.sum())
        one = Line(number + 1, start, text, bits, (known if skips else len(characters)) - without, characters)
        number, start, unpredicted = number + 1, start + len(characters), unpredicted - without
        return one

    for some in scored:
        held = joined([held, some]) if held is not None and len(held) else some
        begin, all_known = 0, not len(held) or int(held.ids.max()) < size
        ends = (np.flatnonzero(held.ids == vocabulary.line_end) + 1).tolist()
        for end in ends if ends or len(held) < LONGEST else [LONGEST]:
            yield line(begin, end)
            begin = end
        held = held.cut(begin, len(held))
    if held is not None and len(held):
        yield line(0, len(held))


def joined(parts: Sequence[Characters]) -> Characters:
    """Characters one behind the other."""
    return Characters(*map(np.concatenate, zip(*(part.parts() for part in parts), strict=True)))


def _scored(some: "Pass") -> Characters:
    """What a pass says of its characters, moved to the CPU."""
    surprise = some.nats.double().cpu().numpy() * bits(1.0)
    finite(float(surprise.sum()))
    ids, logits = some.targets.cpu().numpy(), some.logits
    if logits is None:
        return bits_only(ids, surprise)
    ranks = 1 + (logits > logits.gather(1, some.targets[:, None])).sum(-1)
    probabilities, likeliest = logits.float().softmax(-1).topk(min(LIKELIEST, logits.size(1)))
    return Characters(ids, surprise, *(part.cpu().numpy() for part in (ranks, likeliest, probabilities)))
