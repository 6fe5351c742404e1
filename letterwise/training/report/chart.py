"""Chart: curves over one axis, as a `<figure>` that needs neither script nor network. A pure function of what it is given.

curves, reference lines ──▶ range, ticks ──▶ <svg> that scales to its page ─┐
names, styles ────────────▶ legend, in words that wrap ─────────────────────┴─▶ <figure class="chart">

`document` makes a page of them, for light and dark.
"""

import html
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

LEFT, TOP, WIDTH, BELOW = 80, 34, 500, 56  # the drawing within its frame of 660 units, which the page stretches as it needs
FRAME = LEFT + WIDTH + LEFT
MAX_DRAWN = 1e100  # no larger number is drawn, so that differences and their logarithms stay finite
HUES = 8  # colours before they repeat
MARKS = 300  # points of one curve that can be hovered over; a longer curve is a whole line, with marks on every n-th point

# A page has its own style and no script, and the browser refuses it everything else: no request leaves the machine.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 58rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 0.5rem; }
.chart { --ink: #1c1e21; --paper: #fff; --grid: #8884; margin: 0.5rem 0 1.5rem; color: var(--ink);
  --hue-0: #c2334a; --hue-1: #6b7280; --hue-2: #1f6fb2; --hue-3: #1b7f5c; --hue-4: #b25b00; --hue-5: #7a3fb0; --hue-6: #0b7a86;
  --hue-7: #8c6d00; }
@media (prefers-color-scheme: dark) { .chart { --ink: #e8e8e8; --paper: #121212;
  --hue-0: #f0758a; --hue-1: #a3a9b4; --hue-2: #6fb3ea; --hue-3: #5cc79f; --hue-4: #f0a04b; --hue-5: #c39af0; --hue-6: #58c4d0;
  --hue-7: #d6b84a; } }
.chart svg { display: block; width: 100%; height: auto; overflow: visible; }
.chart text { font: 14px system-ui, sans-serif; fill: currentColor; }
.chart .grid { stroke: var(--grid); }
.chart polyline { fill: none; stroke-width: 2; stroke-linejoin: round; }
.chart circle { stroke-width: 12; pointer-events: all; }
.chart .best { fill: none; stroke-width: 2; pointer-events: none; }
.chart figcaption { margin-top: 0.4rem; display: flex; flex-wrap: wrap; gap: 0.1rem 1.2rem;
  font-size: 0.9rem; }
.chart figcaption svg { display: inline-block; width: 1.6em; height: 0.8em; margin-right: 0.4em; }
@media (max-width: 32rem) { .chart text { font-size: 21px; } .chart circle { r: 5px; } .chart .best { r: 12px; } }
"""


@dataclass(frozen=True)
class Curve:
    """Points in their order. A `y` that is None or no finite number is a gap. `words[i]` is shown by hovering over point i."""

    name: str
    xs: Sequence[float]
    ys: Sequence[float | None]
    words: Sequence[str] = ()
    hue: int = 0  # colour, one of `HUES`
    dashed: bool = False
    best: int | None = None  # the point to ring


@dataclass(frozen=True)
class Line:
    """A value to compare with, drawn across; `words` says it in the legend."""

    name: str
    y: float
    words: str


@dataclass(frozen=True)
class Scale:
    """Value → coordinate: `low` is drawn at `start`, `high` at `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def chart(
    curves: Sequence[Curve],
    lines: Sequence[Line] = (),
    *,
    x_title: str,
    y_title: str,
    right: tuple[str, float] | None = None,
    from_zero: bool = False,
    near: float = 0.25,
    height: int = 240,
) -> str:
    """The figure, as HTML. `right` is the title of a second axis and the divisor that turns a left value into a right one.

    A line farther from the curves than their own height (or `near`, if that is more) is named in words and not drawn: it
    would only flatten the curves. Without any point there is a sentence that says so.
    """
    heights = [y for curve in curves for _, _, y in _known(curve)]
    if not heights:
        return f'<p class="chart">{escaped(y_title)}: nothing was measured.</p>'
    margin = max(max(heights) - min(heights), near)
    finite = [line for line in lines if abs(line.y) < MAX_DRAWN]
    drawn = [line for line in finite if min(heights) - margin <= line.y <= max(heights) + margin]
    shown = heights + [line.y for line in drawn] + [0.0] * from_zero
    rows, step = ticks(*_apart(min(shown), max(shown)), max_steps=max(2, height // 40), outward=True)
    y_at = Scale(rows[0], rows[-1], TOP + height, TOP)
    xs = [x for curve in curves for _, x, _ in _known(curve)]
    x_at = Scale(*_apart(min(0.0, *xs), max(xs)), LEFT, LEFT + WIDTH)
    parts = [*_axes(x_at, y_at, rows, step, right), *_titles(x_title, y_title, right, height)]
    parts += [part for i, line in enumerate(drawn) for part in _across(line, y_at(line.y), i)]
    parts += [part for curve in curves for part in _drawn(curve, x_at, y_at)]
    svg = "\n".join(parts)
    view = f'viewBox="0 0 {FRAME} {TOP + height + BELOW}" role="img" aria-label="{escaped(y_title)}"'
    return (
        f'<figure class="chart">\n<svg xmlns="http://www.w3.org/2000/svg" {view}>\n{svg}\n</svg>\n'
        f"<figcaption>{_legend(curves, drawn, [line for line in finite if line not in drawn])}</figcaption>\n</figure>"
    )


def document(title: str, style: str, body: str) -> str:
    """A page of HTML with this title and content."""
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escaped(title)}</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<link rel="icon" href="data:,">\n'
        f"<style>{STYLE}{style}</style>\n</head>\n<body>\n<h1>{escaped(title)}</h1>\n{body}\n</body>\n</html>\n"
    )


def ticks(low: float, high: float, *, max_steps: int, outward: bool = False) -> tuple[list[float], float]:
    """Multiples of 1, 2 or 5 × 10ⁿ within [low, high] (or, `outward`, just around it), and their distance.

    The smallest distance that needs no more than `max_steps` steps.
    """
    rough = (high - low) / max_steps
    power = math.floor(math.log10(rough)) if rough > 0 else 0
    for factor, n in ((1, power), (2, power), (5, power), (1, power + 1), (2, power + 1), (5, power + 1), (1, power + 2)):
        step = factor * 10.0**n
        slack = 1e-9  # so that 0.6 / 0.2 is 3
        first, last = math.ceil(low / step - slack), math.floor(high / step + slack)
        if outward:
            first, last = math.floor(low / step + slack), math.ceil(high / step - slack)
        if last - first <= max_steps:
            break
    return [float(f"{i * factor}e{n}") for i in range(first, last + 1)], step


def short(value: float) -> str:
    """A tick's number in few letters: 20k, 1.5M, 6e-4."""
    if value == 0:
        return "0"
    size = abs(value)
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if unit <= size < 1e12:
            return f"{value / unit:.6g}{name}"
    if 0.01 <= size < 1e12:
        return f"{value:.6g}"
    mantissa, _, exponent = f"{value:.5e}".partition("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def escaped(text: str) -> str:
    """Text as HTML that reads back as exactly this text, as far as HTML can hold it.

    It cannot hold NUL, shown as its picture ␀, nor a lone surrogate, shown as �. A carriage return is written by its number,
    because a page's own line ends are all read as line feeds.
    """
    plain = text.replace("\0", "\u2400").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return html.escape(plain).replace("\r", "&#13;")


def _known(curve: Curve) -> Iterator[tuple[int, float, float]]:
    """The points that can be drawn, each with its number."""
    for i, (x, y) in enumerate(zip(curve.xs, curve.ys, strict=True)):
        if y is not None and abs(y) < MAX_DRAWN and abs(x) < MAX_DRAWN:  # false for NaN
            yield i, x, y


def _apart(low: float, high: float) -> tuple[float, float]:
    """The range, widened by a tenth where it is too narrow to divide: what differs by less than 1 in 1,000 looks flat."""
    size = max(abs(low), abs(high))
    if size > 1 / MAX_DRAWN and high - low > 1e-3 * size:
        return low, high
    margin = 0.1 * size if size > 1 / MAX_DRAWN else 1.0
    return low - (margin if low else 0.0), high + margin


def _axes(x_at: Scale, y_at: Scale, rows: list[float], step: float, right: tuple[str, float] | None) -> Iterator[str]:
    for value in rows:
        y = y_at(value)
        yield f'<line class="grid" x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{LEFT - 8}" y="{y:.1f}" dy="0.35em" text-anchor="end">{short(value)}</text>'
        if right is not None:
            digits = max(2, 1 - math.floor(math.log10(step)))
            yield f'<text x="{LEFT + WIDTH + 8}" y="{y:.1f}" dy="0.35em">{value / right[1]:.{digits}f}</text>'
    for value in ticks(x_at.low, x_at.high, max_steps=5)[0]:
        x = x_at(value)
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{y_at.start}" y2="{y_at.start + 5}"/>'
        yield f'<text x="{x:.1f}" y="{y_at.start + 8}" dy="0.8em" text-anchor="middle">{short(value)}</text>'


def _titles(x_title: str, y_title: str, right: tuple[str, float] | None, height: int) -> Iterator[str]:
    yield f'<text x="2" y="4" dy="0.8em">{escaped(y_title)}</text>'
    if right is not None:
        yield f'<text x="{FRAME - 2}" y="4" dy="0.8em" text-anchor="end">{escaped(right[0])}</text>'
    yield f'<text x="{LEFT + WIDTH / 2:g}" y="{TOP + height + BELOW - 4}" text-anchor="middle">{escaped(x_title)}</text>'


def _dots(i: int) -> str:
    """How the i-th line across is broken."""
    return f'stroke="currentColor" stroke-dasharray="{("2 4", "8 4", "8 3 2 3", "14 4")[i % 4]}"'


def _across(line: Line, y: float, i: int) -> Iterator[str]:
    words = f"<title>{escaped(f'{line.name}: {line.words}')}</title>"
    yield f'<line class="across" x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{y:.1f}" y2="{y:.1f}" {_dots(i)}>{words}</line>'


def _stroke(curve: Curve) -> str:
    return f'style="stroke: var(--hue-{curve.hue % HUES})"' + ' stroke-dasharray="6 4"' * curve.dashed


def _drawn(curve: Curve, x_at: Scale, y_at: Scale) -> Iterator[str]:
    """The curve's lines, broken at its gaps, then its points."""
    known = [(i, x_at(x), y_at(y)) for i, x, y in _known(curve)]
    pieces: list[list[str]] = []
    before = None
    for i, x, y in known:
        if before is None or i != before + 1:
            pieces.append([])
        pieces[-1].append(f"{x:.1f},{y:.1f}")
        before = i
    yield from (f'<polyline {_stroke(curve)} points="{" ".join(piece)}"/>' for piece in pieces if len(piece) > 1)
    every = -(-len(known) // MARKS)
    for n, (i, x, y) in enumerate(known):
        position = f'cx="{x:.1f}" cy="{y:.1f}"'
        if n % every == 0 or i == curve.best or n == len(known) - 1:
            words = curve.words[i] if curve.words else f"{short(curve.xs[i])}: {curve.ys[i]:.6g}"
            title = f"<title>{escaped(f'{curve.name}: {words}')}</title>"
            yield f'<circle style="fill: var(--hue-{curve.hue % HUES})" stroke="transparent" r="3" {position}>{title}</circle>'
        if i == curve.best:
            yield f'<circle class="best" style="stroke: var(--hue-{curve.hue % HUES})" r="8" {position}/>'


def _legend(curves: Sequence[Curve], drawn: Sequence[Line], far: Sequence[Line]) -> str:
    """What each line is, and what is too far away to be drawn. A single curve is what the axis says it is."""
    sample = '<svg viewBox="0 0 32 16" aria-hidden="true"><line x1="0" x2="32" y1="8" y2="8" stroke-width="3" {}/></svg>'
    entries = [sample.format(_stroke(curve)) + escaped(curve.name) for curve in curves if any(True for _ in _known(curve))]
    entries += [sample.format(_dots(i)) + escaped(f"{line.name}: {line.words}") for i, line in enumerate(drawn)]
    entries += [escaped(f"{line.name}: {line.words} (too far away to be drawn)") for line in far]
    return "".join(f"<span>{entry}</span>" for entry in entries if len(entries) > 1)
