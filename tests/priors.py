"""What counting says, for models that learn beside it; None for models that do not."""

import numpy as np
import torch
from torch import Tensor

from letterwise.checkpoint.text_model import TextModel
from letterwise.data.vocabulary import Vocabulary
from letterwise.model import Transformer
from letterwise.ngrams import Counts, count_ngrams
from letterwise.ngrams.contexts import Alphabet, count_contexts


def log_prior(model: Transformer, tokens: Tensor) -> Tensor | None:
    """ln p (B T K V+1) as bigrams might tell it: for each character, rows and an escape out of the blue."""
    if model.prior is None:
        return None
    shape, generator = (model.vocab_size, model.prior.orders), torch.Generator().manual_seed(0)
    rows = torch.randn(*shape, model.vocab_size, generator=generator).log_softmax(-1)
    escapes = 0.1 + 0.9 * torch.rand(*shape, 1, generator=generator)
    return torch.cat((rows, escapes.log()), dim=-1)[tokens]


def counts_for(model: Transformer) -> Counts | None:
    """Counts of 300 characters out of the blue."""
    if model.prior is None:
        return None
    ids, size = np.random.default_rng(0).integers(0, model.vocab_size, 300), model.vocab_size
    counts = counted(ids, size, model.config.counts_order)
    return counts if model.config.has_contexts(size) else counts.with_contexts(None)


def counted(ids: np.ndarray, vocab_size: int, order: int, line_break: int | None = None) -> Counts:
    """Counts of a text, with contexts. The first half of the ids are letters; `line_break` is for a model of lines."""
    codes = np.arange(97, 97 + vocab_size, dtype=np.int32)
    letters = np.where(np.arange(vocab_size) < vocab_size / 2, codes, 0)
    of = Alphabet(
        codes, letters, vocab_size - 1 if line_break is None else line_break, -1 if line_break is None else line_break
    )
    return count_ngrams(ids, vocab_size, order, line_break).with_contexts(count_contexts(ids, vocab_size, of))


def beside(model: Transformer, counts: Counts | None = None, line_break: int | None = None) -> TextModel:
    """A model with counts, and with characters of some vocabulary of its size."""
    vocabulary = Vocabulary("char", "".join(map(chr, range(97, 97 + model.vocab_size))))
    return TextModel(model.config, vocabulary, lambda: model, counts, line_break)
