"""Ensemble: several models that write as one. Each reads with a cache of its own, and their logits are added up.

tokens (row, position, id) ──each member──▶ logits (V,) ──· weight──▶ + ──▶ logits (V,) ──▶ ids that are drawn

They are added up in float32, one member after another: the same bits in any batch, on every processor where the members' are.
"""

from collections.abc import Sequence

import numpy as np

from letterwise.config import ModelConfig
from letterwise.inference.backend import Backend, Draw, draw_each
from letterwise.inference.constraints.cache import constraint_cache
from letterwise.inference.sampling.filters import room_for
from letterwise.shapes import Bool, Float, Int


class EnsembleBackend:
    """Members over one vocabulary, with one context, and the weight of each one's logits."""

    def __init__(self, members: Sequence[Backend], weights: Sequence[float]) -> None:
        self.members, self.weights = members, np.array(weights, np.float32)
        first = next((member for member in members if member.config.counts_order), members[0])
        self.config, self.vocab_size, self.line_break = first.config, first.vocab_size, first.line_break
        self.networks: tuple[ModelConfig, ...] = tuple(member.config for member in members)
        self.constraints = constraint_cache()

    def cache(self, rows: int) -> "EnsembleCache":
        """Room for so many texts."""
        return EnsembleCache(self, rows)


class EnsembleCache:
    """What each member keeps of the texts in some rows. See `backend.Cache`."""

    def __init__(self, backend: EnsembleBackend, rows: int) -> None:
        self.caches, self.weights = [member.cache(rows) for member in backend.members], backend.weights
        self.tokens_at_once = min(cache.tokens_at_once for cache in self.caches)
        self.rows_at_once = min(cache.rows_at_once for cache in self.caches)
        self.logits, self.room = np.zeros((rows, backend.vocab_size), np.float32), room_for(backend.vocab_size)

    def begin(self, row: int, before: Sequence[int]) -> None:
        """A window begins at position 0, with `before` before it, which only counts see."""
        for cache in self.caches:
            cache.begin(row, before)

    def read(self, tokens: Int[np.ndarray, "N 3"], wanted: Int[np.ndarray, "W"], logits: Float[np.ndarray, "n V"]) -> None:
        """Read some tokens, a row's behind each other. For the `wanted` ones, `logits[row]` is what follows."""
        rows = tokens[wanted, 0]
        for n, (cache, weight) in enumerate(zip(self.caches, self.weights, strict=True)):
            cache.read(tokens, wanted, self.logits)
            weighted = weight * self.logits[rows]
            logits[rows] = logits[rows] + weighted if n else weighted

    def at_once(self, rows: int) -> int:
        """How many characters to draw before looking around."""
        return 1

    def draw(
        self, draws: Sequence[Draw], logits: Float[np.ndarray, "n V"], unread: bool
    ) -> tuple[Int[np.ndarray, "R 1"], Bool[np.ndarray, "R 1"]]:
        """Draw a character for each row."""
        if unread:
            tokens = np.array([(draw.row, draw.position, draw.id) for draw in draws])
            self.read(tokens, np.arange(len(draws)), logits)
        return draw_each(draws, logits, self.room)

    def copy(self, row: int, other: "EnsembleCache", other_row: int) -> None:
        """A row goes on from where a row of another cache of this ensemble is."""
        for mine, theirs in zip(self.caches, other.caches, strict=True):
            mine.copy(row, theirs, other_row)
