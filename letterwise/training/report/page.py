"""Page: a run's report, one HTML file that needs no network.

facts: label → value ──────▶ a table ───────────────────────────────────────────────────────┐
rows of metrics.jsonl ─────▶ curves: loss, validation, learning rate, speed, gradient norm ─┼─▶ report.html
each validation's sample ──▶ what the model wrote by then ──────────────────────────────────┘
"""

import math
from pathlib import Path
from typing import Any

from letterwise.atomic import write_bytes
from letterwise.training.metrics.rows import Row, of_kind
from letterwise.training.report.document import CURVES_HERE, document, escaped
from letterwise.units import bits

MAX_SAMPLES = 100  # up to this number a page shows all; of more, the first, the latest, and every n-th between

STYLE = """
body { overflow-wrap: anywhere; }
h3 { font-size: 0.9rem; font-weight: normal; opacity: 0.7; margin: 1.5rem 0 0.3rem; }
table { width: 100%; table-layout: fixed; border-spacing: 0; }
th { width: 11rem; font-weight: normal; text-align: left; vertical-align: top; opacity: 0.7; padding-right: 1rem; }
td { vertical-align: top; }
blockquote { font: 0.9rem/1.5 ui-monospace, monospace; white-space: pre-wrap; tab-size: 4; margin: 0;
             padding-left: 1rem; border-left: 2px solid #8886; }
@media (max-width: 32rem) { th { width: 6.5rem; } }
"""


def write_report(path: Path, **page: Any) -> None:
    """Write the `report_page` of the same arguments, whole or not at all. Raises `UserError` where the system refuses."""
    write_bytes(path, report_page(**page).encode())


def report_page(*, title: str, facts: dict[str, str], rows: list[Row], baseline_bits: dict[str, float] | None = None) -> str:
    """The page, as HTML; the same run always gives the same page.

    `facts` maps label to value, `rows` are those of metrics.jsonl, and `baseline_bits` maps the name of something to compare
    with to its bits per character.
    """
    measurements = _measurements(of_kind(rows, None)) if rows else "<p>Nothing was measured.</p>"
    baselines = {name: value for name, value in (baseline_bits or {}).items() if math.isfinite(value)}
    runs = [{"name": title, "rows": rows, "baselines": baselines}]
    return document(title, STYLE, f"{facts_table(facts)}\n{measurements}", runs)


def facts_table(facts: dict[str, str]) -> str:
    """Label and value, a row each."""
    rows = (f'<tr><th scope="row">{escaped(label)}</th><td>{escaped(value)}</td></tr>' for label, value in facts.items())
    return f"<table>{''.join(rows)}</table>"


def _measurements(rows: list[Row]) -> str:
    every = max(1, -(-(len(rows) - 1) // (MAX_SAMPLES - 1)))
    some = [row for i, row in enumerate(rows) if i % every == 0 or i == len(rows) - 1]
    left_out = f"<p>{len(some):,} of {len(rows):,} samples; metrics.jsonl has all.</p>\n" if len(some) < len(rows) else ""
    samples = "".join(
        f'<h3>{_when(row)}</h3>\n<blockquote dir="auto">{escaped(row["sample"])}</blockquote>\n' for row in reversed(some)
    )
    return f"<h2>How it learned</h2>\n{CURVES_HERE}\n<h2>What it wrote, the latest first</h2>\n{left_out}{samples}"


def _when(row: Row) -> str:
    nats = row["val_nats_per_char"]
    return f"after {row['chars']:,} characters" + (
        "" if nats is None or not math.isfinite(nats) else f", {bits(nats):.2f} bits"
    )
