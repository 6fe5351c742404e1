"""Scheduler: everyone's requests in one engine, a step at a time, in a thread of its own.

    submit ──▶ waiting ──join──▶ Generation ──Engine.step──▶ Piece, Piece, … ──▶ each job's `deliver`
                                     cancel: it leaves before the next step

A job joins at any character and leaves at any other. What is written for it depends on its own seed alone (engine.py).
Texts with the same beginning read it once: the last prompts are kept, and a new one goes on from the longest that begins it.
A long one is read a piece at a time, between steps of the others.
"""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from letterwise.config.accounting import cache_bytes, flops_per_char
from letterwise.data.vocabulary import Vocabulary
from letterwise.errors import UserError
from letterwise.inference.backend import Backend
from letterwise.inference.engine import Engine
from letterwise.inference.engine import Sequence as Text
from letterwise.inference.generate import Ended, Generation, Request, rows_for
from letterwise.serve.errors import LOG, Refused
from letterwise.serve.metrics import Metrics

KEPT_PROMPTS, KEPT_BYTES = 8, 2**28
AT_ONCE = 2**30  # floating-point operations of a prompt that is read, some 25 ms: then others are written on


@dataclass(frozen=True)
class Piece:
    """What a step wrote for a job. `ended` says at last what ended it; or there was an `error`, and nothing more comes."""

    text: str = ""
    ended: Ended = ""
    error: Exception | None = None

    def then(self, piece: "Piece") -> "Piece":
        """Both as one, the other behind this one."""
        return Piece(self.text + piece.text, piece.ended, piece.error)


@dataclass(eq=False)
class Job:
    """One text to be written. `deliver` is called in the scheduler's thread, and must not wait."""

    request: Request
    deliver: Callable[[Piece], None]
    deadline: float = float("inf")  # by time.monotonic()
    cancelled: bool = False
    submitted: float = field(default_factory=time.monotonic)
    begun: bool = False


class Scheduler:
    """Writes for everyone who asks. Its thread ends with `close`."""

    def __init__(self, backend: Backend, vocabulary: Vocabulary, metrics: Metrics, *, max_rows: int, max_queue: int) -> None:
        self.backend, self.vocabulary, self.metrics = backend, vocabulary, metrics
        self.rows, self.max_queue = rows_for(backend, max_rows), max_queue
        self.engine = Engine(backend, self.rows)
        self.at_once = 1 + AT_ONCE // sum(flops_per_char(network, backend.vocab_size) for network in backend.networks)
        self.waiting, self.running = deque[Job](), dict[Job, Generation]()
        self.prompts = OrderedDict[bytes, Text]()
        self.changed, self.closed = threading.Condition(), False
        self.thread = threading.Thread(target=self._work, name="scheduler", daemon=True)
        self.thread.start()

    @property
    def active(self) -> int:
        """How many texts are being written."""
        return len(self.running)

    def submit(self, jobs: Sequence[Job]) -> None:
        """Take these, all or none. Raises `Refused` when too many wait, or the server is stopping."""
        with self.changed:
            if self.closed:
                raise stopping()
            if len(jobs) > self.rows + self.max_queue:
                raise UserError(f"{len(jobs)} texts are asked for at once: this server takes {self.rows + self.max_queue}.")
            free = self.rows - len(self.running)
            if len(self.waiting) + len(jobs) > self.max_queue + free:
                wait = len(self.waiting) / max(1, self.rows)
                raise Refused.busy(f"{len(self.waiting)} texts are waiting for their turn already: try again later.", wait)
            self.waiting += jobs
            self.changed.notify()

    def cancel(self, job: Job) -> None:
        """Nobody wants it any more: it leaves before the next step."""
        with self.changed:
            job.cancelled = True
            self.changed.notify()

    def close(self) -> None:
        """End what waits and runs, with an error, and the thread."""
        with self.changed:
            self.closed = True
            self.changed.notify()
        self.thread.join()

    def _work(self) -> None:
        """What its thread does, until it is closed: let leave, let join, write on."""
        while True:
            with self.changed:
                while not (self.waiting or self.running or self.closed):
                    self.changed.wait()
                if self.closed:
                    break
            try:
                self._leave()
                self._join()
                self._write_on()
            except Exception as error:  # a fault of ours: those who run are told, the others go on with a new engine
                self._give_up(error)
        for job in [*self.running, *self.waiting]:
            job.deliver(Piece(error=stopping()))
        self.running.clear()
        self.waiting.clear()

    def _write_on(self) -> None:
        """A step of all that are being written."""
        if self.running:
            self.engine.step()
            self._collect()

    def _leave(self) -> None:
        """Let those go that were cancelled."""
        for job in [job for job in self.running if job.cancelled]:
            self.running.pop(job).sequence.leave()

    def _join(self) -> None:
        """Begin those that wait, as far as there is room."""
        while self.engine.free:
            with self.changed:
                if not self.waiting:
                    return
                job = self.waiting.popleft()
            if job.cancelled:
                continue
            try:
                self.running[job] = self._begin(job)
            except Exception as error:
                self._fail(job, error)

    def _begin(self, job: Job) -> Generation:
        left = job.deadline - time.monotonic()
        if left <= 0:
            raise Refused(503, "this request waited for its turn until its time was over: try again later.", code="timeout")
        return Generation(self._read(job.request.prompt).fork(self.engine), self.vocabulary, job.request, left)

    def _read(self, prompt: np.ndarray) -> Text:
        """A text that has read a prompt: one that is kept, or a new one that goes on from the longest beginning of it."""
        key = prompt.astype(np.uint32).tobytes()
        if key not in self.prompts:
            begun = max((kept for kept in self.prompts if key.startswith(kept)), key=len, default=b"")
            text = self.prompts[begun].fork() if begun else Text(self.backend)
            text.feed(prompt[len(begun) // 4 :])
            for _ in text.engine.windows.reading(most=self.at_once):
                self._leave()
                self._write_on()
            self.prompts[key] = text
            each = sum(map(cache_bytes, self.backend.networks))
            most = max(1, min(KEPT_PROMPTS, KEPT_BYTES // max(1, each)))
            while len(self.prompts) > most:
                self.prompts.popitem(last=False)
        self.prompts.move_to_end(key)
        return self.prompts[key]

    def _collect(self) -> None:
        """Deliver what the step wrote, of all at once: who is woken by the first finds the others."""
        written = list[tuple[Job, Piece]]()
        for job, generation in list(self.running.items()):
            try:
                piece = Piece(generation.piece(), generation.ended)
            except Exception as error:
                del self.running[job]
                self._fail(job, error)
                continue
            if piece.ended:
                del self.running[job]
            if piece.text and not job.begun:
                job.begun = True
                self.metrics.first_character.observe(time.monotonic() - job.submitted)
            if piece.text or piece.ended:
                written.append((job, piece))
        self.metrics.wrote(sum(len(piece.text) for _, piece in written))
        for job, piece in written:
            job.deliver(piece)

    def _fail(self, job: Job, error: Exception) -> None:
        if not isinstance(error, UserError | Refused):
            LOG.exception("a text could not be written", exc_info=error)
        job.deliver(Piece(error=error))

    def _give_up(self, error: Exception) -> None:
        for job in list(self.running):
            self._fail(job, error)
        self.running.clear()
        self.prompts.clear()
        self.engine = Engine(self.backend, self.rows)


def stopping() -> Refused:
    """What those are told who ask, or wait, when the server ends."""
    return Refused(503, "this server is stopping: try again later, or elsewhere.", code="stopping")
