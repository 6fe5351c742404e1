"""Score: what each character of a text costs a model, line by line, in bounded memory.

    ids ──passes──▶ bits of each character ──cut at line breaks──▶ Line, Line, …

A line break belongs to the line that it ends. The text's first character has nothing before it, and costs nothing here, as in
`evaluate`: the mean over all others is evaluate's, by the same protocol.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from letterwise.counts import Counts
from letterwise.data.vocabulary import Vocabulary
from letterwise.errors import finite
from letterwise.evaluation.passes import Pass, passes
from letterwise.loss import bits, each_nats
from letterwise.model import Transformer

LIKELIEST = 5  # alternatives that are told of each character
LONGEST = 2**16  # characters: a longer line is cut, so that memory stays bounded


@dataclass(frozen=True)
class Characters:
    """n characters of a text, in its order; where they are scored closely, with A = 5 alternatives, the likeliest first."""

    ids: np.ndarray  # (n,)
    bits: np.ndarray  # (n,) float64: surprise, -log₂ of the probability
    ranks: np.ndarray  # (n,): 1 for the likeliest of all; 0: not known
    likeliest: np.ndarray  # (n, A) ids
    probabilities: np.ndarray  # (n, A) theirs

    def __len__(self) -> int:
        return len(self.ids)

    def cut(self, first: int, last: int) -> "Characters":
        """A part of them."""
        return Characters(*(part[first:last] for part in self._parts()))

    def __add__(self, other: "Characters") -> "Characters":
        return Characters(*map(np.concatenate, zip(self._parts(), other._parts(), strict=True)))

    def _parts(self) -> tuple[np.ndarray, ...]:
        return self.ids, self.bits, self.ranks, self.likeliest, self.probabilities


def barely(ids: np.ndarray, bits: np.ndarray, alternatives: int = 0) -> Characters:
    """Characters of which no more is known; with so many empty places for alternatives."""
    nothing = np.zeros((len(ids), alternatives))
    return Characters(ids, bits, np.zeros(len(ids), np.int64), nothing.astype(np.int64), nothing)


@dataclass(frozen=True)
class Line:
    """A line of a text, with its line break if it has one."""

    number: int  # from 1
    start: int  # its first character's place in the text, from 0
    text: str
    characters: Characters
    predicted: int  # how many of them were: all, but for the text's first (a model of lines predicts that, too)

    @property
    def bits(self) -> float:
        """What it costs."""
        return float(self.characters.bits.sum())

    @property
    def bits_per_char(self) -> float:
        """What a character of it costs, on average; 0 where none was predicted."""
        return self.bits / max(1, self.predicted)


def score(
    model: Transformer,
    ids: np.ndarray,
    *,
    counts: Counts | None = None,
    line_break: int | None = None,
    protocol: str = "blocks",
    closely: bool = False,
) -> Iterator[Characters]:
    """What each of `ids` (N,) costs, a batch of windows at a time; `closely` also tells ranks and the likeliest alternatives.

    For a model of lines, `ids` begin with `line_break`, which is none of the text's: its first character is predicted, too.

    Raises `UserError` when there is nothing to predict, or the protocol is not known.
    """
    first = line_break is None
    for some in passes(model, ids, counts=counts, line_break=line_break, protocol=protocol):
        scored = _scored(some, closely)
        yield barely(ids[:1], np.zeros(1), scored.likeliest.shape[1]) + scored if first else scored
        first = False


def lines(scored: Iterable[Characters], vocabulary: Vocabulary, *, first_predicted: bool = False) -> Iterator[Line]:
    """The lines of a scored text, as soon as each is whole. A byte vocabulary's lines are spelled as far as they are UTF-8.

    Was the text's first character predicted, too?
    """
    number, start, held = 0, 0, None
    for some in scored:
        held = some if held is None else held + some
        begin = 0
        ends = (np.flatnonzero(held.ids == vocabulary.line_break) + 1).tolist()
        for end in ends if ends or len(held) < LONGEST else [LONGEST]:
            number += 1
            yield _line(number, start, held.cut(begin, end), vocabulary, first_predicted)
            start, begin = start + end - begin, end
        held = held.cut(begin, len(held))
    if held is not None and len(held):
        yield _line(number + 1, start, held, vocabulary, first_predicted)


def _line(number: int, start: int, characters: Characters, vocabulary: Vocabulary, first_predicted: bool) -> Line:
    predicted = len(characters) - (start == 0 and not first_predicted)
    return Line(number, start, vocabulary.decode(characters.ids), characters, predicted)


def _scored(some: Pass, closely: bool) -> Characters:
    surprise = each_nats(some.logits, some.targets).double().cpu().numpy() * bits(1.0)
    finite(float(surprise.sum()))
    ids, logits = some.targets.cpu().numpy(), some.logits
    if not closely:
        return barely(ids, surprise)
    ranks = 1 + (logits > logits.gather(1, some.targets[:, None])).sum(-1)
    probabilities, likeliest = logits.float().softmax(-1).topk(min(LIKELIEST, logits.size(1)))
    return Characters(ids, surprise, *(part.cpu().numpy() for part in (ranks, likeliest, probabilities)))
