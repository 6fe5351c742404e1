"""Fine-tuning: what a run has beside its own text, when it starts from a model: that model as it was, and its text.

Base, the run's vocabulary ──start──▶ weights and counts to begin with · FineTuning
FineTuning ──at each validation──▶ how well the base's own text is still known        ──replay──▶ batches of that text
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from letterwise.checkpoint import ModelFile
from letterwise.checkpoint.text_model import TextModel, text_model
from letterwise.checkpoint.weights import weights_of
from letterwise.config import Config
from letterwise.data.token_stream import TokenStream
from letterwise.data.vocabulary import Vocabulary
from letterwise.distributed.world import ALONE, World
from letterwise.errors import UserError
from letterwise.evaluation.evaluate import evaluate
from letterwise.inference.constraints.limits import Limits
from letterwise.inference.generate import generate
from letterwise.inference.sampling.sampler import Sampler
from letterwise.inference.torch_backend import TorchBackend
from letterwise.ngrams import Counts
from letterwise.ngrams.adapt import texts
from letterwise.ngrams.passage_fit import TrainingPrior, fit_text, fitted_contexts
from letterwise.progress import Note
from letterwise.runtime.process import one_thread
from letterwise.training.finetune.base import Base
from letterwise.training.finetune.new_characters import quieten
from letterwise.training.loading.shared_counts import fitted_once

OLD_CHARS = 20_000  # of the base's validation text that are scored each time
WRITTEN_CHARS = 1_000  # by the base model itself, to fit the rows of new characters on


@dataclass(frozen=True)
class FineTuning:
    """`start` is the base model over the run's vocabulary; `old` its own text in those ids, if it is still there."""

    base: Base
    start: ModelFile
    old: TokenStream | None

    @cached_property
    def untouched(self) -> TextModel:
        """The base model as it was, over the run's vocabulary."""
        return text_model(self.start)

    @property
    def old_held_out(self) -> np.ndarray:
        """The validation part of the base's own text; empty where there is none."""
        return self.old.part("val") if self.old else np.zeros(0, self.start.vocabulary.dtype)

    def old_nats(self, model: TextModel, between: Callable[[], None] = lambda: None, world: World = ALONE) -> float | None:
        """Nats per character of the base's validation text, or of a part of it, spread evenly; None where it is gone.

        `between` is called now and then, and may raise to give up. The processes of a `world` score some windows each.
        """
        if len(self.old_held_out) < 2:
            return None
        every = -(-len(self.old_held_out) // OLD_CHARS)
        return evaluate(model, self.old_held_out, every=every, between=between, world=world).nats_per_char

    @cached_property
    def old_nats_before(self) -> float | None:
        """The same, by the base model as it was."""
        return self.old_nats(self.untouched)

    def replayed(self, config: Config, counts: Counts | None, world: World) -> TrainingPrior | None:
        """What the run's `counts` say of the base's own text while it is learned again, made by one process of each machine."""
        if self.old is None or self.start.counts is None or counts is None:
            return None
        order, (*before, _), training = config.model.counts_order, texts(self.start.counts), config.training
        text, folds, chars = self.old.part("train"), training.counts_folds, training.counts_chars
        size, line_break, after = len(self.start.vocabulary), self.old.line_break, texts(counts)[-1:]

        def fit() -> TrainingPrior:
            found = fit_text(text, size, order, folds=folds, max_chars=chars, line_break=line_break, before=before, after=after)
            if not counts.contexts:
                return found
            return fitted_contexts(found, counts.contexts.alphabet, folds=folds, chars=chars, after=len(after))

        return fitted_once(fit, text, world)


def start(base: Base, vocabulary: Vocabulary, note: Note, *, replay: float = 0.0) -> FineTuning:
    """The base model over the run's vocabulary, characters that are new to it ready to be learned, and its own text.

    Raises `UserError` where some of that text is to be replayed, and it is gone.
    """
    file, old = base.grown(vocabulary), base.own_text(note)
    if replay and not old:
        raise UserError(f"--replay {replay:g} learns the base model's own text again, which is not there: leave it out.")
    new = np.setdiff1d(np.arange(len(vocabulary)), base.ids_in(vocabulary, np.arange(len(base.file.vocabulary))))
    if len(new):
        model = text_model(file)
        transformer = model.lone_transformer("fine-tuning")
        with torch.no_grad():
            known = np.setdiff1d(np.arange(len(vocabulary)), new)
            transformer.tokens.weight[new] = transformer.tokens.weight[known].mean(0)
        quieten(model, base.ids_in(vocabulary, written(base)), new)
        file = replace(file, weights=weights_of(transformer))
        note(f"{len(new):,} characters are new to {base.path!r}.")
    if old:
        old = replace(old, ids=base.ids_in(vocabulary, old.ids), vocabulary=vocabulary)
    return FineTuning(base, file, old)


def written(base: Base) -> np.ndarray:
    """Ids of a text by the base model: what it takes for its own text."""
    model, limits = text_model(base.file), Limits(num_tokens=WRITTEN_CHARS)
    backend = TorchBackend(model.lone_transformer("fine-tuning"), model.counts, model.line_break)
    with one_thread():
        (text,) = generate(backend, model.vocabulary, "", sampler=Sampler(), limits=limits).texts()
    return model.vocabulary.encode(text)
