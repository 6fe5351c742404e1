"""Page: a comparison as one HTML file that needs no network.

Comparison ──▶ the curves of all runs over one axis · the figures · the knobs that differ
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from letterwise.comparison.runs import PROTOCOL, Comparison
from letterwise.comparison.table import HEADINGS, labels, row, spelled
from letterwise.training.report.document import CURVES_HERE, document, escaped

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
    body = (
        f"<p>{escaped(comparison.note)}</p>\n{CURVES_HERE}\n<h2>Best validation, protocol {PROTOCOL}</h2>\n{figures}\n"
        f"<h2>Knobs that differ</h2>\n{knobs}"
    )
    drawn = [{"name": name, "rows": run.metrics} for run, name in zip(runs, names, strict=True)]
    return document(f"{len(runs)} runs compared", STYLE, body, drawn)


def html_table(headings: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    """A table that scrolls sideways where the page is narrow."""
    lines = [f"<tr>{''.join(f'<th>{escaped(heading)}</th>' for heading in headings)}</tr>"]
    lines += [f"<tr>{''.join(f'<td>{escaped(cell)}</td>' for cell in cells)}</tr>" for cells in rows]
    inside = "\n".join(lines)
    return f"<div><table>\n{inside}\n</table></div>"


def without_folders(knob: str, value: Any) -> Any:
    """The names of texts without the folders they are in: a page is shown to others."""
    return [Path(name).name for name in value] if knob in ("input_file", "val_file") else value
