"""The page holds what was measured and written, exactly, and asks nobody for anything."""

import base64
import hashlib
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from letterwise.errors import UserError
from letterwise.training.report.document import MAX_ROWS, escaped, packed
from letterwise.training.report.page import report_page, write_report

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


def test_without_a_validation_part_nothing_is_said_about_it() -> None:
    rows = [row(1, train=ONE, val=None, best=True), row(2, train=ONE, val=None, best=True)]
    assert Reader(page_of(rows)).texts["h3"] == ["after 4,096 characters", "after 2,048 characters"]


def test_a_run_of_only_broken_numbers_still_has_a_page() -> None:
    assert Reader(page_of([row(1, train=math.nan, val=math.inf)])).texts["blockquote"] == ["abc"]


def test_a_long_run_has_a_small_page() -> None:
    """1,000 rows of training as json.dumps has them would be 200 kB."""
    steps = [
        dict(kind="training", step=i, chars=i * 2048, seconds=i / 7, loss=ONE + 1 / i, smoothed_loss=ONE + 1 / i,
             learning_rate=1e-2 / i, gradient_norm=math.sqrt(i), chars_per_second=20_000 + i) for i in range(1, 1001)
    ]  # fmt: skip
    rows = [row(i, train=ONE + 1 / i, val=TWO + 1 / i, best=True, sample=f"{i}:" + "é" * 120) for i in range(100, 2001, 100)]
    assert len(page_of([*steps, *rows], baseline_bits={"counting": 2.0}).encode()) < 60_000
    assert len(page_of(ROWS).encode()) < 30_000
    many = [row(i, train=ONE + 1 / i, val=TWO + 1 / i, best=True, sample=f"{i}:") for i in range(1, 2001)]
    said = Reader(page_of(many))
    shown = [int(sample.split(":")[0]) for sample in said.texts["blockquote"]]
    assert (shown[0], shown[-1]) == (2000, 1)
    assert 90 <= len(shown) <= 100
    assert f"{len(shown)} of 2,000 samples; metrics.jsonl has all." in said.texts["p"]


def test_packed_rows_are_the_rows_in_five_digits_without_what_is_not_drawn() -> None:
    steps = [{"kind": "training", "step": i, "loss": 1 / 3, "chars": 2048 * i} for i in range(1, 1001)]
    of_steps, of_validations = packed([*steps, {**ROWS[0], "val_nats_per_char": math.nan, "val_chars": 5}])
    assert of_steps["keys"] == ["kind", "step", "loss", "chars"]
    assert of_steps["rows"][0] == ["training", 1, 0.33333, 2048]
    assert of_steps["rows"][-1] == ["training", 1000, 0.33333, 2_048_000]
    assert MAX_ROWS / 2 <= len(of_steps["rows"]) <= MAX_ROWS
    assert of_validations["keys"] == ["kind", *(key for key in ROWS[0] if key != "sample")]
    (values,) = of_validations["rows"]
    assert dict(zip(of_validations["keys"], values, strict=True)) == {
        "kind": None, "step": 10, "chars": 20480, "seconds": 1, "learning_rate": 0.001, "train_nats_per_char": 2.0794,
        "val_nats_per_char": None, "chars_per_second": 20490, "best": True,
    }  # fmt: skip


def test_nothing_in_a_name_or_figure_ends_the_script() -> None:
    page = report_page(title=NASTY, facts={}, rows=ROWS, baseline_bits={NASTY: 2.0, "never measured": math.nan})
    assert page.count("</script") == page.count("<script") == 2
    (data,) = re.findall(r'<script type="application/json" id="runs">(.*?)</script>', page, re.DOTALL)
    (run,) = json.loads(data)["runs"]
    assert (run["name"], run["baselines"]) == (NASTY, {NASTY: 2.0})


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
    assert not re.search(r"url\(|@import|src=|fetch|import\(|https?://(?!www.w3.org/2000/svg)", page)
    (policy,) = [value for tag, name, value in attributes if (tag, name) == ("meta", "content") and "-src" in value]
    (script,) = re.findall(r'<script type="module">(.*?)</script>', page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = f"script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'"
    assert policy == f"default-src 'none'; {allowed}"


def test_the_same_run_gives_the_same_page() -> None:
    assert page_of(ROWS) == page_of(ROWS)


def test_written_file_is_the_page(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", title="a title", facts={"text": "a.txt"}, rows=ROWS)
    assert (tmp_path / "report.html").read_bytes().decode() == page_of(ROWS)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot write"):
        write_report(tmp_path, title="a title", facts={}, rows=[])
