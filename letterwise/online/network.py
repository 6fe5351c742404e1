"""Network: the transformer, as it learns from the text it reads (dynamic evaluation, Krause et al. 2018).

    read one id ──kernel──▶ logits (V,)
    context full ──▶ one gradient step on the half that was read last ──▶ a new window, read again with the new weights

A window is read again anyway where it begins anew (inference/predictor.py), so new weights cost nothing beyond the step. The
step is RMSprop's (Tieleman & Hinton 2012), without momentum: Adam with β₁ = 0. One thread and fixed shapes: encoder and decoder
take the same step to the last bit.
"""

from collections.abc import Generator
from contextlib import contextmanager

import numba
import numpy as np
import torch
from torch import nn

from letterwise.checkpoint import ModelFile
from letterwise.checkpoint.weights import restore, weights_of
from letterwise.counts import Counts
from letterwise.inference.compiled import Compiled
from letterwise.inference.predictor import Batch
from letterwise.inference.weights import lay_out
from letterwise.loss import cross_entropy
from letterwise.model import Transformer

RATE, SMOOTHING, CLIP = 7e-4, 0.99, 1.0  # of the steps


class Network:
    """One text being read, one character at a time, by weights of its own."""

    def __init__(self, file: ModelFile) -> None:
        self.transformer: Transformer = restore(file)
        self.counts: Counts | None = file.counts
        weights, self.line_break = weights_of(self.transformer), file.line_break
        self.model = Compiled(file.config.model, len(file.vocabulary), weights, file.counts, self.line_break)
        self.batch = Batch(self.model)
        self.optimizer = torch.optim.Adam(self.transformer.parameters(), lr=RATE, betas=(0.0, SMOOTHING))
        self.block_size = file.config.model.block_size
        self.fresh = self.block_size - self.block_size // 2  # characters from one step to the next
        self.reach = max(0, file.config.model.counts_order - 1)  # characters before a window that counts see
        self.recent: list[int] = []  # the window, the character that has to come into the next, and what counts see before

    def probabilities(self) -> np.ndarray:
        """(V,), float64, of what comes next."""
        logits = self.batch.logits[0].astype(np.float64)
        shares = np.exp(logits - logits.max())
        return shares / shares.sum()

    def read(self, id: int) -> None:
        """One more character; where it begins a new window, it is learned from what was read."""
        self.recent.append(id)
        self.batch.new = {0: [id]}
        if self.batch.held[0] < self.block_size:
            self.batch.read()
            return
        with one_thread():
            self._learn()
            self.batch.read()
        del self.recent[: max(0, len(self.recent) - self.block_size - self.reach)]

    def _learn(self) -> None:
        """One step on the last characters that were scored in this window."""
        ids = np.array(self.recent, np.int64)
        start = len(ids) - self.block_size - 1
        tokens = torch.from_numpy(ids[start:])[None]
        orders = self.transformer.prior.orders if self.transformer.prior else 0
        told = torch.from_numpy(self.counts.before(ids, np.array([start]), self.block_size, orders)) if self.counts else None
        self.optimizer.zero_grad()
        with torch.enable_grad():
            logits = self.transformer(tokens[:, :-1], log_prior=told)
            cross_entropy(logits[:, -self.fresh :], tokens[:, -self.fresh :]).backward()
        nn.utils.clip_grad_norm_(self.transformer.parameters(), CLIP)
        self.optimizer.step()
        self.model.numbers = lay_out(self.model.config, self.model.bricks, weights_of(self.transformer))


@contextmanager
def one_thread() -> Generator[None]:
    """PyTorch and the kernel calculate in one thread: PyTorch for the same bits, the kernel because threads of the two would
    wait for each other."""
    before = torch.get_num_threads(), numba.get_num_threads()
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        numba.set_num_threads(before[1])
