"""Ahead: what writes and scores on a CPU is compiled before anybody waits for it.

python -m letterwise.inference.cpu.ahead   now, to its end: where a machine, or a container's image, is set up
begin()                                    meanwhile, by a process of its own: when a model has been trained
"""

import numpy as np

from letterwise.checkpoint.model_file import Member
from letterwise.compiling import entry
from letterwise.config.accounting import weight_shapes
from letterwise.config.presets import resolve
from letterwise.data.batches import cut
from letterwise.inference.cpu.backend import CompiledBackend
from letterwise.inference.cpu.scoring import WindowScorer
from letterwise.inference.engine import Sequence
from letterwise.ngrams import count_ngrams


def begin() -> None:
    """Have it compiled, unless it is; where no other process can do that, it is left to whoever writes first."""
    if entry.MEANWHILE:
        entry.AHEAD = True
        try:
            call()
        finally:
            entry.AHEAD = False


def call() -> None:
    """Call all of it, by a model of nothing but counts that reads past its context: in Python that takes some milliseconds."""
    config = resolve({"preset": "counts", "counts_order": 2, "block_size": 4}).model
    weights = {name: np.zeros(shape, np.float32) for name, shape in weight_shapes(config, 2).items()}
    ids = np.array([0, 1, 0, 1])
    counts = count_ngrams(ids, 2, 2)
    Sequence(CompiledBackend(config, 2, weights, counts)).read([0, 1] * 4)
    WindowScorer([Member(config, 1.0, weights)], 2, counts).nats(ids, cut(ids, 4, 0))


if __name__ == "__main__":
    entry.MEANWHILE = False
    call()
