"""Table: the README's figures of quality, written from the committed results. `make docs` brings them up to date.

benchmarks/results.jsonl ──▶ the part of README.md between two marks
"""

import json
import statistics
from pathlib import Path
from typing import Any

from benchmarks.record import ROOT
from letterwise.config.presets import PRESETS
from letterwise.units import nats

RESULTS, README = ROOT / "benchmarks/results.jsonl", ROOT / "README.md"
BEGIN, END = "<!-- quality: written by benchmarks/table.py -->", "<!-- /quality -->"
NAMES = {"xz": "xz -9e", "fast-without-counts": "`fast --counts_order 0`", **{name: f"`{name}`" for name in PRESETS}}


def main() -> None:
    """Put the table into the README."""
    README.write_text(updated(README.read_text(encoding="utf-8"), read(RESULTS)), encoding="utf-8")


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of a results file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def updated(page: str, lines: list[dict[str, Any]]) -> str:
    """The page with the table that follows from `lines`. Raises `ValueError` when it has no place for it."""
    before, _, rest = page.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"the page has no place for the table: {BEGIN} … {END}")
    return f"{before}{BEGIN}\n{table(lines)}\n{END}{after}"


def table(lines: list[dict[str, Any]]) -> str:
    """Nats per character (`blocks`): a row for each contender and time, a column for each text; the mean of several seeds."""
    lines = [line for line in lines if line["benchmark"] == "quality"]
    columns = list(dict.fromkeys(line["text"] for line in lines))
    cells: dict[tuple[float, str], dict[str, list[float]]] = {}
    members: dict[tuple[float, str], set[int]] = {}
    for line in lines:
        row = (line.get("minutes", 0.0), NAMES.get(line["contender"], line["contender"]))
        found = cells.setdefault(row, {}).setdefault(line["text"], [])
        members.setdefault(row, set()).add(line.get("members", 0))
        if "minutes" in line or not found:  # what takes no time is the same each time
            found.append(line["val_nats"])
        if "counting_bits" in line:
            cells.setdefault((0.0, "counting alone"), {})[line["text"]] = [round(nats(line["counting_bits"]), 4)]
    out = ["| minutes | | " + " | ".join(columns) + " |", "|---|---" + "|---" * len(columns) + "|"]
    for row, found in sorted(cells.items(), key=lambda item: item[0][0]):
        minutes, name = row
        told = [_mean(found.get(column, [])) for column in columns]
        first = [f"{minutes:g}" if minutes else "", name + _ensemble(members.get(row, {0}))]
        out.append("| " + " | ".join(first + told) + " |")
    return "\n".join(out)


def _ensemble(members: set[int]) -> str:
    """How many models they are together; nothing of single ones."""
    low, high = min(members), max(members)
    return "" if not high else f", {low} models" if low == high else f", {low} to {high} models"


def _mean(figures: list[float]) -> str:
    if not figures:
        return ""
    return f"{statistics.mean(figures):.3f}" + (f" ({len(figures)} seeds)" if len(figures) > 1 else "")


if __name__ == "__main__":
    main()
