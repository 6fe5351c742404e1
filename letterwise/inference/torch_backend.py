"""PyTorch backend: a model as it stands in letterwise/model, reading with its KV cache on any device.

rows (text, place, id) ──Counts──▶ what counts say ──Transformer──▶ logits (V,) of what follows the rows that are wanted
"""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from letterwise.inference.backend import Draw
from letterwise.inference.constraints.language.dfa import END, NO_DFA, draw_under_dfa
from letterwise.inference.sampling.filters import biased
from letterwise.model import KVCache, Transformer
from letterwise.ngrams import Counts


class TorchBackend:
    """A model and its counts."""

    def __init__(self, model: Transformer, counts: Counts | None = None, line_break: int | None = None) -> None:
        """`line_break` is for a model of lines."""
        self.model, self.counts, self.line_break = model, counts if model.prior else None, line_break
        self.config, self.vocab_size = model.config, model.vocab_size

    def cache(self, rows: int) -> "TorchCache":
        """Room for so many texts."""
        return TorchCache(self, rows)


class TorchCache:
    """What the model keeps of some texts: a KV cache each, and the last characters for the counts."""

    def __init__(self, model: TorchBackend, rows: int) -> None:
        self.model, self.device = model, next(model.model.parameters()).device
        self.caches = [KVCache(model.config, like=torch.empty(0, device=self.device)) for _ in range(rows)]
        self.before: list[list[int]] = [[] for _ in range(rows)]

    def begin(self, row: int, before: Sequence[int]) -> None:
        """A text begins anew at place 0, with `before` before it, which only counts see."""
        self.before[row] = list(before)
        self.caches[row].truncate(0)

    @torch.inference_mode()
    def read(self, tokens: Int[np.ndarray, "N 3"], wanted: Int[np.ndarray, "W"], logits: Float[np.ndarray, "n V"]) -> None:
        """Read tokens, each (row, place, id), a row's in their order. For the `wanted` ones, `logits[row]` is what follows."""
        for row, run in groupby(range(len(tokens)), key=lambda token: int(tokens[token, 0])):
            mine = list(run)
            ids = tokens[mine, 2]
            after = self.model.model(torch.from_numpy(ids).to(self.device)[None], self.caches[row], self._prior(row, ids))
            if mine[-1] in wanted:
                logits[row] = after[0, -1].cpu().numpy()

    def draw(
        self, draws: Sequence[Draw], logits: Float[np.ndarray, "n V"], unread: bool
    ) -> tuple[Int[np.ndarray, "R 1"], Bool[np.ndarray, "R 1"]]:
        """Draw a character for each row."""
        if unread:
            tokens = np.array([(draw.row, draw.place, draw.id) for draw in draws])
            self.read(tokens, np.arange(len(draws)), logits)
        ids, used = np.full((len(draws), 1), END), np.zeros((len(draws), 1), bool)
        for i, draw in enumerate(draws):
            guide, (uniform,) = draw.guide, draw.state.uniforms(1)
            under = (guide.dfa, guide.state, guide.left) if guide else (NO_DFA, 0, 0)
            scores = scores_of(logits[draw.row], draw.state.bias)
            ids[i], used[i] = draw_under_dfa(scores, *under, draw.state.sampler.filters, uniform)
        return ids, used

    def at_once(self, rows: int) -> int:
        """How many characters to write before looking around."""
        return 1

    def _prior(self, row: int, tokens: Int[np.ndarray, "R"]) -> torch.Tensor | None:
        """What counts say after each of `tokens`, (1, R, K, V+1)."""
        model, counts = self.model.model, self.model.counts
        if not counts or not model.prior:
            return None
        seen = np.array([*self.before[row], *tokens.tolist()])
        log_probs = counts.log_probs_at(seen, np.array([len(self.before[row])]), len(tokens), model.prior.orders)
        self.before[row] = seen[max(0, len(seen) - counts.order + 1) :].tolist()
        return torch.from_numpy(log_probs).to(self.device)

    def copy(self, row: int, other: "TorchCache", theirs: int) -> None:
        """Text `text` goes on from where text `theirs` of another memory is."""
        for mine, other_layer in zip(self.caches[row].layers, other.caches[theirs].layers, strict=True):
            mine.held[..., : other_layer.seen, :] = other_layer.held[..., : other_layer.seen, :]
            mine.seen = other_layer.seen
        self.before[row] = list(other.before[theirs])


def scores_of(logits: Float[np.ndarray, "V"], bias: Float[np.ndarray, "V"]) -> Float[np.ndarray, "V"]:
    """Scores (V,) to choose by."""
    scores = np.empty_like(logits)
    biased(logits, bias, scores)
    return scores
