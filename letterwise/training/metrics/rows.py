"""Rows: the lines of metrics.jsonl, which tell how a run went.

kind          comes                                  what it has beside step, chars and seconds
none          with each validation                   what the model file keeps as its history
"subset"      between them, in a run of minutes      a validation on a part of the same characters, which decides nothing
"training"    every so many steps                    loss, learning rate, gradient norm, speed
"end"         once, when the run has ended           nothing

Nothing here needs PyTorch: runs are looked at by others, too.
"""

import json
import math
from collections.abc import Iterable
from typing import Any

Row = dict[str, Any]

TRAINING, SUBSET, END = "training", "subset", "end"
ORDER = (TRAINING, SUBSET, None, END)  # of rows after the same step
MAX_FIGURE = 2**63


def spelled(rows: Iterable[Row]) -> bytes:
    """Rows as lines of JSON."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def parsed(content: bytes) -> list[Row]:
    """The rows of a file that may be written to at this moment, or by anyone: what is no row, or not all there, is left out.

    What is no finite number is None.
    """
    whole = content[: content.rfind(b"\n") + 1]
    return [row for line in whole.splitlines() if (row := _row(line)) is not None]


def _row(line: bytes) -> Row | None:
    """A row from its line; None for anything else."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or type(row.get("step")) is not int or row.get("kind") not in ORDER:
        return None
    if any(isinstance(value, list | dict) for value in row.values()):
        return None
    return {name: None if _is_wild(value) else value for name, value in row.items()}


def _is_wild(value: Any) -> bool:
    return isinstance(value, int | float) and not (math.isfinite(value) and abs(value) < MAX_FIGURE)


def of_kind(rows: Iterable[Row], kind: str | None) -> list[Row]:
    """The rows of one kind; of None, the validations."""
    return [row for row in rows if row.get("kind") == kind]


def in_order(rows: Iterable[Row]) -> list[Row]:
    """Rows of several kinds in the order in which they came."""
    return sorted(rows, key=lambda row: (row["step"], ORDER.index(row.get("kind"))))
