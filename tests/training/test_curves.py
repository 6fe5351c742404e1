"""Curves: what is drawn of rows, by Node.js and in a real browser. Names are text, and a phone need not scroll sideways."""

import json
import math
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from letterwise.training.report.document import CURVES, packed
from letterwise.training.report.page import report_page

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="there is no Node.js (`node`), which runs the page's script here")
HOSTILE = "</script><img src=x onerror=window.hacked=1>" + "unbroken" * 30


def steps(n: int = 40, *, run: float = 0.0) -> list[dict[str, Any]]:
    """Rows of training whose loss falls from 4."""
    return [
        {"kind": "training", "step": i, "chars": 100 * i, "seconds": i / 2, "loss": 1 + run + 3 / i,
         "smoothed_loss": 1.1 + run + 3 / i, "learning_rate": 0.01 * (1 - i / n), "gradient_norm": 1 / i,
         "chars_per_second": 200 + i}
        for i in range(1, n + 1)
    ]  # fmt: skip


def validation(step: int, nats: float | None, *, best: bool = False, **more: Any) -> dict[str, Any]:
    row = {"step": step, "chars": 100 * step, "seconds": step / 2, "learning_rate": 0.1, "train_nats_per_char": 2.0}
    return {**row, "val_nats_per_char": nats, "chars_per_second": 7, "best": best, "sample": "abc", **more}


ROWS = [validation(0, 3.0, best=True), *steps(), validation(20, 1.5, best=True), validation(40, 1.6)]
SUBSETS = [{"kind": "subset", "step": i, "chars": 100 * i, "seconds": i / 2, "val_nats_per_char": 1.7} for i in (10, 30)]


def in_node(expression: str, given: Any = None) -> Any:
    """The value of an expression over `given`, after the script's functions."""
    assert NODE
    script = CURVES.read_text("utf-8") + f"\nconst given = {json.dumps(given)};\nconsole.log(JSON.stringify({expression}));"
    done = subprocess.run(
        [NODE, "--input-type=module", "-"], input=script, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def panels(runs: list[dict[str, Any]], axis: str = "chars") -> dict[str, Any]:
    found = in_node(f"panelsOf(given, {json.dumps(axis)})", runs)
    return {panel["title"]: panel for panel in found}


def points(panel: dict[str, Any], kind: str) -> list[tuple[float, float | None]]:
    (curve,) = [curve for curve in panel["curves"] if curve["kind"] == kind]
    return [(point["x"], point["y"]) for point in curve["points"]]


@needs_node
def test_one_run_has_all_curves_at_their_places() -> None:
    found = panels([{"name": "a", "rows": [*ROWS, *SUBSETS]}])
    assert list(found) == ["loss", "learning rate", "characters per second", "gradient norm"]
    loss = found["loss"]
    assert points(loss, "raw") == [(100 * i, 1 + 3 / i) for i in range(1, 41)]
    assert points(loss, "training") == [(100 * i, pytest.approx(1.1 + 3 / i)) for i in range(1, 41)]
    assert points(loss, "validation") == [(0, 3.0), (2000, 1.5), (4000, 1.6)]
    assert points(loss, "subset") == [(1000, 1.7), (3000, 1.7)]
    assert points(found["learning rate"], "line")[0] == (100, pytest.approx(0.01 * 39 / 40))  # no zeros, but at the end
    assert points(found["gradient norm"], "line")[1] == (200, 0.5)
    assert [x for x, _ in points(panels([{"name": "a", "rows": ROWS}], "seconds")["loss"], "validation")] == [0, 10, 20]


@needs_node
def test_the_beginning_does_not_press_the_rest_flat() -> None:
    """The first rows are at 4, and all after 5 % of the run below 2."""
    rows = [row | dict.fromkeys(("loss", "smoothed_loss"), 4.0 if row["step"] < 3 else 1.9) for row in steps(100)]
    loss = panels([{"name": "a", "rows": rows}])["loss"]
    assert loss["cut"]
    assert (loss["low"], loss["high"]) == (pytest.approx(1.7, abs=0.11), pytest.approx(2.1, abs=0.11))


@needs_node
def test_an_older_run_has_the_curves_of_its_validations() -> None:
    found = panels([{"name": "a", "rows": [validation(0, 3.0), validation(20, 2.0), validation(40, None)]}])
    assert points(found["loss"], "training") == [(2000, 2.0), (4000, 2.0)]
    assert points(found["loss"], "validation") == [(0, 3.0), (2000, 2.0), (4000, None)]
    assert points(found["learning rate"], "line") == [(2000, 0.1), (4000, 0.1)]
    assert "gradient norm" not in found


@needs_node
def test_several_runs_share_panels_and_differ_in_colour() -> None:
    runs = [{"name": f"run {i}", "rows": [*steps(run=i), validation(40, 2.0 + i, best=True)]} for i in range(10)]
    loss = panels(runs)["loss"]
    assert not [curve for curve in loss["curves"] if curve["kind"] == "raw"]
    validated = [curve for curve in loss["curves"] if curve["kind"] == "validation"]
    assert [curve["name"] for curve in validated] == [f"run {i}: validation" for i in range(10)]
    assert len({(curve["hue"], curve["dashed"]) for curve in validated}) == 10


@needs_node
def test_a_baseline_far_away_is_named_and_not_drawn() -> None:
    run = {"name": "a", "rows": ROWS, "baselines": {"counting": 2.0, "letters": 20.0, "never measured": None}}
    loss = panels([run])["loss"]
    assert [(line["name"], line["y"]) for line in loss["lines"]] == [("counting", pytest.approx(2 * math.log(2)))]
    assert [line["name"] for line in loss["far"]] == ["letters"]
    assert loss["high"] < 20 * math.log(2) / 2


@needs_node
def test_each_runs_last_check_is_drawn_and_so_is_what_all_are_compared_with() -> None:
    """A run that has but begun, and one that is far worse than another."""
    begun = {"name": "a", "rows": [validation(0, 1.53, best=True), *steps(1, run=-2.7)], "baselines": {"counting": 2.21}}
    worse = {"name": "b", "rows": [*steps(), validation(40, 4.2, best=True)], "baselines": {"counting": 2.21}}
    loss = panels([begun])["loss"]
    assert loss["low"] <= 1.3 < 1.53 <= loss["high"]
    assert ([line["name"] for line in loss["lines"]], loss["far"]) == (["counting"], [])
    both = panels([begun, worse])
    assert both["loss"]["high"] >= 4.2
    assert [line["name"] for line in both["loss"]["lines"]] == ["counting"]
    assert panels([begun, {**worse, "baselines": {"counting": 2.5}}])["loss"]["lines"] == []
    assert {panel["end"] for panel in both.values()} == {4000}


@needs_node
@pytest.mark.parametrize("wild", [None, "text", 1e200, True, -1e300])
def test_what_cannot_be_drawn_is_left_out(wild: object) -> None:
    rows = [
        *steps(3),
        {"kind": "training", "step": 4, "chars": wild, "loss": wild, "learning_rate": wild},
        {"kind": "tomorrow", "step": 5},
    ]
    rows += [
        {"kind": "training", "step": 6, "chars": 600, "smoothed_loss": wild},
        {"step": 7, "chars": 700, "val_nats_per_char": wild},
    ]
    found = panels([{"name": "a", "rows": rows}, {"name": "b", "rows": []}])
    assert [y for _, y in points(found["loss"], "training")][:3] == [pytest.approx(1.1 + 3 / i) for i in (1, 2, 3)]
    assert panels([{"name": "a", "rows": rows[3:]}]) == {}


@needs_node
def test_what_is_said_at_a_place_is_its_nearest_points() -> None:
    one, two = ({"name": f"{n}", "rows": [*steps(), validation(20, n), validation(40, n)]} for n in (2.0, 3.0))
    found = in_node("panelsOf(given).map((panel) => saidAt(panel, 2060).map((said) => said.words))", [one])
    assert found[0] == ["training, smoothed 1.2429 = 1.7931 bits at step 21", "validation 2.0000 = 2.8854 bits at step 20"]
    assert found[3] == ["gradient norm 0.0476 at step 21"]
    several = in_node("panelsOf(given).map((panel) => saidAt(panel, 2060).map((said) => said.words))", [one, two])
    assert several[0] == [
        "2.0: validation 2.0000 = 2.8854 bits at step 20",
        "3.0: validation 3.0000 = 4.3281 bits at step 20",
    ]
    assert several[3] == ["2.0: gradient norm 0.0476 at step 21", "3.0: gradient norm 0.0476 at step 21"]


@needs_node
def test_ticks_numbers_and_durations() -> None:
    assert in_node("ticks(0, 61440, 5)") == [0, 20_000, 40_000, 60_000]
    assert in_node("ticks(0.55, 2.4, 6, true)") == [0.5, 1, 1.5, 2, 2.5]
    assert in_node("ticks(0, 0.6, 3)") == [0, 0.2, 0.4, 0.6]
    assert in_node("[20000, 1.5e6, 6e-4, 0.01, 0, -3, 2e13].map(short)") == ["20k", "1.5M", "6e-4", "0.01", "0", "-3", "2e13"]
    assert in_node("[5, 65, 3605].map(duration)") == ["0:05", "1:05", "1:00:05"]


@needs_node
def test_labels_differ_on_a_narrow_range_and_nothing_leaves_the_drawing() -> None:
    assert in_node("labels([4.164, 4.166, 4.168, 4.17])") == ["4.164", "4.166", "4.168", "4.17"]
    assert in_node("labels([0, 20000, 40000])") == ["0", "20k", "40k"]
    rows = [row | {"loss": 4.17 - row["step"] / 1e4, "smoothed_loss": 4.171 - row["step"] / 1e4} for row in steps(40)]
    loss = panels([{"name": "a", "rows": [validation(0, 4.168), *rows, validation(40, 4.167)]}])["loss"]
    assert loss["high"] >= 4.1709
    assert not loss["cut"]
    assert len(set(in_node("labels(given)", loss["rows"]))) == len(loss["rows"])


@needs_node
def test_packed_rows_come_back() -> None:
    found = in_node("unpacked(given)", packed([*steps(3), validation(3, 2.0, best=True)]))
    assert [row["kind"] for row in found] == ["training"] * 3 + [None]
    assert found[2]["loss"] == 2
    assert found[3]["val_nats_per_char"] == 2.0


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright drives the browser: pip install playwright")
    path = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_api.sync_playwright() as playwright:
        if not Path(path or playwright.chromium.executable_path).exists():
            pytest.skip("there is no Chromium: playwright install chromium")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1400, "light")])
def test_a_real_browser_draws_a_report(width: int, scheme: str, tmp_path: Path, chromium: Any) -> None:
    rows = [*ROWS, *SUBSETS, {"kind": "end", "step": 40}]
    page = report_page(title=HOSTILE, facts={HOSTILE: HOSTILE}, rows=rows, baseline_bits={"counting": 2.1, HOSTILE: 2.0})
    (tmp_path / "report.html").write_text(page)
    context = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    context.set_offline(True)
    opened, complaints, requests = context.new_page(), [], []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda request: requests.append(request.url))
    opened.goto((tmp_path / "report.html").as_uri())
    opened.wait_for_selector("#curves figure")
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    boxes = opened.evaluate(
        "[...document.querySelectorAll('#curves figure > svg')].map((svg) => svg.getBoundingClientRect().width)"
    )
    assert len(boxes) == 4
    assert min(boxes) > 0.55 * width
    stroke = opened.evaluate("getComputedStyle(document.querySelector('#curves path.validation')).stroke")
    assert stroke == {"light": "rgb(194, 51, 74)", "dark": "rgb(240, 117, 138)"}[scheme]
    assert "validation 1.6000 = 2.3083 bits at step 40" in opened.inner_text("#curves figure:first-of-type .readout")
    opened.keyboard.press("Tab")
    opened.keyboard.press("Tab")
    opened.keyboard.press("Home")
    said = opened.inner_text("#curves figure:first-of-type .readout")
    assert "validation 3.0000 = 4.3281 bits at step 0" in said
    opened.locator("#curves figure > svg").nth(1).scroll_into_view_if_needed()
    box = opened.locator("#curves figure > svg").nth(1).bounding_box()
    opened.mouse.move(box["x"] + box["width"] / 2, box["y"] + 50)
    assert "at step 2" in opened.inner_text("#curves figure:nth-of-type(2) .readout")
    opened.select_option("#curves select", "seconds")
    ticks = opened.locator("#curves figure > svg").nth(1).locator("text").all_text_contents()
    assert "0:20" in ticks
    assert HOSTILE in opened.inner_text("#curves .legend")
    assert opened.evaluate("window.hacked") is None
    assert complaints == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    context.close()


@pytest.mark.browser
def test_a_live_run_is_drawn_anew_and_keeps_what_the_reader_chose(tmp_path: Path, chromium: Any) -> None:
    script = CURVES.read_text("utf-8") + "\nwindow.drawCurves = drawCurves;"
    (tmp_path / "live.html").write_text(f'<!doctype html><div id="here"></div><script type="module">{script}</script>')
    context = chromium.new_context(viewport={"width": 800, "height": 800})
    opened = context.new_page()
    opened.goto((tmp_path / "live.html").as_uri())
    opened.wait_for_function("typeof window.drawCurves === 'function'")
    draw = "(runs) => drawCurves(document.getElementById('here'), runs, { axis: 'step' })"
    opened.evaluate(draw, [{"name": "one", "rows": [], "state": "training"}])
    assert opened.inner_text("#here").strip() == "Nothing has been measured yet."
    assert not opened.is_visible("#here select")
    opened.evaluate(draw, [{"name": "one", "rows": steps(1), "state": "training"}])
    assert opened.locator("#here .loss circle.training").count() == 1  # a line of one point would not be seen
    opened.evaluate(draw, [{"name": "one", "rows": steps(10), "state": "training"}])
    assert opened.locator("#here .loss circle.training").count() == 0
    assert "steps →" in opened.locator("#here .loss svg").first.text_content()
    assert opened.inner_text("#here output") == "10 steps"
    assert opened.input_value("#here select") == "step"
    opened.select_option("#here select", "seconds")
    path = "document.querySelector('#here path.training').getAttribute('d').split('L').length"
    assert opened.evaluate(path) == 10
    runs = [{"name": "one", "rows": steps(20), "state": "training"}, {"name": "two", "rows": steps(5), "state": "stopped"}]
    opened.evaluate(draw, runs)
    assert opened.evaluate(path) == 20
    assert opened.input_value("#here select") == "seconds"
    assert "one (training now)" in opened.inner_text("#here .legend")
    context.close()
