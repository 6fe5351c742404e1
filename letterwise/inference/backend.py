"""Backend: a model that reads and draws, as the engine sees it. One is compiled for CPUs, one is PyTorch's (any device).

tokens (row, position, id) ──read──▶ logits (V,) of what follows        draws ──draw──▶ ids of some characters a row
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from letterwise.config import ModelConfig
from letterwise.inference.constraints.cache import Compile
from letterwise.inference.constraints.dfa_guide import DFAGuide
from letterwise.inference.constraints.language.dfa import END, NO_DFA, draw_under_dfa
from letterwise.inference.sampling.filters import Room, biased
from letterwise.inference.sampling.sampler import SamplerState
from letterwise.shapes import Bool, Float, Int

CHUNK = 64  # characters that a cache reads at a time


class Draw(NamedTuple):
    """What a row asks for: n characters, by its sampler and as its guide allows, the next one to stand at `position`.

    `id` is read there before, if the row has not read its last character.
    """

    row: int
    position: int
    id: int
    n: int
    state: SamplerState
    guide: DFAGuide | None


@runtime_checkable
class Cache(Protocol):
    """What a model keeps of the texts in some rows: `CompiledCache`, `TorchCache`, `EnsembleCache`."""

    tokens_at_once: int  # how many `read` takes
    rows_at_once: int  # how many rows `draw` is best asked for, when they draw several characters each

    def begin(self, row: int, before: Sequence[int]) -> None:
        """A window begins at position 0, with `before` before it, which only counts see."""
        ...

    def read(self, tokens: Int[np.ndarray, "N 3"], wanted: Int[np.ndarray, "W"], logits: Float[np.ndarray, "n V"]) -> None:
        """Read at most `tokens_at_once` tokens, each (row, position, id), a row's behind each other and in their order.

        For the `wanted` ones, `logits[row]` is what follows.
        """
        ...

    def at_once(self, rows: int) -> int:
        """How many characters `draw` may be asked for in so many rows before it is time to look around."""
        ...

    def draw(
        self, draws: Sequence[Draw], logits: Float[np.ndarray, "n V"], unread: bool
    ) -> tuple[Int[np.ndarray, "R n"], Bool[np.ndarray, "R n"]]:
        """Draw characters for some rows, those with the most first, and read all but the last of each.

        Gives the ids, -1 for scores that are NaN and `END` from the end of a text on, and for which a random number was used.
        If `unread`, each row first reads its `id`, else `logits` are what comes next.
        """
        ...

    def copy(self, row: int, other: Any, other_row: int) -> None:
        """A row goes on from where a row of another cache of this model is."""
        ...


@runtime_checkable
class Backend(Protocol):
    """A model that reads: `CompiledBackend` on a CPU, `TorchBackend` anywhere, `EnsembleBackend` over others."""

    config: ModelConfig
    networks: tuple[ModelConfig, ...]  # all that read: one, or an ensemble's
    vocab_size: int
    constraints: Compile  # keeps those that were compiled for this model
    line_break: int | None  # a model of lines knows nothing of what came before this id; None: it is none

    def cache(self, rows: int) -> Cache:
        """Room for so many texts."""
        ...


def draw_each(
    draws: Sequence[Draw], logits: Float[np.ndarray, "n V"], room: Room
) -> tuple[Int[np.ndarray, "R 1"], Bool[np.ndarray, "R 1"]]:
    """A character for each row, where each draws one: what `Cache.draw` gives."""
    ids, used = np.full((len(draws), 1), END), np.zeros((len(draws), 1), bool)
    for i, draw in enumerate(draws):
        guide, (uniform,) = draw.guide, draw.state.uniforms(1)
        under = (guide.dfa, guide.state, guide.left) if guide else (NO_DFA, 0, 0)
        scores = scores_of(logits[draw.row], draw.state.bias)
        ids[i], used[i] = draw_under_dfa(scores, *under, draw.state.sampler.filters, uniform, room)
    return ids, used


def scores_of(logits: Float[np.ndarray, "V"], bias: Float[np.ndarray, "V"]) -> Float[np.ndarray, "V"]:
    """Scores (V,) to choose by."""
    scores = np.empty_like(logits)
    biased(logits, bias, scores)
    return scores
