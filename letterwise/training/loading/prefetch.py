"""Prefetch: pieces are prepared by a thread, and on their way to the device, while it learns from those before them.

pieces(step), pieces(step + 1), … ──a thread: look up, pin, copy──▶ a few on the device ──taken──▶ the step, which need not wait

On a CPU, which is busy anyway, nothing is gained (docs/log.md): there they are made when they are taken. Which pieces a step
has depends on (seed, step) alone, whoever prepares them, and when.
"""

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, nullcontext, suppress
from queue import Empty, Full, Queue
from typing import Any

import torch
from torch import Tensor

from letterwise.training.loading.pieces import Check, Piece

WHEN_TAKEN = {"cpu"}  # kinds of devices that gain nothing
AHEAD = 2  # pieces that wait on the device, beside the one that is learned from
POLL_S = 0.1  # between two looks for a signal, or for the end
Pieces = Callable[[int, Check], Iterator[Piece]]


class Stopped(Exception):
    """Nobody takes the pieces any more."""


@contextmanager
def prefetched(pieces: Pieces, device: torch.device) -> Generator[Pieces]:
    """The same pieces, on the device. What goes wrong in the thread is raised where its pieces are taken."""
    if device.type in WHEN_TAKEN:
        yield pieces
        return
    prefetcher = Prefetcher(pieces, device)
    try:
        yield prefetcher.pieces
    finally:
        prefetcher.stop()


class Prefetcher:
    """A thread that goes on with the next step, until another one is asked for than was expected."""

    def __init__(self, made: Pieces, device: torch.device) -> None:
        self.made, self.device = made, device
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self.thread: threading.Thread | None = None
        self.expected = -1  # the step whose first piece comes next
        self.ready: Queue[Any] = Queue(AHEAD)
        self.stopping = threading.Event()

    def pieces(self, step: int, check: Check) -> Iterator[Piece]:
        """Those of a step; `check` is called while it waits for them."""
        if step != self.expected:  # the run begins, went back, or gave a step up
            self.stop()
            self.start(step)
        self.expected = -1
        while True:
            piece = self._taken(check)
            yield piece
            if piece.last:
                break
        self.expected = step + 1

    def start(self, step: int) -> None:
        """Prepare the pieces of this step and all that follow."""
        self.ready, self.stopping = Queue(AHEAD), threading.Event()
        arguments = step, self.ready, self.stopping
        self.thread = threading.Thread(target=self._prepare, args=arguments, name="prefetch", daemon=True)
        self.thread.start()

    def stop(self) -> None:
        """Wait for the thread to end."""
        self.stopping.set()
        if self.thread:
            self.thread.join()
        self.thread, self.expected = None, -1

    def _prepare(self, step: int, ready: "Queue[Any]", stopping: threading.Event) -> None:
        """What its thread does: make pieces and wait until there is room for them. An error is put in their place."""

        def put(found: object) -> None:
            while not stopping.is_set():
                try:
                    return ready.put(found, timeout=POLL_S)
                except Full:
                    continue
            raise Stopped

        def check() -> None:
            if stopping.is_set():
                raise Stopped

        try:
            with torch.cuda.stream(self.stream) if self.stream else nullcontext():
                while True:
                    for piece in self.made(step, check):
                        put(self._moved(piece))
                    step += 1
        except Stopped:
            return
        except BaseException as error:
            with suppress(Stopped):  # then nobody takes it any more
                put(error)

    def _moved(self, piece: Piece) -> tuple[Piece, torch.cuda.Event | None]:
        """The piece on the device, or on its way there until the event comes."""
        if self.stream is None:
            return with_tensors(piece, lambda tensor: tensor.to(self.device)), None
        return with_tensors(piece, self._sent), self.stream.record_event()

    def _sent(self, tensor: Tensor) -> Tensor:
        """A tensor on its way to the device."""
        return tensor if tensor.device == self.device else tensor.contiguous().pin_memory().to(self.device, non_blocking=True)

    def _taken(self, check: Check) -> Piece:
        """The next piece. Raises what went wrong as it was made; `check` is called while there is none."""
        while True:
            try:
                found = self.ready.get(timeout=POLL_S)
            except Empty:
                check()
                continue
            if isinstance(found, BaseException):
                raise found
            piece, arrived = found
            if arrived:  # the device waits, this process does not
                here = torch.cuda.current_stream(self.device)
                here.wait_event(arrived)
                for tensor in piece[:-2]:
                    if tensor is not None:
                        tensor.record_stream(here)  # or its memory would be given away too early
            return piece


def with_tensors(piece: Piece, change: Callable[[Tensor], Tensor]) -> Piece:
    """The piece with its tensors changed, but for its share, which stays on the CPU."""
    log_prior, taught = (None if prior is None else change(prior) for prior in (piece.log_prior, piece.looked_up))
    return Piece(change(piece.inputs), change(piece.targets), log_prior, taught, piece.share, piece.last)
