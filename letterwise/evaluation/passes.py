"""Passes: a model over a text, window by window, by a stated protocol.

    ids ──sweep──▶ windows ──TextModel──▶ logits (n V) of the targets, in the order of the text
blocks    windows of block_size side by side; a window's first character has no context (nanoGPT's, made deterministic)
eighth    windows overlap by an eighth; a character is scored with at least an eighth of a context before it
sliding   windows overlap by half; a character is scored where it sees most, with at least half a context before it
          (which is just what `Sequence` sees when it writes on past a full context)

For a model of lines each line is a text of its own: its first window begins with the line break before it.

All three predict every character but the text's first exactly once, in float32, in batches whose size depends on the model
alone: the same model and text give the same figures, whoever asks. Windows bound what the transformer sees; counts, for a
model that has them, always know the last few characters of the text, as they do when it writes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from letterwise.checkpoint.text_model import TextModel
from letterwise.data.batches import NO_TARGET, sweep
from letterwise.data.vocabulary import require_ids
from letterwise.errors import UserError
from letterwise.shapes import Float, Int

OVERLAPS = {"blocks": 0, "eighth": 1 / 8, "sliding": 1 / 2}  # of the context
PROTOCOLS = (*OVERLAPS,)
NUMBERS_IN_FLIGHT = {"cpu": 2**20}  # widest activation of a batch: on a CPU, small enough to stay in cache
DEFAULT_IN_FLIGHT = 2**26


@dataclass(frozen=True)
class Pass:
    """Some windows' targets, one after another: scores, what really followed, and how many of them each window has."""

    logits: Float[Tensor, "n V"]
    targets: Int[Tensor, "n"]
    log_prior: Float[Tensor, "n V"] | None  # what counting alone says, where the model has counts
    lengths: list[int]


def passes(model: TextModel, ids: np.ndarray, *, protocol: str = "blocks", every: int = 1, start: int = 0) -> Iterator[Pass]:
    """The windows of `ids` (N,), or each `every`-th of them. For a model of lines, the first of `ids` is its line break.

    The first begins at `start`: what is before it is known to counts only.

    Leaves the model's mode and all randomness as they were. Raises `UserError` when there is nothing to predict, or the
    protocol is not known.
    """
    if len(ids) - start < 2:
        raise UserError(f"a text of {len(ids) - start} characters has nothing to predict: it takes 2 or more.")
    block_size, transformer, device = model.block_size, model.transformer, model.device
    overlap = overlap_of(protocol, block_size)
    require_ids(ids, transformer.vocab_size)
    widest = block_size * max(transformer.vocab_size, transformer.config.hidden)
    batch = max(1, NUMBERS_IN_FLIGHT.get(device.type, DEFAULT_IN_FLIGHT) // widest)
    was_training = transformer.training
    transformer.eval()
    try:
        for together in sweep(ids[start:], block_size, batch, overlap=overlap, every=every, line_break=model.line_break):
            made = []
            for starts, inputs, targets in together:
                x, y = torch.from_numpy(inputs).to(device), torch.from_numpy(targets).to(device)
                asked, log_prior = y != NO_TARGET, model.log_prior(ids, start + starts, x.size(1))
                with torch.inference_mode():
                    states = transformer.states(x, log_prior=log_prior)[asked]
                    log_prior = None if log_prior is None else log_prior[asked]
                    logits = transformer.scores(states[None], None if log_prior is None else log_prior[None])[0]
                alone = None if log_prior is None else log_prior[:, -1, :-1]
                made.append(Pass(logits, y[asked], alone, asked.sum(-1).tolist()))
            yield in_order(made, np.concatenate([windows.starts for windows in together]))
    finally:
        transformer.train(was_training)


def overlap_of(protocol: str, block_size: int) -> int:
    """By how many characters windows overlap. Raises `UserError` when the protocol is not known."""
    if protocol not in PROTOCOLS:
        raise UserError(f"protocol {protocol!r} is not known: it is one of {', '.join(PROTOCOLS)}.")
    return int(block_size * OVERLAPS[protocol])


def in_order(made: list[Pass], starts: np.ndarray) -> Pass:
    """Several passes as one, their windows in the order of their `starts`."""
    if len(made) == 1 and (np.diff(starts) > 0).all():
        return made[0]
    lengths, order = [length for some in made for length in some.lengths], np.argsort(starts).tolist()

    def joined(parts: list[Tensor]) -> Tensor:
        windows = torch.cat(parts).split(lengths)
        return torch.cat([windows[i] for i in order])

    priors = [some.log_prior for some in made if some.log_prior is not None]
    return Pass(
        joined([some.logits for some in made]),
        joined([some.targets for some in made]),
        joined(priors) if priors else None,
        [lengths[i] for i in order],
    )
