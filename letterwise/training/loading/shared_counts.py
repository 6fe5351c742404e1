"""Shared counts: cross-fitted counts of a text, made by one process of each machine and mapped by the others.

text ──fit, on one process──▶ CrossFitted ──memory map──▶ the same on every process, each with its own view of the text
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from letterwise.distributed.shared_memory import built_once
from letterwise.distributed.world import World
from letterwise.ngrams.passage_fit import TrainingPrior


def fitted_once(fit: Callable[[], TrainingPrior], text: np.ndarray, world: World) -> TrainingPrior:
    """What `fit` makes of a `text` (N,) that each process has."""
    if world.alone:
        return fit()
    return replace(built_once(lambda: to_be_shared(fit()), world), ids=text)


def to_be_shared(crossfitted: TrainingPrior) -> TrainingPrior:
    """The counts with all that is made from them on first use, and without the text."""
    crossfitted.complete()
    return replace(crossfitted, ids=crossfitted.ids[:0])
