"""Report: the page that a finished run leaves behind. Self-contained: it opens without a network.

facts, rows (metrics.jsonl) ──▶ report.html: loss in nats and bits · learning rate · speed · samples as training went on
"""

import html
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from letterwise.atomic import write_bytes
from letterwise.loss import bits

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

TRAIN_COLOUR, VAL_COLOUR = "#8a8f98", "#d1495b"
STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; } td { padding: .15rem 1rem .15rem 0; vertical-align: top; overflow-wrap: anywhere; }
td:first-child, .after { opacity: .65; white-space: nowrap; }
pre { font: 14px/1.45 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; margin: .3rem 0 1.4rem;
      padding-left: 1rem; border-left: 3px solid #8888; }
"""


def write_report(path: Path, *, title: str, facts: dict[str, str], rows: list[dict[str, Any]]) -> None:
    """Write the page, whole or not at all."""
    write_bytes(path, report_page(title=title, facts=facts, rows=rows).encode())


def report_page(*, title: str, facts: dict[str, str], rows: list[dict[str, Any]]) -> str:
    """The page as HTML. `facts` are its table, `rows` those of metrics.jsonl."""
    table = "".join(f"<tr><td>{html.escape(name)}</td><td>{html.escape(value)}</td></tr>" for name, value in facts.items())
    curves = figure(rows).to_html(full_html=False, include_plotlyjs=True, config={"displaylogo": False}) if rows else ""
    samples = "".join(f'<div class="after">{html.escape(after(row))}</div><pre>{shown(row["sample"])}</pre>' for row in rows)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        '<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
        f"<style>{STYLE}</style></head><body><h1>{html.escape(title)}</h1><table>{table}</table>"
        f"<h2>Learning</h2>{curves or '<p>Nothing was measured.</p>'}<h2>What it wrote, as training went on</h2>{samples}"
        "</body></html>"
    )


def figure(rows: list[dict[str, Any]]) -> "Figure":
    """Loss over characters seen, on two scales of one axis, above learning rate and speed."""
    from plotly.graph_objects import Scatter
    from plotly.subplots import make_subplots

    specs = [[{"secondary_y": True}], [{}], [{}]]
    plots = make_subplots(rows=3, shared_xaxes=True, vertical_spacing=0.06, row_heights=[0.6, 0.2, 0.2], specs=specs)
    chars = [row["chars"] for row in rows]
    hover = [f"step {row['step']:,} · {row['seconds']:,.1f} s" for row in rows]

    def line(name: str, values: list[float | None], colour: str, row: int, **more: Any) -> None:
        trace = Scatter(
            x=chars, y=values, name=name, text=hover, mode="lines+markers", line={"color": colour}, showlegend=row == 1
        )
        plots.add_trace(trace, row=row, col=1, **more)

    train, val = finite(rows, "train_nats_per_char"), finite(rows, "val_nats_per_char")
    line("training", train, TRAIN_COLOUR, 1, secondary_y=False)
    line("validation", val, VAL_COLOUR, 1, secondary_y=False)
    line("learning rate", finite(rows, "learning_rate"), TRAIN_COLOUR, 2)
    line("characters per second", finite(rows, "chars_per_second"), TRAIN_COLOUR, 3)
    low, high = loss_range([*train, *val])
    plots.add_trace(Scatter(x=chars[:1], y=[None], showlegend=False), row=1, col=1, secondary_y=True)  # or the axis stays away
    plots.update_yaxes(title_text="nats per character", range=[low, high], row=1, col=1, secondary_y=False)
    plots.update_yaxes(
        title_text="bits", range=[bits(low), bits(high)], showgrid=False, row=1, col=1, secondary_y=True
    )  # fmt: skip
    plots.update_yaxes(title_text="learning rate", row=2, col=1)
    plots.update_yaxes(title_text="chars/s", rangemode="tozero", row=3, col=1)
    plots.update_xaxes(title_text="characters learned from", row=3, col=1)
    plots.update_layout(height=720, margin={"l": 60, "r": 60, "t": 20, "b": 50}, legend={"orientation": "h", "y": 1.04})
    return plots


def finite(rows: list[dict[str, Any]], key: str) -> list[float | None]:
    """A column of the rows, with gaps where there is no number to draw."""
    return [value if (value := row[key]) is not None and math.isfinite(value) else None for row in rows]


def loss_range(values: list[float | None]) -> tuple[float, float]:
    """Bottom and top of the loss axis, with a little air."""
    there = [value for value in values if value is not None] or [0.0, 1.0]
    air = 0.05 * (max(there) - min(there)) or 0.1
    return min(there) - air, max(there) + air


def after(row: dict[str, Any]) -> str:
    """When a sample was written."""
    val = row["val_nats_per_char"]
    return f"after {row['chars']:,} characters" + ("" if val is None else f", at {bits(val):.2f} bits per character")


def shown(text: str) -> str:
    """A sample as HTML; control characters that a page cannot hold are shown by their pictures (U+2400 …)."""
    visible = "".join(chr(0x2400 + ord(c)) if ord(c) < 32 and c not in "\n\t" else c for c in text)
    return "\n" + html.escape(visible.encode("utf-8", "replace").decode())  # a page swallows the first line break of a <pre>
