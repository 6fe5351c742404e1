"""Shared counts: cross-fitted counts of a text, made by one process of each machine and mapped by the others.

text ──fit, on one process──▶ CrossFitted ──memory map──▶ the same on every process, each with its own view of the text
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from letterwise.distributed.shared_memory import built_once
from letterwise.distributed.world import World
from letterwise.ngrams.cross_fit import CrossFitted


def fitted_once(fit: Callable[[], CrossFitted], text: np.ndarray, world: World) -> CrossFitted:
    """What `fit` makes of a `text` (N,) that each process has."""
    if world.alone:
        return fit()
    return replace(built_once(lambda: to_be_shared(fit()), world), ids=text)


def to_be_shared(crossfitted: CrossFitted) -> CrossFitted:
    """The counts with all that is made from them on first use, and without the text."""
    _ = crossfitted.smoothed.dense, crossfitted.counts.smoothed.dense
    return replace(crossfitted, ids=crossfitted.ids[:0])
