"""Text model: a transformer, or an ensemble, and all that it reads a text with. They go together wherever a text is scored.

Transformer · Vocabulary · Counts · line break ──▶ TextModel ──encode──▶ ids        ──log_prior──▶ what counts say of them

The transformer is built when it is first asked for: what is scored by compiled code does not load PyTorch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from letterwise.checkpoint.ensemble import no_ensemble
from letterwise.checkpoint.model_file import ModelFile
from letterwise.config import ModelConfig
from letterwise.data.line_ends import plain_ends, reads_plain_ends
from letterwise.data.vocabulary import Unknown, Vocabulary
from letterwise.ngrams import Counts
from letterwise.shapes import Float

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from letterwise.model import Ensemble, Transformer


@dataclass(frozen=True)
class TextModel:
    """`counts` are those that the model learned beside. For a model of lines, `line_break` is the id that each begins after.

    `in_shares`: several processes have a share of the weights each, and compute together.
    """

    config: ModelConfig
    vocabulary: Vocabulary
    build: "Callable[[], Transformer | Ensemble]"
    counts: Counts | None = None
    line_break: int | None = None
    in_shares: bool = False

    @property
    def block_size(self) -> int:
        """How many characters fit the context."""
        return self.config.block_size

    @cached_property
    def transformer(self) -> "Transformer | Ensemble":
        """The PyTorch module."""
        return self.build()

    def lone_transformer(self, purpose: str) -> "Transformer":
        """The same, where only a single model will do. Raises `UserError` for an ensemble; `purpose` as in `no_ensemble`."""
        from letterwise.model import Ensemble

        if isinstance(self.transformer, Ensemble):
            raise no_ensemble(purpose)
        return self.transformer

    @property
    def device(self) -> "torch.device":
        """Where it computes."""
        return next(self.transformer.parameters()).device

    def encode(self, text: str, unknown: Unknown = "score") -> np.ndarray:
        r"""The ids (N,) of a text. By a model of lines, and where \r would be unknown and be scored, \r\n is read as \n."""
        return self.vocabulary.encode(plain_ends(text) if self.reads_plain_ends(unknown) else text, unknown)

    def reads_plain_ends(self, unknown: Unknown) -> bool:
        r"""Is \r\n read as \n?"""
        return reads_plain_ends(self.vocabulary, lines=self.line_break is not None, oov=unknown == "score")

    def log_prior(self, ids: np.ndarray, starts: np.ndarray, length: int) -> 'Float[Tensor, "n T K V+1"] | None':
        """What counts say in windows of `ids` (N,) that begin at `starts` (n,); None where the model has no counts."""
        if self.counts is None or self.transformer.prior is None:
            return None
        import torch

        return torch.from_numpy(self.counts.log_probs_at(ids, starts, length, self.transformer.prior.orders)).to(self.device)


def text_model(file: ModelFile, device: "torch.device | str" = "cpu") -> TextModel:
    """What a model file holds, ready to predict."""

    def build() -> "Transformer | Ensemble":
        from letterwise.checkpoint.weights import restore

        return restore(file, device)

    return TextModel(file.config.model, file.vocabulary, build, file.counts, file.line_break)
