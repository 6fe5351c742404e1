"""Report: the page that a finished run leaves behind. One file, which asks the network for nothing.

facts: label → value ──▶ a table ─────────────────────────────────────┐
rows of metrics.jsonl ─▶ loss in nats and bits, learning rate, speed ─┼─▶ report.html
each row's sample ─────▶ what the model wrote by then ────────────────┘
"""

import html
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from letterwise.atomic import write_bytes
from letterwise.loss import bits

if TYPE_CHECKING:
    from plotly.graph_objects import Figure, Scatter

Row = dict[str, Any]

VALIDATION, TRAINING, RATE, SPEED = "#d1495b", "#8a8f98", "#4a8fc2", "#3a9d7c"  # legible on white and on black
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
"""

# A reader who zooms moves the axis of nats; the axis of bits goes with it.
FOLLOW = """
const plot = document.getElementById("curves");
plot.on("plotly_relayout", () => {
  const bits = plot.layout.yaxis.range.map(nats => nats / Math.LN2);
  if (String(bits) !== String(plot.layout.yaxis2.range)) Plotly.relayout(plot, {"yaxis2.range": bits});
});
"""


def write_report(
    path: Path, *, title: str, facts: dict[str, str], rows: list[Row], baseline_bits: dict[str, float] | None = None
) -> None:
    """Write `report_page` to `path`, whole or not at all. Raises `UserError` when the operating system refuses."""
    page = report_page(title=title, facts=facts, rows=rows, baseline_bits=baseline_bits)
    write_bytes(path, page.encode())


def report_page(
    *, title: str, facts: dict[str, str], rows: list[Row], baseline_bits: dict[str, float] | None = None
) -> str:
    """The page, as HTML. The same run always gives the same page.

    `facts` maps label to value, `rows` are those of metrics.jsonl, one per validation, and `baseline_bits` maps the name
    of something to compare with to its bits per character.
    """
    table = "".join(f'<tr><th scope="row">{escaped(label)}</th><td>{escaped(value)}</td></tr>' for label, value in facts.items())
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escaped(title)}</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<link rel="icon" href="data:,">\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<h1>{escaped(title)}</h1>\n<table>{table}</table>\n"
        f"{_measurements(rows, baseline_bits) if rows else '<p>Nothing was measured.</p>'}\n</body>\n</html>\n"
    )


def _measurements(rows: list[Row], baseline_bits: dict[str, float] | None) -> str:
    curves = figure(rows, baseline_bits).to_html(
        full_html=False,
        include_plotlyjs=True,
        div_id="curves",
        post_script=FOLLOW,
        config={"displayModeBar": False, "responsive": True},
    )
    samples = "".join(
        f'<h3>{_when(row)}</h3>\n<blockquote dir="auto">{escaped(row["sample"])}</blockquote>\n' for row in reversed(rows)
    )
    return f"<h2>How it learned</h2>\n{curves}\n<h2>What it wrote, the latest first</h2>\n{samples}"


def _when(row: Row) -> str:
    nats = measured(row["val_nats_per_char"])
    return f"after {row['chars']:,} characters" + (f", {bits(nats):.2f} bits" if nats is not None else "")


def escaped(text: str) -> str:
    """Text as HTML that reads back as exactly this text, wherever HTML can say it.

    It cannot say NUL, shown as its picture ␀, nor half a surrogate pair, shown as �. A carriage return needs its number,
    because a page's own line ends are all read as line feeds.
    """
    sayable = text.replace("\0", "\u2400").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return html.escape(sayable).replace("\r", "&#13;")


def figure(rows: list[Row], baseline_bits: dict[str, float] | None = None) -> "Figure":
    """Loss, learning rate and speed, one above the other, over the characters learned from. `rows` must not be empty.

    The left axis of the loss is in nats, the right one in bits: one range, divided by ln 2, with ticks at the same heights.
    What is no finite number is left out.
    """
    from plotly.graph_objects import Figure, Scatter

    baselines = {name: value * math.log(2) for name, value in (baseline_bits or {}).items() if math.isfinite(value)}
    curves = [
        _curve(rows, "train_nats_per_char", "training", "y", TRAINING, _loss_words),
        _curve(rows, "val_nats_per_char", "validation", "y", VALIDATION, _loss_words),
        _curve(rows, "learning_rate", "learning rate", "y3", RATE, lambda rate, row: f"{rate:.3g} at step {row['step']:,}"),
        _curve(rows, "chars_per_second", "speed", "y4", SPEED, lambda v, row: f"{v:,.0f} chars/s, {row['seconds']:,.1f} s in"),
    ]
    best = [row for row in rows if row["best"] and measured(row["val_nats_per_char"]) is not None][-1:]
    marks = [_best_mark(row) for row in best]
    presence = Scatter(x=[None], y=[None], yaxis="y2", showlegend=False)  # an axis that nothing is drawn on is not drawn
    heights = [y for trace in curves[:2] for y in trace.y if y is not None] + list(baselines.values())
    return Figure([*curves, *marks, presence], {**_layout(*_range(heights)), "shapes": _lines(baselines)})


def measured(value: float | None) -> float | None:
    """The value, if it is a number that can be drawn."""
    return value if value is not None and math.isfinite(value) else None


def _loss_words(nats: float, row: Row) -> str:
    return f"{nats:.4f} nats = {bits(nats):.4f} bits"


def _curve(rows: list[Row], key: str, name: str, axis: str, colour: str, words: Callable[[float, Row], str]) -> "Scatter":
    from plotly.graph_objects import Scatter

    heights = [measured(row[key]) for row in rows]
    return Scatter(
        x=[row["chars"] for row in rows],
        y=heights,
        yaxis=axis,
        name=name,
        mode="lines+markers",
        line={"color": colour},
        marker={"size": 5},
        text=["" if y is None else words(y, row) for y, row in zip(heights, rows, strict=True)],
        hovertemplate="%{text}",
        showlegend=axis == "y",
    )


def _best_mark(row: Row) -> "Scatter":
    from plotly.graph_objects import Scatter

    nats = row["val_nats_per_char"]
    ring = {"symbol": "circle-open", "size": 14, "color": VALIDATION, "line": {"width": 2}}
    name = f"best: {_loss_words(nats, row)}"
    return Scatter(x=[row["chars"]], y=[nats], name=name, mode="markers", marker=ring, hoverinfo="skip")


def _range(heights: list[float]) -> tuple[float, float]:
    """Bottom and top of the loss axis, in nats, with some air."""
    low, high = min(heights, default=0.0), max(heights, default=1.0)
    air = 0.08 * (high - low) or 0.1
    return low - air, high + air


def _lines(baselines: dict[str, float]) -> list[dict[str, Any]]:
    """A dotted line across the loss for each name → nats."""
    across = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "line": {"color": TRAINING, "width": 1, "dash": "dot"}}
    label = {"textposition": "start", "yanchor": "bottom", "font": {"size": 11}}
    return [
        {**across, "y0": nats, "y1": nats, "label": {**label, "text": escaped(f"{name}: {bits(nats):.2f} bits")}}
        for name, nats in baselines.items()
    ]


def _layout(low: float, high: float) -> dict[str, Any]:
    """Where everything goes; `low` and `high` bound the loss, in nats."""
    quiet = {"gridcolor": GRID, "zeroline": False, "automargin": True}
    small = {**quiet, "rangemode": "tozero", "fixedrange": True, "nticks": 4, "exponentformat": "power"}
    return {
        "template": "none",
        "height": 640,
        "margin": {"l": 60, "r": 60, "t": 40, "b": 50},
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "font": {"family": "system-ui, sans-serif", "size": 13},
        "legend": {"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom"},
        "hovermode": "x unified",
        "hoversubplots": "axis",
        "xaxis": {**quiet, "title": "characters learned from", "anchor": "y4", "rangemode": "tozero", "hoverformat": ","},
        "yaxis": {**quiet, "title": "nats per character", "domain": [0.46, 1], "range": [low, high]},
        "yaxis2": {
            "title": "bits per character",
            "overlaying": "y",
            "side": "right",
            "range": [bits(low), bits(high)],
            "tickmode": "sync",
            "tickformat": ".2f",
            "showgrid": False,
            "zeroline": False,
            "fixedrange": True,
        },
        "yaxis3": {**small, "title": "learning rate", "domain": [0.23, 0.4]},
        "yaxis4": {**small, "title": "chars/s", "domain": [0, 0.17]},
    }
