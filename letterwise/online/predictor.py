"""Predictor: what comes next, by a model that learns from all that came before.

    network's p (V,) ──mixing with the text's own past──▶ probabilities (1, V)
         ▲──────────────── read (1,) ids: all of it learns ───────────┘

One implementation for `evaluate --protocol online` and `compress --online`: what one scores, the other takes in bits.
"""

import numpy as np

from letterwise.checkpoint import ModelFile
from letterwise.online.contexts import shapes_of
from letterwise.online.mixing import empty_past, learn, predict
from letterwise.online.network import Network
from letterwise.online.tree import huffman


class Online:
    """One text, from its beginning."""

    def __init__(self, file: ModelFile) -> None:
        self.network, size = Network(file), len(file.vocabulary)
        self.probed = self.network.block_size + 2  # by then it has learned from a window, and predicted by that
        common = np.ones(size)
        if file.counts:
            common[file.counts.levels[0].characters] += file.counts.levels[0].counts
        self.alone, self.mixed = np.ones(size), np.ones(size)  # the network's alone, and mixed
        self.tree = huffman(common) if size > 1 else None
        self.past = empty_past(shapes_of(file.vocabulary)) if size > 1 else None
        self._predict()

    def probabilities(self) -> np.ndarray:
        """(1, V), float64, of what comes next."""
        return self.mixed[None]

    def read(self, ids: np.ndarray) -> None:
        """The next character (1,): learn from it, and go on."""
        if self.tree and self.past:
            learn(self.tree, self.past, self.alone, int(ids[0]))
            self.network.read(int(ids[0]))
            self._predict()

    def _predict(self) -> None:
        if self.tree and self.past:
            self.alone = self.network.probabilities()
            predict(self.tree, self.past, self.alone, self.mixed)
