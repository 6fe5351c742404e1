"""Teacher: a model whose predictions another one learns, beside the characters that really follow.

windows of the text ──its transformer, and cross-fitted counts──▶ probabilities (B T V) ──soft targets──▶ the student's loss

What it predicts of text that its counts have counted would be far too sure. So for its own text the counts are cross-fitted, as
when it learned itself: each passage is predicted from all others. Its transformer may know that text by heart, too: then it
teaches by what it writes (written.py).
"""

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from letterwise.checkpoint import ModelFile
from letterwise.checkpoint.text_model import TextModel, text_model
from letterwise.checkpoint.texts import own_text
from letterwise.data.token_stream import TokenStream
from letterwise.distributed.world import World
from letterwise.errors import UserError, quoted
from letterwise.ngrams import kept
from letterwise.ngrams.adapt import texts
from letterwise.ngrams.passage_fit import TrainingPrior
from letterwise.progress import Note
from letterwise.shapes import Float, Int
from letterwise.training.finetune.base import Base, open_base
from letterwise.training.loading.pieces import LookUp
from letterwise.training.loading.shared_counts import fitted_once

PASSAGES, PASSAGE = 32, 64  # that say whether a text has been learned, and how many characters each has
SEARCHED = 2**24  # characters at a time


@dataclass(frozen=True)
class Teacher:
    """Of the text `ids` (N,). `crossfitted` is what its counts say of its own; None for another, or where it has no counts.

    Of what it wrote, `predicted` (N, V) may be known: the probabilities of what follows each character (predictions.py).
    """

    base: Base
    model: TextModel
    ids: np.ndarray
    crossfitted: TrainingPrior | None
    predicted: np.ndarray | None = None

    @cached_property
    def look_up(self) -> LookUp | None:
        """What its counts say in windows of the text, or what it predicts there, where that is known; None without either."""
        if self.predicted is not None:
            return LookUp(self._predicted_at, self.predicted.shape[1])
        prior, counts = self.model.transformer.prior, self.model.counts
        if not prior or counts is None:
            return None
        own = self.crossfitted.log_probs_at if self.crossfitted else partial(counts.log_probs_at, self.ids)
        return LookUp(partial(own, orders=prior.orders), prior.orders * counts.vocab_size)

    @torch.no_grad()
    def probabilities(self, inputs: Int[Tensor, "B T"], looked_up: Tensor | None) -> Float[Tensor, "B T V"]:
        """Of each next character, in windows that hold `inputs`, of which `look_up` says `looked_up`."""
        if self.predicted is not None:
            assert looked_up is not None
            return looked_up
        return self.model.transformer(inputs, log_prior=looked_up).float().softmax(-1)

    def _predicted_at(self, starts: np.ndarray, length: int) -> np.ndarray:
        """What it predicts in windows of its text, (B, T, V). Behind the text's end, where nothing is asked, the same again."""
        assert self.predicted is not None
        places = np.minimum(starts[:, None] + np.arange(length), len(self.predicted) - 1)
        return self.predicted[places].astype(np.float32)


def taught(flags: dict[str, Any]) -> tuple[Base | None, dict[str, Any]]:
    """The teacher that was asked for, if any, and what was asked with its defaults: its context, and its kind of text.

    Raises `UserError` where something else was asked for that it cannot do, or a base model beside it.
    """
    if not flags.get("teacher"):
        return None, flags
    if flags.get("init_from"):
        raise UserError(f"--teacher {quoted(flags['teacher'])} and --init_from: a run has one model to go by, give one.")
    teacher = open_base(flags["teacher"])
    config = teacher.file.config
    context = flags.get("block_size")
    if isinstance(context, int) and context > config.model.block_size:
        raise UserError(
            f"the teacher reads {config.model.block_size} characters at once: lower --block_size {context} to that."
        )
    own = {"block_size": config.model.block_size, "vocab": config.data.vocab, "lines": config.data.lines}
    for name in ("vocab", "lines"):
        if name in flags and flags[name] != own[name]:
            raise UserError(f"the teacher {teacher.path!r} has {name}={quoted(own[name])}: leave out --{name}.")
    return teacher, own | flags


def teacher_for(
    base: Base, stream: TokenStream, device: torch.device, world: World, note: Note, *, writes: bool = False
) -> Teacher:
    """A teacher for a text, its counts made by one process of each machine; of one that `writes`, for what it will write.

    Raises `UserError` where the text has characters that the teacher does not know.
    """
    file = base.file
    if stream.vocabulary != file.vocabulary:
        new = sorted(set(stream.vocabulary.characters) - set(file.vocabulary.characters))
        raise UserError(f"the teacher {base.path!r} does not know {quoted(''.join(new[:12]))}: train without these characters.")
    crossfitted = None
    learned = world.first_then_others(lambda: learned_text(file, note))
    if is_in(stream.part("val"), learned, stream.line_break):
        note("the teacher has learned text that this run is validated on: figures of new text would be worse.")
    if file.counts and not writes and is_in(stream.part("train"), learned, stream.line_break):
        *before, _ = texts(file.counts)
        training, order = file.config.training, file.config.model.counts_order
        folds, chars = training.counts_folds, training.counts_chars
        contexts = file.config.model.has_contexts(len(stream.vocabulary))
        fit = partial(kept.fitted, stream, order, folds=folds, max_chars=chars, before=before, contexts=contexts)
        crossfitted = fitted_once(fit, stream.part("train"), world)
    return Teacher(base, text_model(file, device), stream.part("train"), crossfitted)


def learned_text(file: ModelFile, note: Note) -> np.ndarray:
    """The ids (N,) that a model learned; none, where nobody can tell any more, and a note says so."""
    if file.imported:
        return np.zeros(0, np.int64)
    try:
        return own_text(file, note, missing="it is taken for one that has not seen this run's text.").part("train")
    except UserError as error:
        note(f"the teacher: {error}")
        return np.zeros(0, np.int64)


def is_in(ids: np.ndarray, text: np.ndarray, line_break: int | None) -> bool:
    """Whether most of some passages, all over `ids` (n,), stand in `text` (N,), however that is called, cut, and put together
    with others. Of lines, passages are whole ones.
    """
    starts = np.linspace(0, max(0, len(ids) - PASSAGE), PASSAGES).astype(np.int64)
    ends = np.minimum(starts + PASSAGE, len(ids))
    if line_break is not None and len(breaks := np.flatnonzero(ids == line_break)) > 1:
        which = np.linspace(0, len(breaks) - 2, PASSAGES).astype(np.int64)
        starts, ends = breaks[which], breaks[which + 1] + 1
    left = [ids[start:end].tobytes() for start, end in zip(starts, ends, strict=True) if end > start]
    most, longest = len(left) / 2, int((ends - starts).max())
    for start in range(0, len(text), SEARCHED):
        searched = text[start : start + SEARCHED + longest].astype(ids.dtype).tobytes()
        left = [passage for passage in left if passage not in searched]
        if len(left) < most:
            return True
    return False
