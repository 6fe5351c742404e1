"""Passes: what is found of a text while it is read.

    pieces ──Hashed──▶ the same pieces            code points ──Seen.add──▶ vocabulary
              └──a thread──▶ sha256, size

A text of gigabytes is read twice: for its digest and its characters, and for its ids, in a thread of which checksums are made.
"""

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self

import numpy as np

from letterwise.data.vocabulary import CODE_POINTS, Vocabulary, beyond_ascii

SMALL = 2**15  # bytes whose digest takes less time than to hand them to a thread


class Worker:
    """A thread that does one thing at a time, while the next is made ready: checksums and writing need no Python."""

    def __init__(self) -> None:
        self.pool, self.last = ThreadPoolExecutor(1), Future[Any]()
        self.last.set_result(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.shutdown()

    def wait(self) -> None:
        """Until all is done. Raises what went wrong."""
        self.last.result()

    def do(self, function: Callable[[Any], object], argument: Any) -> Future[Any]:
        """Once all before is done, which is waited for."""
        self.wait()
        self.last = self.pool.submit(function, argument)
        return self.last


class Hashed:
    """Pieces of which a worker makes a digest while they are read."""

    def __init__(self, pieces: Callable[[], Iterator[bytes]], worker: Worker) -> None:
        self.read, self.worker, self.sha256, self.size = pieces, worker, hashlib.sha256(), 0
        self.begun = Future[Any]()
        self.begun.set_result(None)

    def pieces(self) -> Iterator[bytes]:
        """The same pieces."""
        for piece in self.read():
            self.size += len(piece)
            if len(piece) < SMALL:
                self.begun.result()
                self.sha256.update(piece)
            else:
                self.begun = self.worker.do(self.sha256.update, piece)
            yield piece

    def digest(self) -> tuple[str, int]:
        """Of what was read: sha256, and how many bytes."""
        self.begun.result()
        return self.sha256.hexdigest(), self.size


class Seen:
    """Which characters there were. `ascii` are those of them for whose search Python has a fast loop."""

    def __init__(self) -> None:
        self.points, self.ascii = np.zeros(CODE_POINTS, bool), b""

    def add(self, points: np.ndarray) -> None:
        """Some more of them, as code points."""
        if points.dtype != np.uint8:
            wide = beyond_ascii(points)
            if wide is None or not self.ascii:
                self._mark(points)
                return
            self._mark(points[wide])
            points = points.astype(np.uint8)
            points[wide] = self.ascii[0]
        if new := points.tobytes().translate(None, self.ascii):
            self._mark(np.frombuffer(new, np.uint8))

    def _mark(self, points: np.ndarray) -> None:
        if not self.points.take(points).all():
            self.points[points] = True
            self.ascii = bytes(self.points[: 2**7].nonzero()[0].tolist())

    def vocabulary(self) -> Vocabulary:
        """All of them, in code-point order."""
        return Vocabulary("char", "".join(map(chr, self.points.nonzero()[0])))
