"""Look inside and Runs, on the page of a real server: what they show is what the server says, at three widths."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from serve.browsing import WIDTHS
from serve.running import Running, running
from serve.visiting import TEXT, Visit, percent, read

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("width", WIDTHS)
def test_inside_shows_what_each_head_reads(width: int, visit: Callable[..., Visit]) -> None:
    seen = visit("inside", width)
    seen.page.fill("#view-inside textarea", "The cat sat on the ma")
    said = seen.answer("/api/attention", "The cat sat on the ma", "#view-inside button.main")
    seen.page.wait_for_selector("#view-inside .look-lit [data-t='20']")
    assert seen.page.locator(".look-heads canvas").count() == said["layers"] * said["heads"] == 4
    assert "".join(seen.texts(".look-lit span")) == "".join(said["characters"]) == "The cat sat on the ma"
    seen.page.click("[aria-label='Layer 2, head 1']")
    seen.page.hover(".look-lit [data-t='6']")
    row = said["weights"][1][0][6]
    assert seen.texts(".look-reads .look-bars span") == [percent(w) for w in sorted(row, reverse=True)[:5] if w > 0]
    seen.looked_at()

    seen.page.keyboard.press("ArrowRight")
    assert seen.page.evaluate("document.activeElement.getAttribute('aria-label')") == "Layer 2, head 2"
    seen.page.focus(".look-lit")
    seen.page.keyboard.press("ArrowRight")
    row = said["weights"][1][1][7]
    assert seen.texts(".look-reads .look-bars span")[0] == percent(max(row))
    assert seen.page.locator(".look-lit .chosen").get_attribute("data-t") == "7"


def test_inside_shows_the_guess_after_each_layer(visit: Callable[..., Visit]) -> None:
    seen = visit("inside")
    seen.page.fill("#view-inside textarea", "The cat sat on the ma")
    said = seen.answer("/api/lens", "The cat sat on the ma", "#view-inside button.main")
    seen.page.wait_for_selector(".look-lens td.chosen")
    came = said["characters"][1:]
    right = [sum(place[0][0] == one for place, one in zip(row, came, strict=False)) for row in said["guesses"]]
    names = [f"{name}right: {n} of {len(came)}" for name, n in zip(said["layers"], right, strict=True)]
    assert seen.texts(".look-lens tbody th") == names
    glyphs = {" ": "␣", "\n": "↵"}
    for row, guesses in enumerate(said["guesses"]):
        shown = seen.texts(f".look-lens tbody tr:nth-child({row + 1}) td")
        assert shown == [glyphs.get(place[0][0], place[0][0]) for place in guesses]
    assert seen.page.locator(".look-lens tbody tr:last-child .look-right").count() == right[-1] > 10
    seen.page.click(".look-lens tbody tr:nth-child(2) td:nth-of-type(4)")
    assert seen.texts(".look-guess .look-bars span") == [percent(p) for _, p in said["guesses"][1][3]]
    seen.page.keyboard.press("ArrowDown")
    assert seen.texts(".look-guess .look-bars span") == [percent(p) for _, p in said["guesses"][2][3]]


def test_inside_shows_the_characters_and_the_parts(visit: Callable[..., Visit], served: Running) -> None:
    seen = visit("inside")
    points = httpx.get(f"{served.url}/api/embedding").json()["points"]
    parts = httpx.get(f"{served.url}/api/inspect").json()
    seen.page.wait_for_selector(".look-map text.chosen")
    seen.page.wait_for_selector(".look-parts tbody tr")
    glyphs = {" ": "␣", "\n": "↵"}
    assert seen.texts(".look-map text") == [glyphs.get(point["character"], point["character"]) for point in points]
    before = seen.page.inner_text(".look-nearest")
    seen.page.focus(".look-map svg")
    for key in ("ArrowRight", "ArrowLeft", "ArrowUp", "ArrowDown"):
        seen.page.keyboard.press(key)
        if seen.page.inner_text(".look-nearest") != before:
            break
    else:
        pytest.fail("no arrow key leads to another character")
    assert seen.texts(".look-parts tbody td:nth-child(2)") == [f"{part['params']:,}" for part in parts["parts"]]
    assert seen.texts(".look-parts .look-summary b")[0] == f"{parts['params']:,}"
    links = seen.page.evaluate("[...document.querySelectorAll('#view-inside a')].map((a) => a.href)")
    assert len(links) > len(SECTIONS)
    assert {httpx.get(link).status_code for link in links} == {200}


def test_inside_says_what_it_leaves_out(visit: Callable[..., Visit]) -> None:
    seen = visit("inside")
    text = "The cat sat on the mat. ☠ " * 20
    seen.page.fill("#view-inside textarea", text)
    seen.page.click("#view-inside button.main")
    seen.page.locator("#view-inside form .hint", has_text="Shown").wait_for()
    shown = seen.page.locator(".look-lit span").count()
    wanted = f"Shown: the last {shown} characters (all that this model sees at once)."
    wanted += " Left out, as this model has never seen them: ☠."
    assert seen.page.inner_text("#view-inside form .hint") == wanted
    assert "The counting is already in every row" in seen.page.inner_text("[aria-labelledby='look-lens']")


SECTIONS = ("attention", "lens", "map", "parts")


def test_inside_begins_with_what_was_read(visit: Callable[..., Visit]) -> None:
    seen = visit("read")
    read(seen, "The owl sat on the log. ")
    seen.page.click("nav a[href='#inside']")
    seen.page.wait_for_selector(".look-lit [data-t='23']", state="attached")
    assert seen.page.input_value("#view-inside textarea") == "The owl sat on the log. "


@pytest.mark.parametrize("width", WIDTHS)
def test_runs_shows_what_training_came_to(width: int, visit: Callable[..., Visit], served: Running) -> None:
    seen = visit("runs", width)
    seen.page.wait_for_selector(".look-curves svg path")
    runs = {run["name"]: run for run in httpx.get(f"{served.url}/api/runs").json()["runs"]}
    assert runs.keys() == {"first", "<b>second"}
    for name, row in zip(seen.texts("tbody th"), seen.page.locator("#view-runs tbody tr").all(), strict=True):
        words = row.text_content()
        assert f"{runs[name]['best_bits']:.4f}" in words
        assert runs[name]["state"] in words
    for name in runs:
        seen.page.check(f"[aria-label='Show {name}']")
    seen.page.wait_for_selector(".look-curves .legend li:has-text('<b>second')")
    seen.page.wait_for_selector(".look-sample:nth-child(2) pre")
    seen.looked_at()

    heading = seen.page.locator("#view-runs th button", has_text="run")
    for order, wanted in (("ascending", sorted(runs)), ("descending", sorted(runs, reverse=True))):
        heading.click()
        assert seen.page.locator("#view-runs th[aria-sort]").get_attribute("aria-sort") == order
        assert seen.texts("#view-runs tbody th") == wanted


def test_runs_goes_on_while_training_does(visit: Callable[..., Visit], served: Running, tiny: Any) -> None:
    """A row that training writes is on the page within a few seconds."""
    seen = visit("runs")
    shutil.copytree(tiny.run_dir, served.log.parent / "runs" / "third")
    try:
        seen.page.check("[aria-label='Show third']")
        metrics = served.log.parent / "runs" / "third" / "metrics.jsonl"
        last = json.loads(metrics.read_text().splitlines()[-1])
        sample = {
            "kind": None,
            "step": 98_765,
            "chars": 10**6,
            "seconds": 99.0,
            "val_nats_per_char": 0.5,
            "sample": "fresh words",
        }
        with metrics.open("a") as file:
            file.write(json.dumps({**last, **sample}) + "\n")
        seen.page.wait_for_selector("#view-runs tbody tr:has-text('98,765')")
        seen.page.wait_for_selector(".look-sample pre:has-text('fresh words')")
    finally:
        shutil.rmtree(served.log.parent / "runs" / "third")


def test_nobody_is_asked_while_nobody_looks(visit: Callable[..., Visit]) -> None:
    seen = visit("runs")
    seen.page.wait_for_selector(".look-curves svg path")
    seen.page.click("nav a[href='#read']")
    seen.page.wait_for_selector("#view-read h1")
    before = len(seen.requests)
    seen.page.wait_for_timeout(2600)
    assert [url for url in seen.requests[before:] if "/api/runs" in url] == []


def test_a_folder_without_runs_says_how_to_begin(chromium: Any, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    with running(tmp_path, "--runs", "runs") as server:
        seen = Visit(chromium, server.url, "runs")
        seen.page.wait_for_selector("#view-runs code:has-text('letterwise train')")
        seen.close()


def test_a_run_that_only_began_is_seen(chromium: Any, tmp_path: Path) -> None:
    """It counts, and has no row and no model yet: both Runs and the other views say that it is there."""
    fcntl = pytest.importorskip("fcntl")
    (tmp_path / "runs/begun").mkdir(parents=True)
    with (tmp_path / "runs/begun/.lock").open("w") as lock, running(tmp_path, "--runs", "runs") as server:
        fcntl.flock(lock, fcntl.LOCK_EX)
        seen = Visit(chromium, server.url, "runs")
        seen.page.wait_for_selector("#view-runs tbody tr:has-text('training now')")
        seen.page.wait_for_selector("#view-runs p:has-text('This run has begun')")
        seen.page.click("nav a[href='#write']")
        seen.page.wait_for_selector("#empty h1:has-text('A run is training: begun')")
        seen.looked_at()
        seen.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(scheme: str, visit: Callable[..., Visit]) -> None:
    seen = visit("read", 360)
    seen.page.emulate_media(color_scheme=scheme)
    read(seen, TEXT)
    seen.page.hover("#view-read [data-i='30']")
    assert seen.serious() == []
    seen.page.click("nav a[href='#inside']")
    seen.page.wait_for_selector(".look-lens td.chosen")
    seen.page.wait_for_selector(".look-map text.chosen")
    seen.page.wait_for_selector(".look-parts tbody tr")
    assert seen.serious() == []
    seen.page.click("nav a[href='#runs']")
    seen.page.wait_for_selector(".look-sample pre")
    assert seen.serious() == []


def test_nothing_that_is_shown_is_markup(visit: Callable[..., Visit]) -> None:
    seen = visit("read")
    read(seen, TEXT)
    seen.page.click("nav a[href='#inside']")
    seen.page.wait_for_selector(".look-lens td.chosen")
    seen.page.click("nav a[href='#runs']")
    seen.page.wait_for_selector("#view-runs tbody tr")
    assert seen.page.evaluate("window.hacked") is None
    assert seen.page.locator("main img, main th b").count() == 0
