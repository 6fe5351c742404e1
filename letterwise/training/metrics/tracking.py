"""Tracking: a run's rows go to other programs, too, that show runs: TensorBoard, Weights & Biases, MLflow.

rows of metrics.jsonl ──those it has not had──▶ a queue ──a thread of its own──▶ Tracker, a file in trackers/ ──▶ a program

A run waits for no tracker, and ends by none: one that fails is left alone, and gets what it missed when the run is resumed.
What it has had is written down in the run directory, beside the name by which it knows the run.
"""

import importlib
import json
import queue
import threading
import uuid
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from letterwise.atomic import write_bytes
from letterwise.errors import UserError, clause, did_you_mean
from letterwise.printable import printable
from letterwise.progress import Note
from letterwise.training.metrics import trackers
from letterwise.training.metrics.rows import END, ORDER, Row

CLOSING_S = 60.0  # that a run waits, when it has ended, for what a tracker still has to do


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker is told of a run. `run_id` stays the same when it is resumed; `known`: the tracker has rows of it."""

    name: str
    run_id: str
    directory: Path
    config: dict[str, Any]
    known: bool


class Tracker(ABC):
    """What a file in trackers/ defines, under this name: it is made before training, then called by one thread.

    Whatever it raises is said once, and it is not called again.
    """

    @abstractmethod
    def __init__(self, run: TrackedRun) -> None: ...

    @abstractmethod
    def write(self, rows: list[Row]) -> None:
        """Take rows, in order, each once. When it returns, they outlive this process."""

    @abstractmethod
    def close(self, *, finished: bool) -> None:
        """No row follows. `finished` says whether the run came to its end."""


def figures(row: Row) -> dict[str, float]:
    """The numbers of a row by name, `training/loss`, without the step that they are of."""
    numbers = {name: value for name, value in row.items() if isinstance(value, int | float) and name != "step"}
    return {f"{row.get('kind') or 'validation'}/{name}": float(value) for name, value in numbers.items()}


def sample_of(row: Row) -> str:
    """What the model wrote at a validation; "" for rows that have none. It can be encoded, and is shown as it is."""
    return printable(row.get("sample") or "")


def tracker_class(name: str) -> type[Tracker]:
    """The tracker of that name. Raises `UserError` where there is none, or its library is missing."""
    known = sorted(module.name for module in iter_modules(trackers.__path__))
    if name not in known:
        raise UserError(f"there is no tracker {name!r}: {did_you_mean(name, known)}")
    try:
        return importlib.import_module(f"{trackers.__name__}.{name}").Tracker
    except ModuleNotFoundError as error:
        raise UserError(f"--tracker {name} needs {error.name}: pip install 'letterwise[{name}]'.") from error


class Ledger:
    """What each tracker has had, on disk: the run's name there, and for each the step and kind of its last row."""

    def __init__(self, path: Path, *, fresh: bool) -> None:
        self.path, self.lock = path, threading.Lock()
        self.run_id, self.sent = uuid.uuid4().hex[:16], dict[str, tuple[int, int]]()
        if not fresh:
            with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):  # else all rows are sent, under a new name
                known = json.loads(path.read_bytes())
                sent = {name: (int(step), int(order)) for name, (step, order) in known["sent"].items()}
                self.run_id, self.sent = str(known["run_id"]), sent

    def note(self, tracker: str, last: tuple[int, int]) -> None:
        """Write down that a tracker has had all rows up to `last`."""
        with self.lock:
            self.sent[tracker] = last
            write_bytes(self.path, json.dumps({"run_id": self.run_id, "sent": self.sent}).encode())


class Feed:
    """One tracker, fed by a thread of its own."""

    def __init__(self, name: str, tracker: Tracker, ledger: Ledger, note: Note) -> None:
        self.name, self.tracker, self.ledger, self.note = name, tracker, ledger, note
        self.last = ledger.sent.get(name, (-1, 0))
        self.failed = False
        self.waiting: queue.SimpleQueue[list[Row] | bool] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._work, name=f"letterwise-{name}", daemon=True)
        self.thread.start()

    def send(self, rows: Iterable[Row]) -> None:
        """Hand on those that it has not had."""
        new = [row for row in rows if place(row) > self.last and row.get("kind") != END]
        if new and not self.failed:
            self.last = place(new[-1])
            self.waiting.put(new)

    def close(self, *, finished: bool) -> None:
        """Wait until it has taken everything, or for a while."""
        self.waiting.put(finished)
        self.thread.join(CLOSING_S)
        if self.thread.is_alive():
            self.note(f"{self.name} has not taken all figures within {CLOSING_S:.0f} s: --resume sends the rest.")

    def _work(self) -> None:
        """What its thread does: hand rows to the tracker, and note how far it is; stop where that fails."""
        try:
            while isinstance(rows := self.waiting.get(), list):
                self.tracker.write(rows)
                self.ledger.note(self.name, place(rows[-1]))
            self.tracker.close(finished=rows)
        except Exception as error:
            self.failed = True
            self.note(failure(self.name, error, "The run goes on without it; --resume sends what it missed."))


class Tracking:
    """The trackers of a run."""

    def __init__(self, feeds: list[Feed]) -> None:
        self.feeds = feeds

    def send(self, rows: list[Row]) -> None:
        """Hand the rows of metrics.jsonl to each tracker that has not had them."""
        for feed in self.feeds:
            feed.send(rows)


@contextmanager
def tracking(names: Iterable[str], run: dict[str, Any], ledger: Path, *, resumed: bool, note: Note) -> Generator[Tracking]:
    """While it lasts, rows can be sent to the trackers of these `names`. `run` is what `TrackedRun` says of it.

    Raises `UserError` where one of them cannot begin with a new run; with a resumed one, a note says so.
    """
    book, feeds = Ledger(ledger, fresh=not resumed), []
    for name in dict.fromkeys(names):
        kind = tracker_class(name)
        try:
            tracker = kind(TrackedRun(**run, run_id=book.run_id, known=name in book.sent))
        except Exception as error:
            if not resumed:
                raise UserError(failure(name, error, "Set it up, or leave it out of --tracker.")) from error
            note(failure(name, error, "The run goes on without it."))
            continue
        feeds.append(Feed(name, tracker, book, note))
    finished = False
    try:
        yield Tracking(feeds)
        finished = True
    finally:
        for feed in feeds:
            feed.close(finished=finished)


def place(row: Row) -> tuple[int, int]:
    """Where a row stands among those of its run."""
    return row["step"], ORDER.index(row.get("kind"))


def failure(name: str, error: Exception, next_move: str) -> str:
    """What went wrong, in a sentence, and what follows."""
    said = " ".join(str(error).split()) or type(error).__name__
    return f"{name} fails: {clause(said)}. {next_move}"
