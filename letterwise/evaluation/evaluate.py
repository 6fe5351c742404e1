"""Evaluate: mean surprise over a text, by a stated protocol.

    ids ──sweep──▶ windows ──Transformer──▶ nats of every target ──mean──▶ nats per character
                        └───Counts───▲
blocks    windows of block_size side by side; a window's first character has no context (nanoGPT's, made deterministic)
sliding   windows overlap by half; a character is scored where it sees most, with at least half a context before it
          (which is just what `Predictor` sees when it writes on past a full context)

Both score every character but the text's first exactly once, in float32, in batches whose size depends on the model
alone: the same model and text give the same figure, whoever asks. Windows bound what the transformer sees; counts, for a
model that has them, always know the last few characters of the text, as they do when it writes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from letterwise.counts import Counts
from letterwise.data.batches import sweep
from letterwise.errors import UserError
from letterwise.loss import bits, total_nats
from letterwise.model import Transformer

PROTOCOLS = ("blocks", "sliding")
NUMBERS_IN_FLIGHT = {"cpu": 2**22}  # widest activation of a batch: on a CPU, small enough to stay in cache
MANY_IN_FLIGHT = 2**26


@dataclass(frozen=True)
class Score:
    """A text's mean surprise under a model; and under its counts alone, where it has them."""

    nats_per_char: float
    chars: int
    protocol: str
    context: int
    counting_nats_per_char: float | None = None

    @property
    def bits_per_char(self) -> float:
        """The same in bits."""
        return bits(self.nats_per_char)

    @property
    def counting_bits_per_char(self) -> float | None:
        """What counting alone reaches, in bits."""
        return None if self.counting_nats_per_char is None else bits(self.counting_nats_per_char)


@torch.inference_mode()
def evaluate(
    model: Transformer,
    ids: np.ndarray,
    *,
    counts: Counts | None = None,
    protocol: str = "blocks",
    every: int = 1,
    between: Callable[[], None] = lambda: None,
) -> Score:
    """Score `ids` (N,), or each `every`-th window of them, with the `counts` that the model learned beside.

    `between` is called after each batch, and may raise to give up. Leaves the model's mode and all randomness as they were.
    Raises `UserError` when there is nothing to predict, or the protocol is not known.
    """
    if len(ids) < 2:
        raise UserError(f"a text of {len(ids)} characters has nothing to predict: evaluation needs 2 or more.")
    if protocol not in PROTOCOLS:
        raise UserError(f"protocol {protocol!r} is not known: it is one of {', '.join(PROTOCOLS)}.")
    config, device = model.config, next(model.parameters()).device
    widest = config.block_size * max(model.vocab_size, config.hidden)
    batch = max(1, NUMBERS_IN_FLIGHT.get(device.type, MANY_IN_FLIGHT) // widest)
    overlap = config.block_size // 2 if protocol == "sliding" else 0
    orders = model.prior.orders if model.prior else 0
    was_training, nats, counted, chars = model.training, 0.0, 0.0, 0
    model.eval()
    try:
        for (starts, inputs, targets), skip in sweep(ids, config.block_size, batch, overlap=overlap, every=every):
            x, y = torch.from_numpy(inputs).to(device), torch.from_numpy(targets[:, skip:]).to(device)
            told = torch.from_numpy(counts.before(ids, starts, x.size(1), orders)).to(device) if counts else None
            nats += total_nats(model(x, log_prior=told)[:, skip:], y)
            counted += total_nats(told[:, skip:, -1, :-1], y) if told is not None else 0.0
            chars += y.numel()
            between()
    finally:
        model.train(was_training)
    return Score(nats / chars, chars, protocol, config.block_size, counted / chars if counts else None)
