"""Predictor: what comes next, by a model that learns from all that came before.

    network's p (V,), as it learns ─┐
    and as it was trained ──────────┴─mixing with the text's own past──▶ probabilities (1, V)
         ▲──────────────── read (1,) ids: all else learns ───────────┘

A network that learns forgets, and overreaches: two predictions tell the mixture more than the better one.

One implementation for `evaluate --protocol online` and `compress --online`: what one scores, the other takes in bits. Primed,
the past begins with another text, which both sides have: the one that the model was trained on.
"""

from typing import NamedTuple

import numpy as np

from letterwise.checkpoint import ModelFile
from letterwise.inference.cpu.backend import compiled_backend
from letterwise.inference.windows import Windows
from letterwise.online.contexts import shapes_of
from letterwise.online.mixing import MOST_SLOTS, SLOTS, Past, copied, empty_past, learn, predict, study
from letterwise.online.network import Network, probabilities
from letterwise.online.tree import Tree, balanced


class Start(NamedTuple):
    """Where a text begins; None for a vocabulary of one character, of which there is nothing to predict."""

    tree: Tree | None
    past: Past | None


def beginning(file: ModelFile, before: np.ndarray | None = None) -> Start:
    """Without a past, or after the text `before` (N,)."""
    size = len(file.vocabulary)
    if size == 1:
        return Start(None, None)
    common = np.ones(size)
    if file.counts:
        common[file.counts.levels[0].characters] += file.counts.levels[0].counts
    tree, past = balanced(common), empty_past(shapes_of(file.vocabulary), SLOTS if before is None else MOST_SLOTS)
    if before is not None:
        study(tree, past, np.zeros((0, size)), before.astype(np.int64))
    return Start(tree, past)


class Online:
    """One text, from its beginning."""

    def __init__(self, file: ModelFile, begin: Start | None = None) -> None:
        self.network, size = Network(file), len(file.vocabulary)
        self.probed = self.network.block_size + 2  # by then it has learned from a window, and predicted by that
        self.trained = Windows(compiled_backend(file.networks, size, file.counts, file.line_break))
        self.trained.read()  # a model of lines begins with a line break
        self.alone, self.mixed = np.ones((2, size)), np.ones(size)  # what the networks say, and all together
        self.tree, past = begin or beginning(file)
        self.past = copied(past) if past and begin else past
        self._predict()

    def probabilities(self) -> np.ndarray:
        """(1, V), float64, of what comes next."""
        return self.mixed[None]

    def read(self, ids: np.ndarray) -> None:
        """The next character (1,): learn from it, and go on."""
        if self.tree and self.past:
            learn(self.tree, self.past, self.alone, int(ids[0]))
            self.network.read(int(ids[0]))
            self.trained.pending = {0: [int(ids[0])]}
            self.trained.read()
            self._predict()

    def _predict(self) -> None:
        if self.tree and self.past:
            self.alone[:] = self.network.probabilities(), probabilities(self.trained)
            predict(self.tree, self.past, self.alone, self.mixed)
