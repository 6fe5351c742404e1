"""Report: the page that a finished run leaves behind. One file, which asks the network for nothing.

facts: label → value ──▶ a table ─────────────────────────────────────┐
rows of metrics.jsonl ─▶ loss in nats and bits, learning rate, speed ─┼─▶ report.html
each row's sample ─────▶ what the model wrote by then ────────────────┘
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from letterwise.atomic import write_bytes
from letterwise.loss import bits
from letterwise.training.chart import escaped

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Row = dict[str, Any]

VALIDATION, TRAINING, RATE, SPEED = "#d1495b", "#8a8f98", "#4a8fc2", "#3a9d7c"  # legible on white and on black
NEAR = 0.25  # nats: a baseline so near is drawn, however flat the curves are
CLEAR, GRID = "rgba(0,0,0,0)", "rgba(128,128,128,0.25)"

# The page may run its own script and style, and the browser refuses it everything else: no request leaves the machine.
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"

STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 58rem; margin: 2rem auto; padding: 0 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 0.5rem; }
h3 { font-size: 0.9rem; font-weight: normal; opacity: 0.7; margin: 1.5rem 0 0.3rem; }
th { font-weight: normal; text-align: left; vertical-align: top; opacity: 0.7; white-space: nowrap; padding-right: 1.5rem; }
blockquote { font: 0.9rem/1.5 ui-monospace, monospace; white-space: pre-wrap; tab-size: 4; margin: 0;
             padding-left: 1rem; border-left: 2px solid #8886; }
.main-svg text { fill: CanvasText !important; }
.hoverlayer .bg { fill: Canvas !important; }
.hoverlayer .spikeline { stroke: #8888 !important; stroke-width: 1px !important; }
"""

# A reader who zooms moves the axis of nats; the axis of bits goes with it.
FOLLOW = """
const plot = document.getElementById("curves");
plot.on("plotly_relayout", () => {
  const bits = plot.layout.yaxis.range.map(nats => nats / Math.LN2);
  if (String(bits) !== String(plot.layout.yaxis2.range)) Plotly.relayout(plot, {"yaxis2.range": bits});
});
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
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escaped(title)}</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<link rel="icon" href="data:,">\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<h1>{escaped(title)}</h1>\n<table>{table}</table>\n"
        f"{_measurements(rows, baseline_bits) if rows else '<p>Nothing was measured.</p>'}\n</body>\n</html>\n"
    )


def _measurements(rows: list[Row], baseline_bits: dict[str, float] | None) -> str:
    config = {"displayModeBar": False, "responsive": True}
    curves = figure(rows, baseline_bits).to_html(full_html=False, div_id="curves", post_script=FOLLOW, config=config)
    samples = "".join(
        f'<h3>{_when(row)}</h3>\n<blockquote dir="auto">{escaped(row["sample"])}</blockquote>\n' for row in reversed(rows)
    )
    return f"<h2>How it learned</h2>\n{curves}\n<h2>What it wrote, the latest first</h2>\n{samples}"


def _when(row: Row) -> str:
    nats = measured(row["val_nats_per_char"])
    return f"after {row['chars']:,} characters" + ("" if nats is None else f", {bits(nats):.2f} bits")


def measured(value: float | None) -> float | None:
    """The value, if it is a number that can be drawn."""
    return value if value is not None and math.isfinite(value) else None


def figure(rows: list[Row], baseline_bits: dict[str, float] | None = None) -> "Figure":
    """Loss, learning rate and speed, one above the other, over the characters learned from. `rows` must not be empty.

    The left axis of the loss is in nats, the right one in bits: one range, divided by ln 2, with ticks at the same heights.
    What is no finite number is left out.
    """
    from plotly.graph_objects import Figure

    baselines = {name: value * math.log(2) for name, value in (baseline_bits or {}).items() if math.isfinite(value)}
    curves = [
        _curve(rows, "train_nats_per_char", "training", "y", TRAINING, _loss_words),
        _curve(rows, "val_nats_per_char", "validation", "y", VALIDATION, _loss_words),
        _curve(rows, "learning_rate", "learning rate", "y3", RATE, lambda rate, row: f"{rate:.3g} at step {row['step']:,}"),
        _curve(rows, "chars_per_second", "speed", "y4", SPEED, lambda v, row: f"{v:,.0f} chars/s, {row['seconds']:,.1f} s in"),
    ]
    presence = dict(x=[None], y=[None], yaxis="y2", showlegend=False)  # an axis that nothing is drawn on is not drawn
    heights = [nats for curve in curves[:2] for nats in curve["y"] if nats is not None]
    baselines = near(heights, baselines)
    heights += baselines.values()
    low, high = min(heights, default=0.0), max(heights, default=1.0)
    air = 0.08 * (high - low) or 0.1
    layout = _layout(low - air, high + air) | {"shapes": [_line(name, nats) for name, nats in baselines.items()]}
    return Figure([*curves, *_best_mark(rows), presence], layout)


def near(heights: list[float], baselines: dict[str, float]) -> dict[str, float]:
    """The baselines that the curves come near to: one far above them would only press the curves flat. The table has all."""
    if not heights:
        return baselines
    room = max(max(heights) - min(heights), NEAR)
    return {name: nats for name, nats in baselines.items() if min(heights) - room <= nats <= max(heights) + room}


def _loss_words(nats: float, row: Row) -> str:
    return f"{nats:.4f} nats = {bits(nats):.4f} bits"


def _curve(rows: list[Row], key: str, name: str, axis: str, colour: str, words: Callable[[float, Row], str]) -> Row:
    known = [row["step"] > 0 or axis == "y" for row in rows]  # before the first step there is no rate and no speed
    x, y = (
        [row["chars"] for row in rows],
        [measured(row[key]) if is_known else None for row, is_known in zip(rows, known, strict=True)],
    )
    text = ["" if height is None else words(height, row) for height, row in zip(y, rows, strict=True)]
    look = dict(mode="lines+markers", line={"color": colour}, marker={"size": 5}, showlegend=axis == "y" and any(text))
    return dict(x=x, y=y, yaxis=axis, name=name, text=text, hovertemplate="%{text}", **look)


def _best_mark(rows: list[Row]) -> list[Row]:
    """A ring around the validation whose weights were kept, if there was a validation."""
    best = [(row, nats) for row in rows if row["best"] and (nats := measured(row["val_nats_per_char"])) is not None][-1:]
    ring = dict(mode="markers", marker=dict(symbol="circle-open", size=14, color=VALIDATION, line_width=2), hoverinfo="skip")
    return [dict(x=[row["chars"]], y=[nats], name=f"best: {_loss_words(nats, row)}", **ring) for row, nats in best]


def _line(name: str, nats: float) -> Row:
    """A dotted line across the loss, with its name on it."""
    label = dict(text=escaped(f"{name}: {bits(nats):.2f} bits"), textposition="start", yanchor="bottom", font_size=11)
    line = dict(color=TRAINING, width=1, dash="dot")
    return dict(type="line", xref="paper", x0=0, x1=1, y0=nats, y1=nats, line=line, label=label)


def _layout(low: float, high: float) -> Row:
    """Where everything goes; `low` and `high` bound the loss, in nats."""
    quiet = dict(gridcolor=GRID, zeroline=False, title_font_size=13)
    small = dict(**quiet, rangemode="tozero", fixedrange=True, nticks=4)
    right = dict(overlaying="y", side="right", showgrid=False, fixedrange=True, tickmode="sync", tickformat=".2f")
    return dict(
        template="none",
        height=640,
        margin=dict(l=60, r=60, t=40, b=50),
        paper_bgcolor=CLEAR,
        plot_bgcolor=CLEAR,
        font=dict(family="system-ui, sans-serif", size=13),
        legend=dict(orientation="h", x=0, y=1.01, yanchor="bottom"),
        hovermode="x unified",
        hoversubplots="axis",
        xaxis=dict(**quiet, title_text="characters learned from", anchor="y4", rangemode="tozero", hoverformat=","),
        yaxis=dict(**quiet, title_text="nats per character", domain=[0.46, 1], range=[low, high]),
        yaxis2={**quiet, **right, "title_text": "bits per character", "range": [bits(low), bits(high)]},
        yaxis3=dict(**small, title_text="learning rate", domain=[0.23, 0.4], exponentformat="power"),
        yaxis4=dict(**small, title_text="chars/s", domain=[0, 0.17], tickformat="~s"),
    )
