"""Read, Look inside and Runs, on the page of a real server: what they show is what the server says, at three widths."""

import json
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from browser import started
from serve.browsing import WIDTHS, Window
from serve.running import Running, running

pytestmark = pytest.mark.browser
HOSTILE = "<img src=x onerror=window.hacked=1>"
TEXT = f"The cat sat on the mat. The dog sat on the log.\nThe zebra é sat.\n{HOSTILE}\nThe owl sat on the sill. \n"


class Visit(Window):
    """A visit to one view of the page."""

    def __init__(self, browser: Any, url: str, view: str, width: int = 1400) -> None:
        super().__init__(browser, url, width=width)
        self.view = view
        self.page.set_default_timeout(60_000)
        self.open(f"#{view}")
        self.page.wait_for_selector(f"#view-{view} h1")

    def answer(self, path: str, text: str, press: str) -> Any:
        """What the server answers of a text at `path`, after a button is pressed."""

        def is_it(response: Any) -> bool:
            return urlsplit(response.url).path == path and response.request.post_data_json["text"] == text

        with self.page.expect_response(is_it) as waited:
            self.page.click(press)
        return waited.value.json()

    def texts(self, selector: str) -> list[str]:
        """What stands in all elements of a kind."""
        return self.page.locator(selector).all_text_contents()

    def looked_at(self) -> None:
        """It fits its width, and is kept as a picture in either scheme of colours."""
        self.fits()
        for scheme in ("dark", "light"):
            self.page.emulate_media(color_scheme=scheme)
            self.name = f"{self.page.viewport_size['width']}-{scheme}"
            self.page.wait_for_timeout(300)  # colours fade into each other
            self.keep(self.view)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with started() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def served(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server of `tiny`, with two runs of its own: one has a name that would be markup if it could."""
    folder = tmp_path_factory.mktemp("looked")
    for name in ("first", "<b>second"):
        shutil.copytree(tiny.run_dir, folder / "runs" / name)
    tiny.save(folder / "tiny.safetensors")
    with running(folder, "--model_path", "tiny.safetensors", "--runs", "runs") as server:
        yield server


@pytest.fixture
def visit(browser: Any, served: Running) -> Iterator[Callable[..., Visit]]:
    """Opens a view of the page."""
    visits: list[Visit] = []

    def visiting(view: str, width: int = 1400) -> Visit:
        visits.append(Visit(browser, served.url, view, width))
        return visits[-1]

    yield visiting
    for one in visits:
        one.close(refused=True)


def percent(p: float) -> str:
    """As the page says it (surprise.js)."""
    if p >= 0.0995:
        return f"{100 * p:.0f} %"
    if p < 0.0001:
        return f"1 in {1 / p:,.0f}"
    digits = 1 - math.floor(math.log10(100 * p))
    return f"{100 * p:.{max(0, digits)}f} %"


def read(visit: Visit, text: str) -> Any:
    """Have a text read; what the server said of it."""
    visit.page.fill("#view-read textarea", text)
    scored = visit.answer("/api/score", text, "#view-read button.main")
    visit.page.wait_for_selector("#view-read [data-i]")
    return scored


@pytest.mark.parametrize("width", WIDTHS)
def test_read_shows_what_each_character_costs(width: int, visit: Callable[..., Visit]) -> None:
    seen = visit("read", width)
    scored = read(seen, TEXT)
    assert "".join(seen.texts("#view-read [data-i]")).replace("↵", "\n") == TEXT
    assert seen.texts(".look-total") == [f"{line['bits']:.1f}" for line in scored["lines"]]
    figures = seen.texts(".look-summary b")
    assert figures[0] == f"{scored['bits_per_char']:.3f}"
    assert figures[-1] == str(scored["unknown"]) != "0"

    i = TEXT.index("dog")
    seen.page.hover(f"#view-read [data-i='{i}']")
    detail = seen.texts(".look-detail dd")
    assert detail[0] == percent(scored["probabilities"][i])
    assert detail[1] == f"{scored['bits'][i]:.2f} bits"
    assert detail[2].startswith(str(scored["ranks"][i]))
    bars = seen.texts(".look-detail .look-bars span")
    assert bars == [percent(p) for _, p in scored["alternatives"][i]]
    assert len(bars) == 5
    seen.looked_at()


def test_read_goes_by_the_keys(visit: Callable[..., Visit]) -> None:
    """Each character can be reached, and is said."""
    seen = visit("read")
    scored = read(seen, TEXT)
    seen.page.focus(".look-rows")
    assert "Nothing comes before it" in seen.page.inner_text(".look-detail")
    for key in ("ArrowRight", "ArrowRight"):
        seen.page.keyboard.press(key)
    assert f"{scored['bits'][2]:.2f} bits" in seen.page.inner_text(".look-detail")
    seen.page.wait_for_selector(f".look-heat [role=status]:has-text('{scored['bits'][2]:.1f} bits, rank {scored['ranks'][2]}')")
    for key in ("ArrowDown", "End"):
        seen.page.keyboard.press(key)
    assert "line break" in seen.page.inner_text(".look-detail")
    for key in ("Home", *["ArrowRight"] * 10):
        seen.page.keyboard.press(key)
    assert "never seen" in seen.page.inner_text(".look-detail")  # é
    seen.page.keyboard.press("Escape")
    assert seen.page.locator(".look-line .chosen").count() == 0


def test_read_puts_odd_lines_first(visit: Callable[..., Visit]) -> None:
    """By what a line costs beyond the text's mean, in units of what chance does to a line of its length."""
    seen = visit("read")
    scored = read(seen, TEXT)
    seen.page.select_option(".look-bar select", "odd")
    mean = scored["bits_per_char"]
    odd = sorted(scored["lines"], key=lambda line: (mean * line["chars"] - line["bits"]) / math.sqrt(line["chars"]))
    wanted = [str(line["number"]) for line in odd]
    assert wanted != sorted(wanted)
    seen.page.wait_for_selector(f".look-row:nth-child({len(wanted)})")
    assert seen.texts(".look-row .look-number") == wanted
    seen.page.select_option(".look-bar select", "text")
    seen.page.wait_for_selector(f".look-row:nth-child({len(wanted)})")
    assert seen.texts(".look-row .look-number") == sorted(wanted)


def test_read_underlines_what_is_copied(visit: Callable[..., Visit], served: Running) -> None:
    seen = visit("read")
    read(seen, TEXT)
    novelty = httpx.post(f"{served.url}/api/novelty", json={"text": TEXT}).json()
    wanted = {i for run in novelty["runs"] for i in range(run["start"], run["start"] + run["length"])}
    assert 20 <= len(wanted) < len(TEXT)
    seen.page.wait_for_selector(".look-line .copied")
    marked = seen.page.evaluate("[...document.querySelectorAll('.look-line .copied')].map((e) => Number(e.dataset.i))")
    assert set(marked) == wanted
    assert percent(novelty["shares"]["20"]) in seen.page.inner_text("#view-read")


def test_read_says_quietly_that_the_training_text_is_gone(visit: Callable[..., Visit]) -> None:
    seen = visit("read")
    gone = {"error": {"message": "animals.txt is gone.", "type": "invalid_request_error", "param": None, "code": None}}
    seen.page.route("**/api/novelty", lambda route: route.fulfill(status=400, json=gone))
    read(seen, TEXT)
    seen.page.wait_for_selector("#view-read p:has-text('Copies from the training text are not marked: animals.txt is gone.')")


def test_another_model_reads_the_same_text(browser: Any, server: Running) -> None:
    seen = Visit(browser, server.url, "read")
    read(seen, TEXT)
    with seen.page.expect_response("**/api/score") as waited:
        seen.page.select_option("#model", "bytes")
    scored = waited.value.json()
    assert scored["model"] == "bytes"
    seen.page.wait_for_selector(f".look-summary b:has-text('{scored['bits_per_char']:.3f}')")
    assert "".join(seen.texts("#view-read [data-i]")).replace("↵", "\n") == TEXT
    seen.close(refused=True)


def test_read_takes_long_texts_in_pieces(visit: Callable[..., Visit]) -> None:
    """A file of more than the field holds is read at once; rows are drawn as one comes to them."""
    seen, text = visit("read"), "The cat sat on the mat. \n" * 600
    seen.page.set_input_files("#view-read input[type=file]", {"name": "cats.txt", "mimeType": "", "buffer": text.encode()})
    seen.page.wait_for_selector(".look-row[data-line='100']", state="attached")
    assert "cats.txt, 15,000 characters" in seen.page.inner_text(".look-held")
    assert seen.page.input_value("#view-read textarea", strict=True) == ""
    seen.page.wait_for_timeout(500)
    drawn = seen.page.locator(".look-row").count()
    assert drawn < 500
    seen.page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    seen.page.wait_for_selector(f".look-row[data-line='{drawn + 50}']", state="attached")


def test_read_goes_on_drawing_for_who_comes_back(visit: Callable[..., Visit]) -> None:
    """Leave while rows are being drawn, and return."""
    seen, text = visit("read"), "The cat sat on the mat. \n" * 600
    seen.page.evaluate(
        "new MutationObserver(() => { if (!window.left) { window.left = true; location.hash = '#runs'; } })"
        ".observe(document.querySelector('.look-rows'), { childList: true })"
    )
    seen.page.set_input_files("#view-read input[type=file]", {"name": "cats.txt", "mimeType": "", "buffer": text.encode()})
    seen.page.wait_for_selector("#view-runs h1")
    drawn = seen.page.locator(".look-row").count()
    assert drawn < 500
    seen.page.click("nav a[href='#read']")
    seen.page.wait_for_selector(f".look-row[data-line='{drawn + 20}']", state="attached")


def test_read_says_what_it_cannot_read(visit: Callable[..., Visit]) -> None:
    seen = visit("read")
    for content, sentence in ((b"\xff\xfe", "odd.txt is no text in UTF-8"), (b"a" * 1_000_001, "odd.txt has 1,000,001 bytes")):
        seen.page.set_input_files("#view-read input[type=file]", {"name": "odd.txt", "mimeType": "", "buffer": content})
        seen.page.wait_for_selector(f"#view-read [role=status]:has-text('{sentence}')")
    seen.page.set_input_files("#view-read input[type=file]", {"name": "odd.txt", "mimeType": "", "buffer": b"a" * 200_000})
    seen.page.wait_for_selector("#view-read [role=status]:has-text('a text of 200,000 characters is too long')")


def test_the_model_writes_something_to_read(visit: Callable[..., Visit]) -> None:
    seen = visit("read")
    seen.page.click("text=Let the model write one")
    seen.page.wait_for_selector("#view-read [data-i]")
    assert "".join(seen.texts("#view-read [data-i]")).replace("↵", "\n") == seen.page.input_value("#view-read textarea") != ""


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


def test_a_folder_without_runs_says_how_to_begin(browser: Any, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    with running(tmp_path, "--runs", "runs") as server:
        seen = Visit(browser, server.url, "runs")
        seen.page.wait_for_selector("#view-runs code:has-text('letterwise train')")
        seen.close()


def test_a_run_that_only_began_is_seen(browser: Any, tmp_path: Path) -> None:
    """It counts, and has no row and no model yet: both Runs and the other views say that it is there."""
    fcntl = pytest.importorskip("fcntl")
    (tmp_path / "runs/begun").mkdir(parents=True)
    with (tmp_path / "runs/begun/.lock").open("w") as lock, running(tmp_path, "--runs", "runs") as server:
        fcntl.flock(lock, fcntl.LOCK_EX)
        seen = Visit(browser, server.url, "runs")
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
