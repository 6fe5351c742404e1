"""Document: a page of HTML that draws how runs learned, and asks for no other file. A pure function of what it is given.

title, body ──────────────────────────────▶ <body> ─────────────────────────────────┐
runs ──packed: few digits, thinned out──▶ JSON that no browser runs ──▶ curves.js ──┴─▶ one file, for light and dark
"""

import base64
import hashlib
import html
import json
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from letterwise.training.metrics.rows import Row, of_kind

CURVES = Path(__file__).with_name("curves.js")
DIGITS = 5  # of a figure on a page
MAX_ROWS = 300  # of a kind and run on a page, which is about as many as it has room for
LEFT_OUT = ("sample", "kind", "val_nats_low", "val_nats_high", "val_chars")  # of a row: not drawn

STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 58rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 0.5rem; }
"""
# The last lines of the page's script: it takes the runs from where the page holds them.
DRAW = """
const { runs } = JSON.parse(document.getElementById("runs").textContent);
drawCurves(document.getElementById("curves"), runs.map((run) => ({ ...run, rows: unpacked(run.rows) })));
"""
CURVES_HERE = (
    '<div id="curves"></div>\n<noscript><p>The curves are drawn by a script, and scripts are off here; metrics.jsonl has the '
    "figures.</p></noscript>"
)


def document(title: str, style: str, body: str, runs: list[dict[str, Any]]) -> str:
    """A page of HTML with this title and content. Its `CURVES_HERE`, if it is in `body`, shows `runs`, as curves.js takes them.

    Nothing but this page's own script runs, and no connection is made: the browser refuses what the policy does not name.
    """
    script = CURVES.read_text("utf-8") + DRAW
    data = json.dumps({"runs": [{**run, "rows": packed(run["rows"])} for run in runs]}, separators=(",", ":"))
    data = re.sub("[<>&]", lambda sign: f"\\u{ord(sign[0]):04x}", data)  # in which nothing ends the element
    drawn = f'<script type="application/json" id="runs">{data}</script>\n<script type="module">{script}</script>\n'
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escaped(title)}</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy(script)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<link rel="icon" href="data:,">\n'
        f"<style>{STYLE}{style}</style>\n</head>\n<body>\n<h1>{escaped(title)}</h1>\n{body}\n"
        f"{drawn if CURVES_HERE in body else ''}</body>\n</html>\n"
    )


def policy(script: str) -> str:
    """The Content-Security-Policy of a page with this script."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'"


def packed(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Rows in a short form, of which curves.js makes rows again: for each kind its keys once, and rows of values."""
    rows, groups = list(rows), []
    for kind in dict.fromkeys(row.get("kind") for row in rows):
        some = of_kind(rows, kind)
        every = max(1, -(-(len(some) - 1) // (MAX_ROWS - 1)))
        some = [row for i, row in enumerate(some) if i % every == 0 or i == len(some) - 1]
        keys = [key for key in dict.fromkeys(key for row in some for key in row) if key not in LEFT_OUT]
        groups.append({"keys": ["kind", *keys], "rows": [[kind, *(figure(row.get(key)) for key in keys)] for row in some]})
    return groups


def figure(value: Any) -> Any:
    """A number in so many digits as can be seen; what is not finite is None."""
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        return None
    rounded = float(f"{value:.{DIGITS}g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 2**53 else rounded


def escaped(text: str) -> str:
    """Text as HTML that reads back as exactly this text, as far as HTML can hold it.

    It cannot hold NUL, shown as its picture ␀, nor a lone surrogate, shown as �. A carriage return is written by its number,
    because a page's own line ends are all read as line feeds.
    """
    plain = text.replace("\0", "\u2400").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return html.escape(plain).replace("\r", "&#13;")
