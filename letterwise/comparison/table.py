"""Table: a comparison in words, for a terminal.

Comparison ──▶ a line per run (figures of the best validation) · a line per knob that differs · whether they can be compared
"""

from collections.abc import Iterable
from typing import Any

from letterwise.comparison.runs import PROTOCOL, ComparedRun, Comparison, in_bits, number
from letterwise.printable import printable
from letterwise.progress import duration_text

HEADINGS = ("run", "val nats", "val bits", "characters", "parameters", "steps", "time")
MISSING = "-"


def table(comparison: Comparison) -> str:
    """The comparison as lines of text."""
    rows = [row(run, label) for run, label in zip(comparison.runs, labels(comparison), strict=True)]
    lines = [f"best validation, nats and bits per character, protocol {PROTOCOL}", *aligned([HEADINGS, *rows]), comparison.note]
    if comparison.differences:
        names = [printable(run.name, one_line=True) for run in comparison.runs]
        knobs = [[name, *map(spelled, values)] for name, values in comparison.differences.items()]
        lines += ["", *aligned([["knobs that differ", *names], *knobs])]
    else:
        lines += ["", "No knob differs."]
    return "".join(f"{line}\n" for line in lines)


def labels(comparison: Comparison) -> list[str]:
    """For each run, which characters it was scored on, as a letter; nothing where they are the same."""
    return ["" if comparison.same_characters else f" ({letter(group)})" for group in comparison.groups]


def row(run: ComparedRun, group: str) -> list[str]:
    """One run's line."""
    last, chars, seconds = run.rows[-1], number(run.best, "val_chars"), number(run.rows[-1], "seconds")
    figures = [MISSING if value is None else f"{value:.4f}" for value in (run.nats, in_bits(run.nats))]
    scored = (MISSING if chars is None else f"{chars:,}") + group
    time = MISSING if seconds is None or not 0 <= seconds < 1e9 else duration_text(seconds)
    return [printable(run.name, one_line=True), *figures, scored, f"{run.params:,}", f"{last['step']:,}", time]


def letter(group: int) -> str:
    """A, B, …, Z, A1, …"""
    return chr(ord("A") + group % 26) + (str(group // 26) if group >= 26 else "")


def spelled(value: Any) -> str:
    """A knob's value, as a flag would take it."""
    if value is None or value == []:
        return MISSING
    if isinstance(value, bool):
        return str(value).lower()
    return printable(" ".join(value) if isinstance(value, list) else str(value), one_line=True)


def aligned(rows: Iterable[Iterable[str]]) -> list[str]:
    """Columns side by side."""
    cells = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
