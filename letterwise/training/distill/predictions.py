"""Predictions: what a teacher says of the text that it wrote, computed once, as its student reads that text many times.

ids (N,) ──passes, `sliding`──▶ logits ──▶ probabilities of what follows each (N, V), float16, in memory

Each character is predicted with at least half a context before it. A student that asked anew at each reading would spend more
time on its teacher's arithmetic than on its own (docs/log.md).
"""

import time

import numpy as np

from letterwise.evaluation.passes import passes
from letterwise.progress import Note, NowAndThen, duration_text
from letterwise.training.distill.teacher import Teacher
from letterwise.training.interruption import Interrupted, Interruption

LARGEST_KEPT = 2**30  # bytes


def kept_bytes(chars: int, vocab_size: int) -> int:
    """Of the predictions of so long a text; 0 for those that are too large to be kept."""
    size = chars * vocab_size * np.dtype(np.float16).itemsize
    return size if size <= LARGEST_KEPT else 0


def predictions(teacher: Teacher, note: Note) -> np.ndarray:
    """The probabilities (N, V), float16, of what follows each character of the teacher's text; behind the last, of nothing.

    Raises `Interrupted` when a signal asks to stop.
    """
    ids, done, began, due = teacher.ids, 0, time.monotonic(), NowAndThen()
    found = np.zeros((len(ids), len(teacher.model.vocabulary)), np.float16)
    try:
        with Interruption(note) as interruption:
            for some in passes(teacher.model, ids, protocol="sliding", with_logits=True, between=interruption.check):
                assert some.logits is not None
                found[done : done + len(some.targets)] = some.logits.softmax(-1).cpu().numpy()
                done += len(some.targets)
                if due():
                    left = duration_text((time.monotonic() - began) * (len(ids) / done - 1))
                    note(f"the teacher predicts what it wrote: {done / len(ids):.0%} · {left} left")
    except Interrupted as interrupted:
        message = "stopped while the teacher predicted; what it wrote is kept"
        raise Interrupted(interrupted.signal_number, message) from interrupted
    return found
