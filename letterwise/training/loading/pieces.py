"""Pieces: what a process learns from in a step, a batch at a time, with what counts say of it.

Source(batches, counts) ──(seed, step)──▶ windows of a step ──this process's rows──▶ Piece, Piece, …
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from letterwise.data.batches import NO_TARGET, Batches, LineBatches, Windows
from letterwise.distributed.world import World

NUMBERS_AT_ONCE = 2**26  # log-probabilities that are looked up between two looks for a signal
Check = Callable[[], None]  # may raise to give up


class Piece(NamedTuple):
    """A batch: inputs and targets (B, T), ln p of the model's counts (B, T, K, V+1) and what a teacher looked up, or None.

    `share` (), on the CPU, is how much of the step's targets these are: 0 for a batch that does not count. `last` of the step?
    """

    inputs: Tensor
    targets: Tensor
    log_prior: Tensor | None
    looked_up: Tensor | None
    share: Tensor
    last: bool


@dataclass(frozen=True)
class LookUp:
    """What counts say in windows of a text: `log_probs_at(starts, length)`, so many `numbers` for each character."""

    log_probs_at: Callable[[np.ndarray, int], np.ndarray | Tensor]
    numbers: int

    def __call__(self, starts: np.ndarray, length: int, check: Check) -> Tensor:
        """ln p in these windows; `check` is called between some windows and others, as a large vocabulary takes seconds."""
        together = max(1, NUMBERS_AT_ONCE // (length * self.numbers))
        parts = []
        for first in range(0, len(starts), together):
            check()
            parts.append(torch.as_tensor(self.log_probs_at(starts[first : first + together], length)))
        return parts[0] if len(parts) == 1 else torch.cat(parts)


@dataclass(frozen=True)
class Source:
    """Batches of a text, and what counts say of it."""

    batches: Batches | LineBatches
    look_up: LookUp | None


@dataclass(frozen=True)
class Loader:
    """The pieces of each step, from some sources, as many as batches are accumulated; and what a teacher looks up."""

    sources: list[Source]
    accumulated: int
    world: World
    taught: LookUp | None = None

    def pieces(self, step: int, check: Check) -> Iterator[Piece]:
        """This process's pieces of a step. `check` is called now and then."""
        windows = [source.batches.at(step) for source in self.sources]
        chars = sum(int((window.targets != NO_TARGET).sum()) for window in windows)
        pieces = [
            (source, *piece)
            for source, window in zip(self.sources, windows, strict=True)
            for piece in own_pieces(window, self.accumulated, self.world)
        ]
        for i, (source, (begins, *arrays), counts) in enumerate(pieces):
            x, y = (torch.from_numpy(array) for array in arrays)
            yield Piece(
                inputs=x,
                targets=y,
                log_prior=source.look_up(begins, x.shape[1], check) if source.look_up else None,
                looked_up=self.taught(begins, x.shape[1], check) if self.taught else None,
                share=counts * (y != NO_TARGET).sum() / chars,
                last=i == len(pieces) - 1,
            )


def own_pieces(window: Windows, pieces: int, world: World) -> Iterator[tuple[Windows, bool]]:
    """This process's rows of a step, in as many pieces as every process has, and whether they count.

    Where a process has too few rows, it takes one that does not count: all have to take part in each piece.
    """
    own = np.array_split(np.arange(len(window.starts)), world.size)[world.rank]
    for rows in np.array_split(own, -(-pieces // world.size)):
        if len(rows):
            yield Windows(*(part[rows] for part in window)), True
        elif not world.alone:
            yield Windows(*(part[:1] for part in window)), False
