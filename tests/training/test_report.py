"""The page holds what was measured and written, exactly, and asks nobody for anything."""

import json
import math
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from letterwise.errors import UserError
from letterwise.training.chart import escaped
from letterwise.training.report import figure, report_page, write_report

# Losses of one, two and three bits: ln 2, 2 ln 2 and 3 ln 2 nats.
ONE, TWO, THREE = (n * math.log(2) for n in (1, 2, 3))

NASTY = "\n\r\nfirst </script><script>document.title='taken'</script>\r\n  <b>&amp;\u2028\t'quoted\"  \x07é😀\n"


def row(step: int, *, train: float, val: float | None, best: bool = False, sample: str = "abc") -> dict:
    return {
        "step": step,
        "chars": step * 2048,
        "seconds": step / 10,
        "learning_rate": 0.01 / max(1, step),
        "train_nats_per_char": train,
        "val_nats_per_char": val,
        "chars_per_second": 20480 + step,
        "best": best,
        "sample": sample,
    }


ROWS = [
    row(10, train=THREE, val=THREE, best=True, sample="first"),
    row(20, train=TWO, val=ONE, best=True, sample="second"),
    row(30, train=ONE, val=TWO, sample="third"),
]


class Reader(HTMLParser):
    """A small browser: the text inside each kind of element, in the order of the page, and all attributes met."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: dict[str, list[str]] = {}
        self.attributes: list[tuple[str, str, str]] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in ("meta", "link"):
            self.open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, "elements are closed in order"

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts[self.open[-1]][-1] += data


def page_of(rows: list[dict], **more: dict) -> str:
    return report_page(title="a title", facts={"text": "a.txt"}, rows=rows, **more)


def traces(rows: list[dict], **more: dict) -> dict:
    return {trace.name: trace for trace in figure(rows, **more).data}


@pytest.mark.parametrize(
    ("name", "axis", "key"),
    [
        ("training", "y", "train_nats_per_char"),
        ("validation", "y", "val_nats_per_char"),
        ("learning rate", "y3", "learning_rate"),
        ("speed", "y4", "chars_per_second"),
    ],
)
def test_curves_are_the_rows(name: str, axis: str, key: str) -> None:
    curve = traces(ROWS)[name]
    assert curve.yaxis == axis
    assert list(curve.x) == [20480, 40960, 61440]
    assert list(curve.y) == [row[key] for row in ROWS]


def test_hovering_tells_nats_bits_step_and_seconds() -> None:
    curves = traces(ROWS)
    assert curves["validation"].text[0] == "2.0794 nats = 3.0000 bits"
    assert curves["learning rate"].text[2] == "0.000333 at step 30"
    assert curves["speed"].text[1] == "20,500 chars/s, 2.0 s in"


def test_the_numbers_reach_the_page() -> None:
    script = max(Reader(page_of([row(7, train=1.25, val=1.375)])).texts["script"][1:], key=lambda s: "Plotly.newPlot" in s)
    for number in ('"x":[14336]', '"y":[1.25]', '"y":[1.375]', '"y":[20487]'):
        assert number in script


@given(st.lists(st.floats(0, 20), min_size=1, max_size=5), st.lists(st.floats(0, 20), max_size=2))
@settings(max_examples=20)
def test_bits_are_nats_over_ln_2_at_every_height(losses: list[float], baselines: list[float]) -> None:
    rows = [row(i + 1, train=nats, val=None) for i, nats in enumerate(losses)]
    drawn = figure(rows, {f"line {i}": bits for i, bits in enumerate(baselines)})
    left, right = drawn.layout.yaxis, drawn.layout.yaxis2
    assert right.range == pytest.approx([nats / math.log(2) for nats in left.range], rel=1e-12)
    assert (right.overlaying, right.side, right.tickmode) == ("y", "right", "sync")
    shown = [*losses, *(line.y0 for line in drawn.layout.shapes)]
    assert left.range[0] < min(shown)
    assert max(shown) < left.range[1]


def test_the_weights_that_were_kept_are_ringed() -> None:
    ring = traces(ROWS)["best: 0.6931 nats = 1.0000 bits"]
    assert (list(ring.x), list(ring.y)) == ([40960], [ONE])


def test_a_baseline_is_a_line_at_its_nats() -> None:
    (line,) = figure(ROWS, {"counting <1>": 2.0, "never measured": math.nan}).layout.shapes
    assert line.y0 == line.y1 == TWO
    assert line.label.text == "counting &lt;1&gt;: 2.00 bits"


def test_a_baseline_far_above_does_not_press_the_curves_flat() -> None:
    drawn = figure(ROWS, {"letter frequencies": 20.0, "counting": 2.0})
    assert [line.y0 for line in drawn.layout.shapes] == [TWO]
    assert drawn.layout.yaxis.range[1] < 3 * math.log(8)


def test_before_the_first_step_there_is_no_rate_and_no_speed() -> None:
    drawn = traces([row(0, train=None, val=TWO), row(2, train=ONE, val=ONE)])
    assert [drawn[name].y[0] for name in ("learning rate", "speed")] == [None, None]
    assert drawn["validation"].y[0] == TWO


def test_without_a_validation_part_nothing_is_said_about_it() -> None:
    rows = [row(1, train=ONE, val=None, best=True), row(2, train=ONE, val=None, best=True)]
    drawn = traces(rows)
    assert list(drawn["validation"].y) == [None, None]
    assert [name for name, trace in drawn.items() if trace.showlegend is not False] == ["training"]
    assert Reader(page_of(rows)).texts["h3"] == ["after 4,096 characters", "after 2,048 characters"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_finite_number_is_a_gap(value: float) -> None:
    rows = [row(1, train=value, val=value, best=True), row(2, train=ONE, val=TWO)]
    drawn = traces(rows)
    assert list(drawn["training"].y) == [None, ONE]
    assert not any(name and name.startswith("best") for name in drawn)
    calls = [script for script in Reader(page_of(rows)).texts["script"] if "Plotly.newPlot(" in script]
    assert not re.search(r"NaN|Infinity", calls[-1])


def test_a_run_of_only_broken_numbers_still_has_a_page() -> None:
    assert Reader(page_of([row(1, train=math.nan, val=math.inf)])).texts["blockquote"] == ["abc"]


def test_nothing_measured() -> None:
    page = Reader(page_of([], baseline_bits={"counting": 2.0}))
    assert page.texts["p"] == ["Nothing was measured."]
    assert not {"script", "blockquote"} & set(page.texts)


def test_title_facts_and_samples_in_words() -> None:
    page = Reader(report_page(title="<run> & \udcff", facts={"a <b>": "1 & 2", "file": "x\0y"}, rows=ROWS))
    assert page.texts["title"] == page.texts["h1"] == ["<run> & �"]
    assert page.texts["th"] == ["a <b>", "file"]
    assert page.texts["td"] == ["1 & 2", "x␀y"]
    assert page.texts["blockquote"] == ["third", "second", "first"]
    assert page.texts["h3"] == [
        "after 61,440 characters, 2.00 bits",
        "after 40,960 characters, 1.00 bits",
        "after 20,480 characters, 3.00 bits",
    ]


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
@example(NASTY)
@settings(max_examples=100)
def test_text_reads_back_exactly(sample: str) -> None:
    html = f"<blockquote>{escaped(sample)}</blockquote>"
    html = html.replace("\r\n", "\n").replace("\r", "\n")  # what a browser does before it parses
    assert Reader(html).texts == {"blockquote": [sample]}


@given(st.text(st.sampled_from("\0\ud83d\ude00\udfffa\r")))
@settings(max_examples=50)
def test_what_html_cannot_say_is_shown_by_a_stand_in(sample: str) -> None:
    page = escaped(sample)
    page.encode()
    assert "\0" not in page
    assert page.count("␀") == sample.count("\0")
    assert page.count("a") == sample.count("a")


def test_halves_of_a_surrogate_pair() -> None:
    assert escaped("\ud83d") == "�"
    assert escaped("a\udfffb") == "a�b"


def test_the_page_asks_the_network_for_nothing() -> None:
    page = page_of(ROWS)
    attributes = Reader(page).attributes
    assert not [a for a in attributes if a[1] in ("src", "srcset", "data", "action", "poster")]
    assert [a for a in attributes if a[1] == "href"] == [("link", "href", "data:,")]
    assert not re.search(r'src="http|<link href="http', page)
    (policy,) = [value for tag, name, value in attributes if (tag, name) == ("meta", "content") and "-src" in value]
    assert policy == "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"


def test_the_same_run_gives_the_same_page() -> None:
    assert page_of(ROWS) == page_of(ROWS)


def test_written_file_is_the_page(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", title="a title", facts={"text": "a.txt"}, rows=ROWS)
    assert (tmp_path / "report.html").read_bytes().decode() == page_of(ROWS)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot write"):
        write_report(tmp_path, title="a title", facts={}, rows=[])


# Asks the page, once it is drawn, to zoom the axis of nats to [1, 2], and writes down what the page then shows.
PROBE = """<script>
const page = document.getElementById("curves");
Plotly.relayout(page, {"yaxis.range": [1, 2]}).then(() => setTimeout(() => {
  document.body.dataset.bits = page._fullLayout.yaxis2.range.join(" ");
  document.body.dataset.sample = JSON.stringify(document.querySelector("blockquote").textContent);
  document.body.dataset.title = document.title;
}, 500));
</script></body>"""


@pytest.mark.browser
def test_a_real_browser_draws_it(tmp_path: Path) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium on PATH")
    page = page_of([row(10, train=TWO, val=ONE, best=True, sample=NASTY)], baseline_bits={"counting": 2.0})
    (tmp_path / "report.html").write_bytes(page.replace("</body>", PROBE).encode())
    quiet = (
        "--disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync"
    )
    command = [chromium, "--headless", "--no-sandbox", *quiet.split(), f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--virtual-time-budget=5000", "--dump-dom", (tmp_path / "report.html").as_uri()]
    dom = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout.decode()
    assert 'class="main-svg"' in dom
    body = {name: value for tag, name, value in Reader(dom).attributes if tag == "body"}
    assert [float(bits) for bits in body["data-bits"].split()] == pytest.approx([1 / math.log(2), 2 / math.log(2)])
    assert body["data-title"] == "a title"
    assert json.loads(body["data-sample"]) == NASTY
