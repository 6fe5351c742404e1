"""Score: the mean loss of a text that is learned from as it is read: each character is scored first.

ids (N,) ──Online, one by one──▶ -ln p of each but the first ──mean──▶ nats per character
"""

import math

import numpy as np

from letterwise.checkpoint import ModelFile
from letterwise.data.vocabulary import require_ids
from letterwise.errors import UserError
from letterwise.evaluation.evaluate import Score
from letterwise.online.predictor import Online, beginning

PROTOCOL, PRIMED = "online", "primed"  # primed: after another text
CHUNK = 2**16  # ids converted to Python's integers at a time: those of a long text would take 8 times its size


def evaluate(file: ModelFile, ids: np.ndarray, before: np.ndarray | None = None) -> Score:
    """Score `ids` (N,) but the first, alone or after the text `before` (M,).

    Raises `UserError` when there is nothing to predict.

    For a model of lines the first is a line break, after which it stands anyway.
    """
    if len(ids) < 2:
        raise UserError(f"there is nothing to predict: that takes 2 characters or more, and the text has {len(ids)}.")
    require_ids(ids, len(file.vocabulary))
    predictor, nats = Online(file, None if before is None else beginning(file, before)), 0.0
    if file.line_break is None:
        predictor.read(ids[:1])
    for start in range(1, len(ids), CHUNK):
        for id in ids[start : start + CHUNK].tolist():
            nats -= math.log(predictor.probabilities()[0, id])
            predictor.read(np.array([id]))
    counting = file.counts.nats_per_char(ids) if file.counts else None
    return Score(
        nats / (len(ids) - 1), len(ids) - 1, PROTOCOL if before is None else PRIMED, file.config.model.block_size, counting
    )
