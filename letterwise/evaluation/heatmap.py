"""Heat map: a scored text in colours, as a page or on a terminal.

Characters (bits, ranks, likeliest) ──▶ one HTML file that needs no network        cold: expected, hot: surprising

The page holds the numbers once, and its script makes the letters: a hundred thousand characters are two megabytes.
"""

import functools
import html
import json
from collections.abc import Callable, Iterable

from letterwise.data.vocabulary import Vocabulary
from letterwise.errors import UserError
from letterwise.evaluation.score import Characters, Line

MAX_CHARS = 500_000  # on one page: browsers crawl beyond
HOTTEST = 10.0  # bits: of this surprise and more, the colour is the same
LEVELS = 10  # colours
TERMINAL = (236, 22, 28, 64, 100, 136, 172, 208, 202, 196)  # of 256, from cold to hot

POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'"
STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.3rem; }
#text { font: 1rem/1.7 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
#text b { font-weight: normal; }
#details { position: fixed; right: 1rem; bottom: 1rem; padding: 0.5rem 0.8rem; border: 1px solid #8886; border-radius: 0.4rem;
        background: Canvas; font: 0.85rem/1.4 ui-monospace, monospace; white-space: pre; }
"""
SCRIPT = """
const page = JSON.parse(document.getElementById("page").textContent);
const shown = c => c === "\\n" ? "\\u21b5" : /[\\u0000-\\u001f\\u007f-\\u009f\\ud800-\\udfff]/.test(c)
  ? "\\\\u" + c.charCodeAt(0).toString(16).padStart(4, "0") : c;
const text = document.getElementById("text"), details = document.getElementById("details");
page.characters.forEach((c, i) => {
  const b = document.createElement("b"), heat = Math.min(page.bits[i] / 1000 / page.hottest, 1);
  b.textContent = c === "\\n" ? "\\u21b5\\n" : c === "\\t" ? c : shown(c);
  b.style.background = "hsl(" + (120 - 120 * heat) + " 80% 50% / " + (0.08 + 0.6 * heat) + ")";
  b.dataset.i = i;
  text.append(b);
});
text.addEventListener("mouseover", event => {
  const i = event.target.dataset.i;
  if (i === undefined) return;
  const bits = page.bits[i] / 1000, lines = [];
  lines.push(shown(page.characters[i]) + "  " + bits.toFixed(3) + " bits  p = " + Math.pow(2, -bits).toPrecision(3));
  if (page.ranks[i] > page.alphabet.length) lines.push("not in the model's vocabulary");
  else if (page.ranks[i]) lines.push("rank " + page.ranks[i]);
  else if (page.alphabet.includes(page.characters[i])) lines.push("the first character: nothing comes before it");
  else lines.push("not in the model's vocabulary: left out");
  page.likeliest[i].forEach(([c, p]) => lines.push("  " + shown(page.alphabet[c]) + "  " + (p / 1e4).toFixed(2) + " %"));
  details.textContent = lines.join("\\n");
  details.hidden = false;
});
"""


def page(title: str, scored: Iterable[Characters], vocabulary: Vocabulary) -> str:
    """The heat map of a text that was scored closely, as HTML. Raises `UserError` when it is too long for a page."""
    parts: list[Characters] = []
    for some in scored:
        parts.append(some)
        if sum(map(len, parts)) > MAX_CHARS:
            raise UserError(f"a page holds at most {MAX_CHARS:,} characters, and this text has more: score a part of it.")
    shown = speller(vocabulary)
    alphabet = list(map(shown, range(len(vocabulary))))
    content = {
        "hottest": HOTTEST,
        "alphabet": alphabet,
        "characters": [shown(id) for some in parts for id in some.ids.tolist()],
        "bits": [round(1000 * value) for some in parts for value in some.bits.tolist()],
        "ranks": [rank for some in parts for rank in some.ranks.tolist()],
        "likeliest": [
            [(id, round(1e6 * p)) for id, p in zip(ids, chances, strict=True) if 0 < rank <= len(alphabet)]
            for some in parts
            for rank, ids, chances in zip(
                some.ranks.tolist(), some.likeliest.tolist(), some.probabilities.tolist(), strict=True
            )
        ],
    }
    chars, total = max(1, sum(rank > 0 for rank in content["ranks"])), sum(content["bits"]) / 1000
    return "\n".join([
        "<!doctype html>", '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        f"<title>{html.escape(_without_lone_surrogates(title))}</title><style>{STYLE}</style></head><body>",
        f"<h1>{html.escape(_without_lone_surrogates(title))}</h1>",
        f"<p>{total / chars:.4f} bits per character over {chars:,} characters. Green: expected; red: surprising.</p>",
        '<div id="text"></div><div id="details" hidden></div>',
        f'<script type="application/json" id="page">{json.dumps(content).replace("<", chr(92) + "u003c")}</script>',
        f"<script>{SCRIPT}</script></body></html>", "",
    ])  # fmt: skip


def terminal(line: Line, vocabulary: Vocabulary) -> str:
    """A line in colours, for a terminal of 256. What a terminal would obey is shown in its place."""
    spell, shown = speller(vocabulary), []
    for id, value in zip(line.characters.ids.tolist(), line.characters.bits.tolist(), strict=True):
        colour = TERMINAL[min(LEVELS - 1, int(LEVELS * value / HOTTEST))]
        shown.append(f"\x1b[48;5;{colour}m{visible(spell(id))}")
    return "".join(shown) + "\x1b[0m"


def speller(vocabulary: Vocabulary) -> Callable[[int], str]:
    """What spells one of the ids of a scored text (see `Vocabulary.spell`)."""
    known = functools.cache(lambda id: vocabulary.decode([id]))
    return lambda id: known(id) if id < len(vocabulary) else chr(id - len(vocabulary))


def visible(character: str) -> str:
    """The character, or a sign for it where it has no shape of its own."""
    if character == "\n":
        return "↵"
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")


def _without_lone_surrogates(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
