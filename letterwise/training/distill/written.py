"""Written: what a teacher writes, so that its student learns what it predicts there.

teacher ──from nothing, at temperature 1, many texts side by side──▶ OUT/written.npy ──▶ the text that it teaches

Of a text that it has learned a teacher is far surer than of any other: what it predicts there is of little use elsewhere. What
it writes is new to it, as long as anyone wants, and like what it has learned (sequence-level distillation: Kim & Rush 2016,
§3.2, with samples for their beams). Each of its predictions is learned as a whole, and not only the character that was drawn.
"""

import io
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from letterwise.atomic import write_bytes
from letterwise.config import Config
from letterwise.distributed.world import World
from letterwise.errors import UserError
from letterwise.inference.backend import Backend
from letterwise.inference.cpu.backend import compiled_backend
from letterwise.inference.engine import Engine
from letterwise.inference.generate import SIDE_BY_SIDE, rows_for
from letterwise.inference.sampling.sampler import Sampler, SamplerState
from letterwise.inference.torch_backend import torch_backend
from letterwise.progress import Note, NowAndThen, duration_text
from letterwise.training.distill.predictions import kept_bytes, predictions
from letterwise.training.distill.teacher import Teacher
from letterwise.training.interruption import Interrupted, Interruption

SHARE = 0.25  # of a run's minutes: then the text ends, however long it is
CONTEXTS = 8  # that each of the texts side by side is to fill: of a short one, too much would be its beginning and its end


def with_written(teacher: Teacher, place: Path, config: Config, world: World, note: Note) -> Teacher:
    """The teacher of a text that it wrote to `place`, or writes now: as many characters as are asked for, or as a part of the
    run's minutes allows. A single process keeps what the teacher predicts of it, if that is not too large.

    Raises `UserError` where something else is there, and `Interrupted` when a signal asks to stop.
    """
    vocab_size = len(teacher.base.file.vocabulary)

    def found() -> np.ndarray:
        if not place.exists():
            write(teacher, place, config, note)
        return read(place, vocab_size)

    teacher = replace(teacher, ids=world.first_then_others(found), crossfitted=None)
    if world.alone and kept_bytes(len(teacher.ids), vocab_size):
        return replace(teacher, predicted=predictions(teacher, note))
    return teacher


def require_window(config: Config) -> None:
    """Raises `UserError` where a teacher is to write less than a window: before there is anything to write to."""
    chars, context = config.training.written_chars, config.model.block_size
    if 0 < chars <= context:
        raise UserError(f"--written_chars {chars} is too short for a window of {context} characters: raise it.")


def read(place: Path, vocab_size: int) -> np.ndarray:
    """The ids (N,) of what was written. Raises `UserError` where that is not what is there."""
    try:
        ids: np.ndarray = np.load(place, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise not_written(place) from error
    if ids.ndim != 1 or ids.dtype.kind != "u" or not len(ids) or ids.max() >= vocab_size:
        raise not_written(place)
    return ids


def not_written(place: Path) -> UserError:
    """The sentence about a file that holds something else."""
    return UserError(f"{str(place)!r} is not what this run's teacher wrote: remove it, and the teacher writes it again.")


def write(teacher: Teacher, place: Path, config: Config, note: Note) -> None:
    """Write as much as is asked for in as many texts as there is room for side by side, and keep their ids."""
    vocabulary, backend = teacher.base.file.vocabulary, backend_of(teacher)
    chars, rng_seed = config.training.written_chars, config.training.rng_seed
    rows = rows_for(backend, min(SIDE_BY_SIDE, max(1, chars // (CONTEXTS * config.model.block_size))))
    engine = Engine(backend, rows)
    texts = [engine.join() for _ in range(rows)]
    for row, text in enumerate(texts):
        text.begin(SamplerState(Sampler(), vocabulary, rng_seed * SIDE_BY_SIDE + row), -(-chars // rows))
    began = time.monotonic()
    due, until = NowAndThen(), began + (60 * SHARE * config.training.minutes or math.inf)
    try:
        with Interruption(note) as interruption:
            while any(text.writing for text in texts):
                engine.step()
                interruption.check()
                done, now = sum(len(text.written) for text in texts), time.monotonic()
                if now >= until and done >= 2 * rows * config.model.block_size:
                    break
                if due():
                    left = duration_text(max(0.0, min(until - now, (now - began) * (chars / max(1, done) - 1))))
                    note(f"the teacher writes, to be learned from: {done:,} of {chars:,} characters · {left} left")
            ids = joined([text.collect() for text in texts], backend.line_break)
    except Interrupted as interrupted:
        message = "stopped while the teacher wrote; nothing of that is kept"
        raise Interrupted(interrupted.signal_number, message) from interrupted
    if len(ids) < 2:
        raise UserError(f"the teacher wrote {chars:,} characters, and no line came to its end: raise --written_chars.")
    content = io.BytesIO()
    np.save(content, ids.astype(np.min_scalar_type(len(vocabulary))))
    write_bytes(place, content.getvalue())


def joined(texts: Sequence[Sequence[int]], line_break: int | None) -> np.ndarray:
    """Several texts as one; of lines, whole ones, behind a line break as in any text of lines."""
    if line_break is None:
        return np.concatenate([np.array(text, np.int64) for text in texts])
    whole = [text[: len(text) - [*text[::-1], line_break].index(line_break)] for text in texts]
    return np.concatenate([[line_break], *(np.array(lines, np.int64) for lines in whole)])


def backend_of(teacher: Teacher) -> Backend:
    """The teacher, ready to write where it is."""
    file, model = teacher.base.file, teacher.model
    if model.device.type == "cpu":
        return compiled_backend(file.networks, len(file.vocabulary), file.counts, file.line_break)
    return torch_backend(model.transformer, model.counts, model.line_break)
