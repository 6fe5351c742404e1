"""Page: a run's report, one HTML file that needs no network.

facts: label → value ──▶ a table ─────────────────────────────────────┐
rows of metrics.jsonl ─▶ loss in nats and bits, learning rate, speed ─┼─▶ report.html
each row's sample ─────▶ what the model wrote by then ────────────────┘
"""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from letterwise.atomic import write_bytes
from letterwise.training.report.chart import Curve, Line, chart, document, escaped
from letterwise.units import bits

Row = dict[str, Any]

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

    `facts` maps label to value, `rows` are those of metrics.jsonl, one per validation, and `baseline_bits` maps the name
    of something to compare with to its bits per character.
    """
    table = "".join(
        f'<tr><th scope="row">{escaped(label)}</th><td>{escaped(value)}</td></tr>' for label, value in facts.items()
    )
    measurements = _measurements(rows, baseline_bits) if rows else "<p>Nothing was measured.</p>"
    return document(title, STYLE, f"<table>{table}</table>\n{measurements}")


def _measurements(rows: list[Row], baseline_bits: dict[str, float] | None) -> str:
    every = max(1, -(-(len(rows) - 1) // (MAX_SAMPLES - 1)))
    some = [row for i, row in enumerate(rows) if i % every == 0 or i == len(rows) - 1]
    left_out = f"<p>{len(some):,} of {len(rows):,} samples; metrics.jsonl has all.</p>\n" if len(some) < len(rows) else ""
    samples = "".join(
        f'<h3>{_when(row)}</h3>\n<blockquote dir="auto">{escaped(row["sample"])}</blockquote>\n' for row in reversed(some)
    )
    curves = "\n".join(charts(rows, baseline_bits))
    return f"<h2>How it learned</h2>\n{curves}\n<h2>What it wrote, the latest first</h2>\n{left_out}{samples}"


def _when(row: Row) -> str:
    nats = measured(row["val_nats_per_char"])
    return f"after {row['chars']:,} characters" + ("" if nats is None else f", {bits(nats):.2f} bits")


def measured(value: float | None) -> float | None:
    """The value, if it is a number that can be drawn."""
    return value if value is not None and math.isfinite(value) else None


def charts(rows: list[Row], baseline_bits: dict[str, float] | None = None) -> list[str]:
    """Loss, learning rate and speed, one below the other, over the characters learned from. `rows` must not be empty.

    The left axis of the loss is in nats, the right one in bits. What is no finite number is left out.
    """
    lines = [Line(name, value * math.log(2), f"{value:.2f} bits") for name, value in (baseline_bits or {}).items()]
    validation = _curve(rows, "val_nats_per_char", "validation", 0, _loss_words)
    best = [(i, nats) for i, nats in enumerate(validation.ys) if rows[i]["best"] and nats is not None][-1:]
    for i, nats in best:
        validation = replace(validation, name=f"validation (ring: the best, {_loss_words(nats, rows[i])})", best=i)
    moving = [row for row in rows if row["step"] > 0]  # before the first step there is no rate and no speed
    rate = _curve(moving, "learning_rate", "learning rate", 2, lambda rate, row: f"{rate:.3g} at step {row['step']:,}")
    speed = _curve(moving, "chars_per_second", "speed", 3, lambda v, row: f"{v:,.0f} chars/s, {row['seconds']:,.1f} s in")
    loss = [_curve(rows, "train_nats_per_char", "training", 1, _loss_words), validation]
    if "old_val_nats_per_char" in rows[0]:
        loss.append(_curve(rows, "old_val_nats_per_char", "the base model's own text", 4, _loss_words))
    x_title = "characters learned from"
    return [
        chart(loss, lines, x_title=x_title, y_title="nats per character", right=("bits per character", math.log(2))),
        chart([rate], x_title=x_title, y_title="learning rate", from_zero=True, height=120),
        chart([speed], x_title=x_title, y_title="characters per second", from_zero=True, height=120),
    ]


def _loss_words(nats: float, row: Row) -> str:
    return f"{nats:.4f} nats = {bits(nats):.4f} bits"


def _curve(rows: list[Row], key: str, name: str, hue: int, words: Callable[[float, Row], str]) -> Curve:
    ys = [measured(row[key]) for row in rows]
    labels = [
        "" if y is None else f"{words(y, row)}, after {row['chars']:,} characters" for y, row in zip(ys, rows, strict=True)
    ]
    return Curve(name, [row["chars"] for row in rows], ys, labels, hue)
