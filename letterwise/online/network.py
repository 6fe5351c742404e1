"""Network: a transformer, as it learns from the text it reads (dynamic evaluation, Krause et al. 2018).

    read one id ──kernel──▶ logits (V,)
    as many new ids as a context holds ──▶ one gradient step on them ──▶ a new window, read again with the new weights

A window begins on the last half of a full one (inference/windows.py), so a step comes with every other window. A model of lines
begins a window with each of them: it takes a step at the end of a line, once half a context is new.

A window is read again anyway where it begins anew, so new weights cost nothing beyond the step. The
step is RMSprop's (Tieleman & Hinton 2012), without momentum: Adam with β₁ = 0; then all weights go back a little towards those
that were trained, as they do in dynamic evaluation (Krause et al. 2018). One thread and fixed shapes: encoder and decoder
take the same step to the last bit.
"""

from typing import NamedTuple

import numpy as np
import torch

from letterwise.checkpoint.model_file import Member
from letterwise.checkpoint.weights import restore_one, weights_of
from letterwise.data.batches import NO_TARGET
from letterwise.inference.cpu.backend import CompiledBackend
from letterwise.inference.cpu.layout import pack_weights
from letterwise.inference.windows import Windows
from letterwise.loss import cross_entropy
from letterwise.ngrams import Counts
from letterwise.runtime.process import one_thread

RATE, SMOOTHING, BACK = 4.5e-4, 0.999, 0.008  # of the steps; how much of the way back


class Window(NamedTuple):
    """A window that was read to its end. `ids` are the context of its n-grams, the window, and what followed."""

    ids: np.ndarray
    start: int  # where the window begins in `ids`
    known: int  # so many of its targets were learned from before

    @property
    def targets(self) -> np.ndarray:
        """What followed each of its characters; `NO_TARGET` for what was learned from before."""
        targets = self.ids[self.start + 1 :]
        return np.where(np.arange(len(targets)) < self.known, NO_TARGET, targets)


class Network:
    """One text being read, one character at a time, by weights of its own."""

    def __init__(self, network: Member, model: CompiledBackend, counts: Counts | None) -> None:
        """`model` is `network` as the kernel reads it, whose weights change; `counts` are what it was trained beside."""
        self.transformer, self.model, self.counts = restore_one(network, model.vocab_size), model, counts
        self.windows, self.line_break = Windows(model), model.line_break
        self.optimizer = torch.optim.Adam(self.transformer.parameters(), lr=RATE, betas=(0.0, SMOOTHING), fused=True)
        self.trained = [weight.detach().clone() for weight in self.transformer.parameters()]
        self.block_size = network.model.block_size
        self.reach = network.model.counts_reach  # characters before a window that counts need
        self.windows.read()  # a model of lines begins with a line break
        self.recent = [] if self.line_break is None else [self.line_break]  # the window, and the context of its n-grams
        self.known = 0  # of this window's targets
        self.waiting: list[Window] = []  # to be learned from

    def read(self, id: int) -> None:
        """One more character; where it begins a new window, it is learned from what was read."""
        self.recent.append(id)
        self.windows.pending = {0: [id]}
        held = self.windows.held[0]
        if id == self.line_break or (held == self.block_size and not self.known):
            self.waiting.append(Window(np.array(self.recent, np.int64), len(self.recent) - 1 - held, self.known))
            self.known = 0 if id == self.line_break else self.block_size // 2
        elif held == self.block_size:  # the second half of this window is the next one's first, and learned from with that
            self.known = 0
        if id == self.line_break or held == self.block_size:
            del self.recent[: max(0, len(self.recent) - self.block_size - self.reach)]
            if sum((window.targets != NO_TARGET).sum() for window in self.waiting) >= self.block_size - self.block_size // 2:
                with one_thread():
                    self._learn()
        self.windows.read()

    def _learn(self) -> None:
        """One step on what was read since the last one."""
        longest = max(len(window.targets) for window in self.waiting)
        inputs = np.zeros((len(self.waiting), longest), np.int64)
        targets, log_prior = np.full(inputs.shape, NO_TARGET), None
        for row, window in enumerate(self.waiting):
            size = len(window.targets)
            inputs[row, :size], targets[row, :size] = window.ids[window.start : -1], window.targets
            if self.counts and self.transformer.prior:
                found = self.counts.log_probs_at(window.ids, np.array([window.start]), size, self.transformer.prior.orders)
                prior = torch.from_numpy(found)
                log_prior = torch.zeros(*inputs.shape, *prior.shape[2:]) if log_prior is None else log_prior
                log_prior[row, :size] = prior[0]
        self.waiting = []
        x, y = torch.from_numpy(inputs), torch.from_numpy(targets)
        self.optimizer.zero_grad()
        with torch.enable_grad():
            logits = self.transformer(x, log_prior=log_prior)[y != NO_TARGET]
            cross_entropy(logits[None], y[y != NO_TARGET][None]).backward()
        self.optimizer.step()
        with torch.no_grad():
            for weight, trained in zip(self.transformer.parameters(), self.trained, strict=True):
                weight.lerp_(trained, BACK)
        self.model.weights[:] = pack_weights(self.model.config, self.model.kernel, weights_of(self.transformer))
