"""Page: a sweep as one HTML file that needs no network.

Study ──▶ figures by trial, and over each knob that varies (SVG) · the curves of the best runs · a table of all trials
"""

import math
from collections.abc import Callable, Iterable, Sequence

from optuna.trial import FrozenTrial, TrialState

from letterwise.comparison.page import STYLE as TABLE_STYLE
from letterwise.comparison.page import html_table
from letterwise.sweep.space import Choice, Range
from letterwise.sweep.study import REASON, Study
from letterwise.training.metrics.rows import parsed
from letterwise.training.report.document import CURVES_HERE, document, escaped
from letterwise.training.run_directory import RunDirectory
from letterwise.units import bits

CURVES = 8  # runs whose curves are shown: the best
WIDTH, HEIGHT, LEFT, BELOW = 320, 200, 46, 34  # of a plot, in units of its own; room for the figures at its axes
MOST = 0.75  # of the whole trials: a plot reaches up to the worst of these, and what is worse stands at its edge
STYLE = (
    TABLE_STYLE
    + """
td { white-space: nowrap; }
.plots { display: flex; flex-wrap: wrap; gap: 1rem; }
.plots figure { margin: 0; width: 20rem; }
.plots text { font-size: 11px; fill: currentColor; opacity: 0.75; }
.plots line { stroke: currentColor; opacity: 0.25; }
.plots circle { fill: light-dark(#1f6fb2, #6fb3ea); opacity: 0.8; }
.plots circle.pruned { fill: none; stroke: currentColor; opacity: 0.5; }
.plots circle.best { fill: light-dark(#c2334a, #f0758a); opacity: 1; }
"""
)
Point = tuple[float, FrozenTrial]  # where a trial stands on the x-axis, from 0 to 1


def page(study: Study) -> str:
    """The page, as HTML; the same trials always give the same page."""
    trials, best, vary = study.trials, study.best, study.space.vary
    shown = [trial for trial in trials if figure(trial) is not None]
    across = max(1, len(trials) - 1)
    plots = [plot("trial", shown, best, lambda t: t.number / across, [(0, "1"), (1, str(len(trials)))])]
    plots += [plot(name, shown, best, at(name, varied), marks(varied)) for name, varied in vary.items()]
    summary = f"{len(trials)} of {study.space.trials} trials."
    if best and best.value is not None:
        summary += f" The best is trial {best.number + 1}: {best.value:.4f} nats = {bits(best.value):.4f} bits per character."
    ranked = sorted((t for t in shown if t.state == TrialState.COMPLETE), key=lambda t: t.value or 0.0)[:CURVES]
    body = (
        f"<p>{summary} Rings were given up early, at the figure they then had; the line of dots at the top edge goes on "
        f'beyond it.</p>\n<div class="plots">\n{"".join(plots)}</div>\n<h2>How the best {len(ranked)} learned</h2>\n'
        f"{CURVES_HERE}\n<h2>All trials</h2>\n{html_table(headings(study), rows(study, trials))}"
    )
    return document(f"Sweep {study.folder.name}", STYLE, body, [run(study, trial) for trial in ranked])


def figure(trial: FrozenTrial) -> float | None:
    """What a trial came to; of one that was given up, what it had come to by then."""
    if trial.state == TrialState.COMPLETE:
        return trial.value
    reported = trial.intermediate_values
    return reported[max(reported)] if trial.state == TrialState.PRUNED and reported else None


def at(name: str, varied: Range | Choice) -> Callable[[FrozenTrial], float]:
    """Where a trial stands on the axis of a knob."""

    def stands(trial: FrozenTrial) -> float:
        value = trial.params[name]
        if isinstance(varied, Choice):
            return (varied.values.index(value) + 0.5) / len(varied.values)
        scale = math.log if varied.log else float
        return (scale(value) - scale(varied.low)) / (scale(varied.high) - scale(varied.low))

    return stands


def marks(varied: Range | Choice) -> list[tuple[float, str]]:
    """Figures at the axis of a knob."""
    if isinstance(varied, Choice):
        return [((i + 0.5) / len(varied.values), str(value)) for i, value in enumerate(varied.values)]
    middle = math.sqrt(varied.low * varied.high) if varied.log else (varied.low + varied.high) / 2
    return [(0, f"{varied.low:g}"), (0.5, f"{middle:.3g}"), (1, f"{varied.high:g}")]


def plot(
    name: str,
    trials: Sequence[FrozenTrial],
    best: FrozenTrial | None,
    stands: Callable[[FrozenTrial], float],
    axis: Iterable[tuple[float, str]],
) -> str:
    """Figures of trials, in nats per character, over a knob."""
    whole = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    found = sorted(value for trial in whole or trials if (value := figure(trial)) is not None)
    if not found:
        return ""
    low, high = found[0], found[min(len(found) - 1, int(MOST * len(found)))]
    top = max(high + 0.05 * (high - low), low + 1e-9)

    def height(value: float) -> float:
        return 8 + (HEIGHT - BELOW - 16) * (top - min(value, top)) / (top - low)

    def across(share: float) -> float:
        return LEFT + 8 + (WIDTH - LEFT - 20) * share

    dots = []
    for trial in trials:
        value = figure(trial)
        kind = "best" if best and trial.number == best.number else "pruned" if trial.state == TrialState.PRUNED else ""
        said = f"trial {trial.number + 1}: {value:.4f} nats"
        x, y = across(stands(trial)), height(value or 0.0)
        dots.append(f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="4"><title>{said}</title></circle>')
    below, left = HEIGHT - BELOW, LEFT - 6
    texts = [f'<text x="{left}" y="{height(v) + 4:.1f}" text-anchor="end">{v:.3f}</text>' for v in dict.fromkeys((low, high))]
    texts += [f'<text x="{across(x):.1f}" y="{below + 16}" text-anchor="middle">{escaped(s)}</text>' for x, s in axis]
    line = f'<line x1="{LEFT}" x2="{WIDTH}" y1="{below}" y2="{below}"/>'
    label = f"Nats per character of each trial over {escaped(name)}"
    return (
        f'<figure><svg role="img" aria-label="{label}" viewBox="0 0 {WIDTH} {HEIGHT}">{line}{"".join(texts + dots)}</svg>'
        f"<figcaption>{escaped(name)}</figcaption></figure>\n"
    )


def headings(study: Study) -> list[str]:
    """Of the table."""
    return ["trial", "nats", "bits", "state", *study.space.vary, "note"]


def rows(study: Study, trials: Iterable[FrozenTrial]) -> Iterable[list[str]]:
    """Of the table: a trial each."""
    for trial in trials:
        nats = figure(trial)
        figures = ["-", "-"] if nats is None else [f"{nats:.4f}", f"{bits(nats):.4f}"]
        values = [trial.params.get(name, "-") for name in study.space.vary]
        shown = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in values]
        yield [str(trial.number + 1), *figures, trial.state.name.lower(), *shown, trial.user_attrs.get(REASON, "")]


def run(study: Study, trial: FrozenTrial) -> dict[str, object]:
    """A trial's run as curves.js draws it."""
    place = study.place(trial.number)
    try:
        metrics = parsed(RunDirectory(place, place).metrics.read_bytes())
    except OSError:  # it was removed
        metrics = []
    return {"name": f"trial {trial.number + 1}", "rows": metrics}
