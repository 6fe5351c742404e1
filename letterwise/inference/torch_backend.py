"""PyTorch backend: a model as it stands in letterwise/model, reading with its KV cache on any device.

rows (text, place, id) ──Counts──▶ what counts say ──Transformer──▶ logits (V,) of what follows the rows that are wanted
"""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from letterwise.inference.constraints.language.dfa import DFA, draw_under_dfa
from letterwise.inference.sampling.filters import Filters, biased
from letterwise.model import KVCache, Transformer
from letterwise.ngrams import Counts


class TorchBackend:
    """A model and its counts."""

    def __init__(self, model: Transformer, counts: Counts | None = None, line_break: int | None = None) -> None:
        """`line_break` is for a model of lines."""
        self.model, self.counts, self.line_break = model, counts if model.prior else None, line_break
        self.config, self.vocab_size = model.config, model.vocab_size

    def cache(self, texts: int) -> "TorchCache":
        """Room for so many texts."""
        return TorchCache(self, texts)


class TorchCache:
    """What the model keeps of some texts: a KV cache each, and the last characters for the counts."""

    def __init__(self, model: TorchBackend, texts: int) -> None:
        self.model, self.device = model, next(model.model.parameters()).device
        self.caches = [KVCache(model.config, like=torch.empty(0, device=self.device)) for _ in range(texts)]
        self.before: list[list[int]] = [[] for _ in range(texts)]

    def begin(self, text: int, before: Sequence[int]) -> None:
        """A text begins anew at place 0, with `before` before it, which only counts see."""
        self.before[text] = list(before)
        self.caches[text].truncate(0)

    @torch.inference_mode()
    def read(self, rows: Int[np.ndarray, "R 3"], wanted: Int[np.ndarray, "W"], logits: Float[np.ndarray, "n V"]) -> None:
        """Read rows of (text, place, id), one text's in their order. For the `wanted`, `logits[text]` is what follows."""
        for text, run in groupby(range(len(rows)), key=lambda row: int(rows[row, 0])):
            mine = list(run)
            tokens = rows[mine, 2]
            ids = torch.from_numpy(tokens).to(self.device)[None]
            told = self.model.model(ids, self.caches[text], self._prior(text, tokens))[0, -1]
            if mine[-1] in wanted:
                logits[text] = told.cpu().numpy()

    def write(
        self,
        rows: Int[np.ndarray, "R 3"],
        logits: Float[np.ndarray, "n V"],
        filters: Filters,
        bias: Float[np.ndarray, "R V"],
        uniforms: Float[np.ndarray, "R 1"],
        unread: bool,
        dfa: DFA,
        walks: Int[np.ndarray, "R 2"],
    ) -> tuple[Int[np.ndarray, "R 1"], Bool[np.ndarray, "R 1"]]:
        """Draw a character for each text, as `CompiledCache.write` does."""
        if unread:
            self.read(rows, np.arange(len(rows)), logits)
        found = [
            draw_under_dfa(scores_of(logits[text], added), dfa, state, left, filters, uniform)
            for text, added, (state, left), uniform in zip(rows[:, 0], bias, walks, uniforms[:, 0], strict=True)
        ]
        return np.array([[id] for id, _ in found]), np.array([[drawn] for _, drawn in found])

    def at_once(self, texts: int) -> int:
        """How many characters to write before looking around."""
        return 1

    def _prior(self, text: int, tokens: Int[np.ndarray, "R"]) -> torch.Tensor | None:
        """What counts say after each of `tokens`, (1, R, K, V+1)."""
        model, counts = self.model.model, self.model.counts
        if not counts or not model.prior:
            return None
        seen = np.array([*self.before[text], *tokens.tolist()])
        told = counts.log_probs_at(seen, np.array([len(self.before[text])]), len(tokens), model.prior.orders)
        self.before[text] = seen[max(0, len(seen) - counts.order + 1) :].tolist()
        return torch.from_numpy(told).to(self.device)

    def copy(self, text: int, other: "TorchCache", theirs: int) -> None:
        """Text `text` goes on from where text `theirs` of another memory is."""
        for mine, other_layer in zip(self.caches[text].layers, other.caches[theirs].layers, strict=True):
            mine.held[..., : other_layer.seen, :] = other_layer.held[..., : other_layer.seen, :]
            mine.seen = other_layer.seen
        self.before[text] = list(other.before[theirs])


def scores_of(logits: Float[np.ndarray, "V"], bias: Float[np.ndarray, "V"]) -> Float[np.ndarray, "V"]:
    """Scores (V,) to choose by."""
    scores = np.empty_like(logits)
    biased(logits, bias, scores)
    return scores
