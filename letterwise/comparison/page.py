"""Page: a comparison as one HTML file that needs neither script nor network.

Comparison ──▶ all validation curves over one axis · the figures · the knobs that differ
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from letterwise.comparison.runs import PROTOCOL, ComparedRun, Comparison, in_bits, number
from letterwise.comparison.table import HEADINGS, labels, row, spelled
from letterwise.training.report.chart import HUES, Curve, chart, document, escaped

STYLE = """
div { overflow-x: auto; }
table { border-collapse: collapse; }
th, td { text-align: left; padding: 0.2rem 1.2rem 0.2rem 0; border-bottom: 1px solid #8884; }
th { font-weight: normal; opacity: 0.7; white-space: nowrap; }
td, figcaption { overflow-wrap: anywhere; }
"""


def page(comparison: Comparison) -> str:
    """The page, as HTML; the same runs always give the same page."""
    runs, groups = comparison.runs, labels(comparison)
    names = [f"{run.name}{group}" for run, group in zip(runs, groups, strict=True)]
    figures = html_table(HEADINGS, [row(run, group) for run, group in zip(runs, groups, strict=True)])
    knobs = "<p>No knob differs.</p>"
    if comparison.differences:
        shown = (
            [knob, *(spelled(without_folders(knob, v)) for v in values)] for knob, values in comparison.differences.items()
        )
        knobs = html_table(["knob", *(run.name for run in runs)], list(shown))
    curves = chart(
        [curve(run, name, i) for i, (run, name) in enumerate(zip(runs, names, strict=True))],
        x_title="characters learned from",
        y_title="validation, nats per character",
        right=("bits per character", math.log(2)),
        height=360,
    )
    body = (
        f"<p>{escaped(comparison.note)}</p>\n{curves}\n<h2>Best validation, protocol {PROTOCOL}</h2>\n{figures}\n"
        f"<h2>Knobs that differ</h2>\n{knobs}"
    )
    return document(f"{len(runs)} runs compared", STYLE, body)


def curve(run: ComparedRun, name: str, i: int) -> Curve:
    """One run's validations; after the colours are used up, dashed."""
    rows = [row for row in run.rows if number(row, "chars") is not None]
    nats = [number(row, "val_nats_per_char") for row in rows]
    bits = [in_bits(y) for y in nats]
    words = [
        f"{four_decimals(y)} nats = {four_decimals(b)} bits at step {row['step']:,}"
        for y, b, row in zip(nats, bits, rows, strict=True)
    ]
    best = next((i for i, row in enumerate(rows) if row["step"] == run.best["step"]), None)
    return Curve(name, [row["chars"] for row in rows], nats, words, hue=i % HUES, dashed=i // HUES % 2 == 1, best=best)


def html_table(headings: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    """A table that scrolls sideways where the page is narrow."""
    lines = [f"<tr>{''.join(f'<th>{escaped(heading)}</th>' for heading in headings)}</tr>"]
    lines += [f"<tr>{''.join(f'<td>{escaped(cell)}</td>' for cell in cells)}</tr>" for cells in rows]
    inside = "\n".join(lines)
    return f"<div><table>\n{inside}\n</table></div>"


def four_decimals(figure: float | None) -> str:
    """A figure as text; "" where there is none."""
    return "" if figure is None else f"{figure:.4f}"


def without_folders(knob: str, value: Any) -> Any:
    """The names of texts without the folders they are in: a page is shown to others."""
    return [Path(name).name for name in value] if knob in ("input_file", "val_file") else value
