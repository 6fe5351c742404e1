"""Predictor: what comes next, given everything read so far.

    read(ids) ──▶ logits (V,) of the character after them        any chunking gives the same answer

The text may be longer than the context. When the context is full, the predictor starts a new window on the last half of
it, so every prediction sees at least half a context (as evaluation's protocol `sliding` does at that stride). Windows
begin at fixed places of the text, whatever the chunking; re-reading half a window every half window keeps the cost of
a character constant however long the text grows, and serves every kind of position, learned ones included. Counts need only
the last few characters, so they read straight through.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from letterwise.counts import Counts, Reader
from letterwise.inference.single_step import SingleStep
from letterwise.model import KVCache, Transformer


class Predictor:
    """One text being read. Owns the KV cache, the place in the counts, and the policy for a full context."""

    def __init__(self, model: Transformer, counts: Counts | None = None) -> None:
        self.model, self.counts = model, counts
        self.reader = Reader(counts, model.prior.orders) if counts and model.prior else None
        self.block_size = model.config.block_size
        self.kept = self.block_size // 2
        device = next(model.parameters()).device
        self.cache = KVCache(model.config, like=torch.empty(0, device=device))
        self.single_step = SingleStep(model, self.cache) if device.type == "cpu" else None
        self.window: list[int] = []  # the ids the cache holds
        self.priors: list[np.ndarray] = []  # what the counts said after each of them
        self.logits: Float[Tensor, "V"] = torch.zeros(model.vocab_size)  # of nothing read: all alike

    @torch.inference_mode()
    def read(self, ids: Sequence[int] | np.ndarray) -> Float[Tensor, "V"]:
        """Read on, and score what comes next: float32 logits (V,), on the CPU. With nothing to read, the last answer again."""
        ids = [int(i) for i in ids]
        priors = [self.reader.read(i) for i in ids] if self.reader else []
        rolls = self._rolls(len(ids))
        if rolls:  # only the last window matters: skip what it will not hold
            start = rolls * (self.block_size - self.kept)
            ids, priors = (self.window + ids)[start:], (self.priors + priors)[start:]
            self.cache.truncate(0)
            self.window, self.priors = [], []
        if ids:
            self.logits = self._forward(ids, priors)
        return self.logits

    def fork(self) -> "Predictor":
        """Another that has read the same, and reads on by itself."""
        twin = Predictor(self.model, self.counts)
        for theirs, mine in zip(twin.cache.layers, self.cache.layers, strict=True):
            theirs.held[..., : mine.seen, :] = mine.held[..., : mine.seen, :]
            theirs.seen = mine.seen
        if twin.reader and self.reader:
            twin.reader.rows = self.reader.rows  # replaced at each character, never written to
        twin.window, twin.priors, twin.logits = self.window, self.priors, self.logits  # as are these
        return twin

    def _rolls(self, new: int) -> int:
        """How many times the window must move on to take in `new` more characters."""
        over = len(self.window) + new - self.block_size
        return max(0, -(-over // (self.block_size - self.kept)))

    def _forward(self, ids: list[int], priors: list[np.ndarray]) -> Float[Tensor, "V"]:
        self.window, self.priors = self.window + ids, self.priors + priors
        if self.single_step and len(ids) == 1:
            return torch.from_numpy(self.single_step(ids[0], *priors))
        device = next(self.model.parameters()).device
        tokens = torch.tensor([ids], device=device)
        told = torch.from_numpy(np.stack(priors)).to(device)[None] if priors else None
        return self.model(tokens, self.cache, told)[0, -1].cpu()
