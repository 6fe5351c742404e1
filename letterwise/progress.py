"""Progress: what is shown during training. On a terminal one line that changes, elsewhere plain lines, all on stderr.

step 1250/2000 · loss 1.482 · val 1.531 (2.21 bits) · 18,400 chars/s · 0:00:52 left

In a notebook the line is part of the cell's output.
"""

import contextlib
import html
import io
import os
import sys
import threading
import time
from collections.abc import Callable, Generator
from datetime import timedelta
from typing import Any, TextIO, cast

from letterwise.printable import printable
from letterwise.units import bits

PLAIN_INTERVAL_S = 10.0
NOTEBOOK_INTERVAL_S = 0.25
SILENT_S, AGAIN_S = 2.0, 15.0  # nobody waits longer without a word; then one every so many seconds

Note = Callable[[str], None]  # takes something worth knowing, in a sentence


class Progress:
    """Says nothing: what the Python interface uses, and the questions that every listener answers."""

    def note(self, text: str) -> None:
        """Something worth knowing, in a sentence."""

    def start(self, max_iters: int | None) -> None:
        """Training begins; `max_iters` is None when minutes end it."""

    def step(self, step: int, done: float, nats: float, chars_per_second: float, left_s: float) -> None:
        """A step was taken."""

    def held_out(self, row: dict[str, Any]) -> None:
        """A validation was made."""

    def stop(self) -> None:
        """Training ended, well or not."""


class PlainProgress(Progress):
    """One line now and then: for logs, pipes and CI."""

    def __init__(self) -> None:
        self.max_iters: int | None = None
        self.last_val = ""  # in words, where every line shows it
        self.printed_at = time.monotonic()

    def note(self, text: str) -> None:
        print(printable(text), file=FailsafeStream(sys.stderr), flush=True)

    def start(self, max_iters: int | None) -> None:
        self.max_iters = max_iters

    def step(self, step: int, done: float, nats: float, chars_per_second: float, left_s: float) -> None:
        if time.monotonic() - self.printed_at >= PLAIN_INTERVAL_S:
            self.printed_at = time.monotonic()
            self.note(self._step_text(step, nats, chars_per_second, left_s))

    def held_out(self, row: dict[str, Any]) -> None:
        self.printed_at = time.monotonic()
        loss = "" if row["train_nats_per_char"] is None else f" · loss {row['train_nats_per_char']:.3f}"
        self.note(f"{self._where(row['step'])}{loss} · {held_out_text(row)}")

    def _step_text(self, step: int, nats: float, chars_per_second: float, left_s: float) -> str:
        speed, left = f"{chars_per_second:,.0f} chars/s", f"{duration_text(left_s)} left"
        return f"{self._where(step)} · loss {nats:.3f}{self.last_val} · {speed} · {left}"

    def _where(self, step: int) -> str:
        return f"step {step}/{self.max_iters}" if self.max_iters else f"step {step}"


class LivingProgress(PlainProgress):
    """One line that is replaced as the run goes on, with notes and validations left standing above it."""

    def held_out(self, row: dict[str, Any]) -> None:
        super().held_out(row)
        if row["val_nats_per_char"] is not None:
            self.last_val = f" · val {row['val_nats_per_char']:.3f}"


class RichProgress(LivingProgress):
    """On a terminal, beside a bar."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bar

        super().__init__()
        self.console = Console(file=cast(TextIO, FailsafeStream(sys.stderr)), highlight=False)
        self.bar = Bar(TextColumn("{task.description}"), BarColumn(bar_width=24), console=self.console, transient=True)
        self.task = self.bar.add_task("", total=1.0)

    def note(self, text: str) -> None:
        self.console.print(printable(text), markup=False, soft_wrap=True)

    def start(self, max_iters: int | None) -> None:
        super().start(max_iters)
        self.bar.start()

    def step(self, step: int, done: float, nats: float, chars_per_second: float, left_s: float) -> None:
        self.bar.update(self.task, completed=done, description=self._step_text(step, nats, chars_per_second, left_s))

    def stop(self) -> None:
        self.bar.stop()


class NotebookProgress(LivingProgress):
    """In the output of a notebook's cell, beside a bar; where HTML is not shown, the same lines as plain text."""

    def __init__(self) -> None:
        super().__init__()
        self.standing: list[str] = []  # notes and validations
        self.line, self.done = "", 0.0  # the one that is replaced; the share of the run behind us
        self.shown_at = -NOTEBOOK_INTERVAL_S
        self.output: Any = None  # of IPython, by which it is replaced

    def note(self, text: str) -> None:
        self.standing.append(printable(text))
        self._show()

    def step(self, step: int, done: float, nats: float, chars_per_second: float, left_s: float) -> None:
        self.line, self.done = self._step_text(step, nats, chars_per_second, left_s), done
        if time.monotonic() - self.shown_at >= NOTEBOOK_INTERVAL_S:
            self._show()

    def stop(self) -> None:
        self.line = ""
        self._show()

    def _show(self) -> None:
        """Draw it anew, in its place."""
        from IPython.display import display

        self.shown_at = time.monotonic()
        lines = "\n".join([*self.standing, *filter(None, [self.line])])
        bar = f'<progress value="{self.done:.3f}"></progress>' if self.line else ""
        content = {"text/plain": lines, "text/html": f"<pre>{html.escape(lines)}</pre>{bar}"}
        if self.output:
            self.output.update(content, raw=True)
        else:
            self.output = display(content, raw=True, display_id=True)


class FailsafeStream:
    """A stream that may go away. A closed terminal, or a pipe that nobody reads, is no reason to stop training."""

    def __init__(self, stream: TextIO | None) -> None:
        self.stream = stream if stream is not None else io.StringIO()  # Python's, where stderr was closed from the start

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """As the stream does, or nothing."""
        self._unless_gone(lambda: self.stream.write(text))
        return len(text)

    def flush(self) -> None:
        """As the stream does, or nothing."""
        self._unless_gone(self.stream.flush)

    def _unless_gone(self, act: Callable[[], object]) -> None:
        try:
            act()
        except (OSError, ValueError):  # what is still in its buffer goes nowhere, also when Python flushes it at the end
            with contextlib.suppress(OSError, ValueError):  # it is no file, or no file can be opened: it is not shown
                os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())


def progress_for_terminal() -> Progress:
    """One line that changes where stderr is a terminal, plain lines elsewhere."""
    return RichProgress() if sys.stderr is not None and sys.stderr.isatty() else PlainProgress()


def progress_for_caller() -> Progress:
    """What Python callers see: as on a terminal, or, where a notebook runs this process, in the cell's output."""
    ipython = sys.modules.get("IPython")  # which a notebook has loaded
    shell = ipython.get_ipython() if ipython else None
    return NotebookProgress() if getattr(shell, "kernel", None) else progress_for_terminal()


@contextlib.contextmanager
def announced(note: Note, what: str) -> Generator[None]:
    """Says `what` is being done, where the block takes long: "reading the text"."""
    over, began = threading.Event(), time.monotonic()

    def say() -> None:
        if over.wait(SILENT_S):
            return
        note(f"{what} …")
        while not over.wait(AGAIN_S):
            note(f"still {what}, for {time.monotonic() - began:.0f} s now …")

    thread = threading.Thread(target=say, name="letterwise-announcing", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class NowAndThen:
    """Whether it is time for a word, in a loop that asks often: after two seconds, then every fifteen."""

    def __init__(self) -> None:
        self.next = time.monotonic() + SILENT_S

    def __call__(self) -> bool:
        now = time.monotonic()
        if now < self.next:
            return False
        self.next = now + AGAIN_S
        return True


def held_out_text(row: dict[str, Any]) -> str:
    """A validation in words."""
    nats = row["val_nats_per_char"]
    if nats is None:
        return "no validation part"
    old = f" · the base's own text {row['old_val_nats_per_char']:.4f} nats" if "old_val_nats_per_char" in row else ""
    return f"val {nats:.4f} nats = {bits(nats):.4f} bits per character{' · best so far' if row['best'] else ''}{old}"


def duration_text(seconds: float) -> str:
    """0:01:05"""
    return str(timedelta(seconds=round(seconds)))
