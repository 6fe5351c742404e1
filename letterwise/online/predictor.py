"""Predictor: what comes next, by a model that learns from all that came before.

    a network's p (V,), as it learns ──────────┐
    others', and a lone one's, as trained ─────┴─mixing with the text's own past──▶ probabilities (1, V)
         ▲──────────────── read (1,) ids: all but the trained ones learn ───────────────┘

A network that learns forgets, and overreaches: two predictions tell the mixture more than the better one. Of an ensemble each
member's is an input of its own, and one learns: the first without counts, if there is one, since what a text adds to counts the
mixture's contexts know without it (docs/log.md, Compression).

One implementation for `evaluate --protocol online` and `compress --online`: what one scores, the other takes in bits. Primed,
the past begins with another text, which both sides have: the one that the model was trained on.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from letterwise.checkpoint import ModelFile
from letterwise.checkpoint.model_file import Member
from letterwise.errors import finite
from letterwise.inference.cpu.backend import compiled_backend
from letterwise.inference.windows import Windows
from letterwise.online.contexts import shapes_of
from letterwise.online.logistic import softmax
from letterwise.online.mixing import MAX_SLOTS, SLOTS, Past, copied, empty_past, learn, predict, study
from letterwise.online.network import Network
from letterwise.online.tree import Tree, balanced

LEARNED, TRAINED = 0.8, 0.2  # first weights of a lone network's predictions: as it learns, and as it was trained


class Start(NamedTuple):
    """Where a text begins; None for a vocabulary of one character, of which there is nothing to predict."""

    tree: Tree | None
    past: Past | None


def predicting(file: ModelFile) -> tuple[list[Member], int]:
    """The networks that predict, a lone one twice, and which of them learns. Members of weight 0 are left out."""
    networks = [network for network in file.networks if network.weight] or [file.networks[0]]
    if len(networks) == 1:
        return [replace(networks[0], weight=share * networks[0].weight) for share in (LEARNED, TRAINED)], 0
    return networks, next((n for n, network in enumerate(networks) if not network.model.counts_order), 0)


def beginning(file: ModelFile, before: np.ndarray | None = None) -> Start:
    """Without a past, or after the text `before` (N,)."""
    size, weights = len(file.vocabulary), np.array([network.weight for network in predicting(file)[0]])
    if size == 1:
        return Start(None, None)
    common = np.ones(size)
    if file.counts:
        common[file.counts.levels[0].characters] += file.counts.levels[0].counts
    tree, past = balanced(common), empty_past(shapes_of(file.vocabulary), weights, SLOTS if before is None else MAX_SLOTS)
    if before is not None:
        study(tree, past, np.zeros((0, size)), weights, before.astype(np.int64))
    return Start(tree, past)


class Online:
    """One text, from its beginning."""

    def __init__(self, file: ModelFile, begin: Start | None = None) -> None:
        size, (networks, learns) = len(file.vocabulary), predicting(file)
        backends = compiled_backend(networks, size, file.counts, file.line_break).members
        self.network = Network(networks[learns], backends[learns], file.counts)
        self.windows = [self.network.windows if n == learns else Windows(backend) for n, backend in enumerate(backends)]
        self.trained = [windows for windows in self.windows if windows is not self.network.windows]
        for windows in self.trained:
            windows.read()  # a model of lines begins with a line break
        self.probed = file.config.model.block_size + 2  # by then it has learned from a window, and predicted by that
        self.alone, self.mixed = np.ones((len(networks), size)), np.ones(size)  # what the networks say, and all together
        self.tree, past = begin or beginning(file)
        self.past = copied(past) if past and begin else past
        self._predict()

    def probabilities(self) -> np.ndarray:
        """(1, V), float64, of what comes next."""
        return self.mixed[None]

    def read(self, ids: np.ndarray) -> None:
        """The next character (1,): learn from it, and go on."""
        if self.tree and self.past:
            id = int(ids[0])
            learn(self.tree, self.past, self.alone, id)
            self.network.read(id)
            for windows in self.trained:
                windows.pending = {0: [id]}
                windows.read()
            self._predict()

    def _predict(self) -> None:
        if self.tree and self.past:
            for row, windows in zip(self.alone, self.windows, strict=True):
                finite(float(windows.logits[0].max()))
                softmax(windows.logits[0], row)
            predict(self.tree, self.past, self.alone, self.mixed)
