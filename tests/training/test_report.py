"""The page holds what was measured and written, exactly, and asks nobody for anything."""

import json
import math
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from letterwise.errors import UserError
from letterwise.training.report.chart import escaped
from letterwise.training.report.page import charts, report_page, write_report

SVG = "{http://www.w3.org/2000/svg}"

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


def drawn(rows: list[dict], **more: dict) -> list[ElementTree.Element]:
    """The charts of loss, learning rate and speed."""
    return [ElementTree.fromstring(figure) for figure in charts(rows, **more)]


def dots(figure: ElementTree.Element, name: str) -> list[tuple[float, float, str]]:
    """Where a curve's points stand, and what hovering over them says."""
    found = [(dot, "".join(dot.itertext())) for dot in figure.iter(f"{SVG}circle")]
    return [(float(dot.attrib["cx"]), float(dot.attrib["cy"]), said) for dot, said in found if said.startswith(name)]


def legend(figure: ElementTree.Element) -> list[str]:
    return ["".join(entry.itertext()) for entry in figure.findall("figcaption/span")]


def across(figure: ElementTree.Element) -> list[float]:
    return [float(line.attrib["y1"]) for line in figure.iter(f"{SVG}line") if line.get("class") == "across"]


def test_points_stand_where_paper_says() -> None:
    """Characters 0 to 61,440 are 500 units from 80 on. Losses in [0.5, 2.5] nats are 240 units up from 274."""
    loss, rate, speed = drawn(ROWS)
    xs = [80 + 500 / 3, 80 + 1000 / 3, 580]
    for name, nats in (("training", [THREE, TWO, ONE]), ("validation", [THREE, ONE, TWO])):
        found = dots(loss, name)
        assert [x for x, _, _ in found] == pytest.approx(xs, abs=0.06)
        assert [y for _, y, _ in found] == pytest.approx([274 - 120 * (value - 0.5) for value in nats], abs=0.06)
    # rates 1e-3, 5e-4 and 3.33e-4 in [0, 1e-3], speeds 20,490 to 20,510 in [0, 30k], each 120 units up from 154
    assert [y for _, y, _ in dots(rate, "")] == pytest.approx([34, 94, 114], abs=0.06)
    assert [y for _, y, _ in dots(speed, "")] == pytest.approx([154 - 120 * v / 30e3 for v in (20490, 20500, 20510)], abs=0.06)


def test_hovering_tells_nats_bits_step_and_seconds() -> None:
    loss, rate, speed = drawn(ROWS)
    assert dots(loss, "validation")[0][2].endswith(": 2.0794 nats = 3.0000 bits, after 20,480 characters")
    assert dots(rate, "")[2][2] == "learning rate: 0.000333 at step 30, after 61,440 characters"
    assert dots(speed, "")[1][2] == "speed: 20,500 chars/s, 2.0 s in, after 40,960 characters"


def test_the_weights_that_were_kept_are_ringed() -> None:
    loss = drawn(ROWS)[0]
    (ring,) = [dot for dot in loss.iter(f"{SVG}circle") if dot.get("class") == "best"]
    x, y, _ = dots(loss, "validation")[1]
    assert (float(ring.attrib["cx"]), float(ring.attrib["cy"])) == (x, y)
    assert legend(loss) == ["training", "validation (ring: the best, 0.6931 nats = 1.0000 bits)"]


def test_a_baseline_is_a_line_at_its_nats() -> None:
    loss = drawn(ROWS, baseline_bits={"counting <1>": 2.0, "never measured": math.nan})[0]
    assert across(loss) == pytest.approx([274 - 120 * (TWO - 0.5)], abs=0.06)
    assert legend(loss)[2:] == ["counting <1>: 2.00 bits"]


def test_a_baseline_far_above_does_not_press_the_curves_flat() -> None:
    loss = drawn(ROWS, baseline_bits={"letter frequencies": 20.0, "counting": 2.0})[0]
    assert len(across(loss)) == 1
    assert legend(loss)[2:] == ["counting: 2.00 bits", "letter frequencies: 20.00 bits (too far away to be drawn)"]
    assert dots(loss, "training") == dots(drawn(ROWS)[0], "training")


def test_before_the_first_step_there_is_no_rate_and_no_speed() -> None:
    loss, rate, speed = drawn([row(0, train=None, val=TWO), row(2, train=ONE, val=ONE)])
    assert [len(dots(figure, "")) for figure in (rate, speed)] == [1, 1]
    assert (len(dots(loss, "training")), len(dots(loss, "validation"))) == (1, 2)
    loss, *others = drawn([row(0, train=None, val=TWO)])
    assert len(dots(loss, "")) == 1
    said = ["".join(figure.itertext()) for figure in others]
    assert said == ["learning rate: nothing was measured.", "characters per second: nothing was measured."]


def test_without_a_validation_part_nothing_is_said_about_it() -> None:
    rows = [row(1, train=ONE, val=None, best=True), row(2, train=ONE, val=None, best=True)]
    assert "validation" not in "".join(charts(rows))
    assert Reader(page_of(rows)).texts["h3"] == ["after 4,096 characters", "after 2,048 characters"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_finite_number_is_a_gap(value: float) -> None:
    loss = drawn([row(1, train=value, val=value, best=True), row(2, train=ONE, val=TWO)])[0]
    assert (len(dots(loss, "training")), len(dots(loss, "validation"))) == (1, 1)
    assert not [dot for dot in loss.iter(f"{SVG}circle") if dot.get("class") == "best"]
    assert not re.search(r"\b(nan|inf)\b", "".join(loss.itertext()))


def test_a_run_of_only_broken_numbers_still_has_a_page() -> None:
    assert Reader(page_of([row(1, train=math.nan, val=math.inf)])).texts["blockquote"] == ["abc"]


def test_a_long_run_has_a_small_page() -> None:
    """The goal is 1.5 MB. 2,000 validations with samples of 500 characters would be 1 MB of samples alone."""
    rows = [row(i, train=ONE + 1 / i, val=TWO + 1 / i, best=True, sample=f"{i}:" + "é" * 500) for i in range(1, 2001)]
    page = page_of(rows, baseline_bits={"counting": 2.0})
    assert len(page.encode()) < 600_000
    assert len(page_of(ROWS).encode()) < 30_000
    said = Reader(page)
    shown = [int(sample.split(":")[0]) for sample in said.texts["blockquote"]]
    assert (shown[0], shown[-1]) == (2000, 1)
    assert 90 <= len(shown) <= 100
    assert f"{len(shown)} of 2,000 samples; metrics.jsonl has all." in said.texts["p"]


def test_nothing_measured() -> None:
    page = Reader(page_of([], baseline_bits={"counting": 2.0}))
    assert page.texts["p"] == ["Nothing was measured."]
    assert not {"svg", "blockquote"} & set(page.texts)


def test_title_facts_and_samples_in_words() -> None:
    page = Reader(report_page(title="<run> & \udcff", facts={"a <b>": "1 & 2", "file": "x\0y"}, rows=ROWS))
    assert page.texts["title"][:1] == page.texts["h1"] == ["<run> & �"]
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
    assert not re.search(r"url\(|@import|src=", page)
    (policy,) = [value for tag, name, value in attributes if (tag, name) == ("meta", "content") and "-src" in value]
    assert "<script" not in page
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def test_the_same_run_gives_the_same_page() -> None:
    assert page_of(ROWS) == page_of(ROWS)


def test_written_file_is_the_page(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", title="a title", facts={"text": "a.txt"}, rows=ROWS)
    assert (tmp_path / "report.html").read_bytes().decode() == page_of(ROWS)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot write"):
        write_report(tmp_path, title="a title", facts={}, rows=[])


LONG = "unbroken" * 40  # a word wider than any phone


@pytest.mark.browser
@pytest.mark.parametrize("width", [360, 1400])
def test_a_real_browser_draws_it_and_a_phone_need_not_scroll_sideways(tmp_path: Path, width: int) -> None:
    """In a frame as wide as the screen (a window has a least width of its own), the page says how wide it became."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium on PATH")
    rows = [row(0, train=None, val=THREE, sample="before"), row(10, train=TWO, val=ONE, best=True, sample=NASTY + LONG)]
    facts = {"text": LONG + ".txt", LONG: "a long label"}
    page = report_page(title=LONG, facts=facts, rows=rows, baseline_bits={"counting": 2.0, LONG: 2.1, LONG + "s": 9.0})
    probe = f"""<!doctype html><body><iframe width="{width}" height="2000" style="border: 0" srcdoc="{escaped(page)}"
      onload="const page = this.contentDocument; document.body.dataset.told = JSON.stringify([
        page.documentElement.scrollWidth, page.querySelector('blockquote').textContent, page.title,
        ...[...page.querySelectorAll('figure > svg')].map(svg => svg.getBoundingClientRect().width)])"></iframe></body>"""
    (tmp_path / "probe.html").write_bytes(probe.encode())
    quiet = (
        "--disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync"
    )
    command = [chromium, "--headless", "--no-sandbox", *quiet.split(), f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--virtual-time-budget=5000", "--dump-dom", (tmp_path / "probe.html").as_uri()]
    dom = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout.decode()
    (told,) = [value for tag, name, value in Reader(dom).attributes if (tag, name) == ("body", "data-told")]
    scroll_width, sample, title, *widths = json.loads(told)
    assert scroll_width <= width
    assert len(widths) == 3
    assert min(widths) > 0.6 * width
    assert (title, sample) == (LONG, NASTY + LONG)
