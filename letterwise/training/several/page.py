"""Page: an ensemble's report, beside those of its members: how each learned, what it weighs, and what all write together.

EnsembleResult, metrics.jsonl of each member ──▶ report.html
"""

from pathlib import Path

from letterwise.atomic import write_bytes
from letterwise.progress import duration_text
from letterwise.training.metrics.rows import parsed
from letterwise.training.report.document import CURVES_HERE, document, escaped
from letterwise.training.report.page import STYLE, facts_table
from letterwise.training.several.in_turn import directory_in
from letterwise.training.several.result import EnsembleResult
from letterwise.units import bits


def write_page(path: Path, result: EnsembleResult) -> None:
    """Write the page, whole or not at all. Raises `UserError` where the system refuses."""
    runs = [Path(run.run_dir) for run in [*result.members, *([result.student] if result.student else [])]]
    drawn = [{"name": run.name, "rows": parsed(directory_in(run).metrics.read_bytes())} for run in runs]
    links = " · ".join(f'<a href="{escaped(run.name)}/report.html">{escaped(run.name)}</a>' for run in runs)
    body = (
        f"{facts_table(facts(result))}\n<p>The report of each: {links}</p>\n<h2>How they learned</h2>\n{CURVES_HERE}\n"
        f'<h2>What it writes</h2>\n<blockquote dir="auto">{escaped(result.sample)}</blockquote>\n'
    )
    write_bytes(path, document(Path(result.run_dir).name, STYLE, body, drawn).encode())


def facts(result: EnsembleResult) -> dict[str, str]:
    """The page's table."""
    each = {
        Path(run.run_dir).name: f"{figure(run.best_val_nats_per_char)}, weight {weight:.3f}"
        for run, weight in zip(result.members, result.weights, strict=True)
    }
    student = {"student": figure(result.student.best_val_nats_per_char)} if result.student else {}
    return {
        **each,
        "ensemble": figure(result.ensemble_nats),
        **student,
        "weights": f"fitted on {result.tuning_chars:,} characters of the training text that no member learned from: "
        + figure(result.tuning_nats),
        **{name: f"{value:.4f} bits per character" for name, value in result.baselines.items()},
        "trained for": f"{result.iters:,} steps, {result.chars_seen:,} characters, {duration_text(result.train_seconds)}",
        "model file": Path(result.model_path).name,
    }


def figure(nats: float | None) -> str:
    """A mean surprise."""
    return "no validation part" if nats is None else f"{bits(nats):.4f} bits = {nats:.4f} nats per character"
