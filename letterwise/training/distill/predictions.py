"""Predictions: what a teacher says of the text that it wrote, computed once, as its student reads that text many times.

ids (N,) ──windows that overlap by half──▶ teacher ──▶ probabilities of what follows each (N, V), float16, in memory

Each character is predicted with at least half a context before it. A student that asked anew at each reading would spend more
time on its teacher's arithmetic than on its own (docs/log.md).
"""

import time

import numpy as np
import torch

from letterwise.data.batches import NO_TARGET, sweep
from letterwise.machine import memory_available
from letterwise.progress import Note, NowAndThen, duration_text
from letterwise.runtime.device import Runtime
from letterwise.training.distill.teacher import Teacher
from letterwise.training.interruption import Interrupted, Interruption

MOST_BYTES, MEMORY_SHARE = 2**30, 0.25  # of predictions that are kept: so many, and of what is free
CHARS_AT_ONCE = 2_048


def fits(teacher: Teacher) -> bool:
    """Whether there is room for its predictions."""
    free = memory_available()
    most = MOST_BYTES if free is None else min(MOST_BYTES, int(MEMORY_SHARE * free))
    return len(teacher.ids) * len(teacher.model.vocabulary) * np.dtype(np.float16).itemsize <= most


def predictions(teacher: Teacher, runtime: Runtime, note: Note) -> np.ndarray:
    """The probabilities (N, V), float16, of what follows each character of the teacher's text; behind the last, of nothing.

    Raises `Interrupted` when a signal asks to stop.
    """
    model, ids, look_up = teacher.model, teacher.ids, teacher.look_up
    block_size, began, due = model.block_size, time.monotonic(), NowAndThen()
    found = np.zeros((len(ids), len(model.vocabulary)), np.float16)
    together = max(1, CHARS_AT_ONCE // block_size)
    try:
        with Interruption(note) as interruption:
            for batches in sweep(ids, block_size, together, overlap=block_size // 2, line_break=model.line_break):
                for starts, inputs, targets in batches:
                    interruption.check()
                    places = starts[:, None] + np.arange(inputs.shape[1])
                    known = look_up(starts, inputs.shape[1], interruption.check).to(runtime.device) if look_up else None
                    with runtime.autocast():
                        probabilities = teacher.probabilities(torch.from_numpy(inputs).to(runtime.device), known)
                    asked = targets != NO_TARGET
                    found[places[asked]] = probabilities.cpu().numpy()[asked]
                    if due():
                        done = int(places[asked].max()) / len(ids)
                        left = duration_text((time.monotonic() - began) * (1 / done - 1))
                        note(f"the teacher predicts what it wrote: {done:.0%} · {left} left")
    except Interrupted as interrupted:
        message = "stopped while the teacher predicted; what it wrote is kept"
        raise Interrupted(interrupted.signal_number, message) from interrupted
    return found
