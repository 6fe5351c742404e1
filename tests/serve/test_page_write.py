"""The view Write in a real browser, before a real server: each thing that one can do there does what it says."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from serve.browsing import WIDTHS, Window
from serve.running import Running
from serve.writing import finish, go_on, put_caret, setting, text

from letterwise.api.model import LanguageModel

pytestmark = pytest.mark.browser
HOSTILE = "<script>hacked=1</script>\x00\x1b[31m\u202e<img src=x onerror=hacked=1>\U0001f600e\u0301"
SLOW = {"offline": False, "latency": 0, "downloadThroughput": 50_000, "uploadThroughput": -1}  # bytes per second
# Wait for the first contentful paint. (Playwright's `wait_for_function` is refused by the page's content security policy.)
PAINTED = """() => new Promise((go) => new PerformanceObserver((list) => {
    if (list.getEntriesByName('first-contentful-paint').length) go();
}).observe({ type: 'paint', buffered: true }))"""
# Wait until an element has so many characters.
GROWN = "(way, n) => new Promise((go) => setInterval(() => way.textContent.length >= n && go(), 20))"


def middle(page: Any, n: int) -> list[float]:
    """Where the first character of the n-th coloured run is, a little right of its middle."""
    return (
        page.locator(".mirror [class^=s]")
        .nth(n)
        .evaluate("""(run) => {
        const range = document.createRange();
        range.setStart(run.firstChild, 0);
        range.setEnd(run.firstChild, 1);
        const { left, top, width, height } = range.getBoundingClientRect();
        return [left + width * 0.75, top + height / 2];
    }""")
    )


def saved(page: Any, kind: str) -> str:
    page.click(".menu summary")
    with page.expect_download() as download:
        page.click(f"[data-do=save-{kind}]")
    return Path(download.value.path()).read_bytes().decode()


def test_it_writes_what_generate_writes(page: Any, tiny: LanguageModel) -> None:
    wanted = tiny.generate("the ", num_tokens=60, temperature=0.8, rng_seed=7)
    assert go_on(page, "the ") == "the " + wanted
    assert go_on(page) == "the " + wanted + tiny.generate("the " + wanted, num_tokens=60, temperature=0.8, rng_seed=7)


def test_the_colours_are_the_bits_of_each_character(page: Any, server: Running) -> None:
    go_on(page, "the ")
    asked = dict(model="tiny", prompt="the ", max_tokens=60, temperature=0.8, seed=7, logprobs=0)
    nats = httpx.post(f"{server.url}/v1/completions", json=asked).json()["choices"][0]["logprobs"]["token_logprobs"]
    characters = json.loads(saved(page, "json"))["characters"]
    assert [c["by"] for c in characters] == ["person"] * 4 + ["model"] * 60
    bits = [-n / 0.6931471805599453 for n in nats]
    assert [c["bits"] for c in characters[4:]] == pytest.approx(bits)
    runs = page.locator(".mirror span span, .mirror i")
    names = runs.evaluate_all("(runs) => runs.flatMap((run) => [...run.textContent].map(() => run.className))")
    drawn = [re.search(r"\bs(\d+)", name) for name in names]
    assert [int(found[1]) if found else 0 for found in drawn[4:]] == [min(10, int(b + 0.5)) for b in bits]


def test_a_stop_text_a_pattern_and_an_alphabet_are_kept(page: Any, tiny: LanguageModel) -> None:
    setting(page, regex="[a-z]{5}")
    assert re.fullmatch("the [a-z]{5}", go_on(page, "the "))
    setting(page, regex="", charset="abc")
    assert set(go_on(page, "the ")[4:]) <= set("abc")
    wanted = tiny.generate("the ", num_tokens=60, temperature=0.8, rng_seed=7)
    setting(page, charset="", stop=wanted[10:12])
    assert go_on(page, "the ") == "the " + wanted[: wanted.index(wanted[10:12])]


def test_one_of_three_continuations_is_taken(page: Any, tiny: LanguageModel) -> None:
    page.fill("#write-text", "the ")
    page.click("[data-do=three]")
    for k in range(3):
        wanted = tiny.generate("the ", num_tokens=60, temperature=0.8, rng_seed=7 + k)
        way = page.locator(".way").nth(k)
        way.evaluate(GROWN, 60)
        assert way.evaluate("(way) => way.textContent") == wanted
    page.get_by_role("button", name="Take continuation 3").click()
    assert text(page) == "the " + wanted
    assert page.locator(".write-three").is_hidden()
    page.keyboard.press("Control+z")
    assert text(page) == "the "


def test_another_branch_grows_and_undo_brings_back_the_first(page: Any, tiny: LanguageModel) -> None:
    first = go_on(page, "the ")
    put_caret(page, 20)
    page.wait_for_selector("tbody tr")
    button = page.locator("tbody tr:not(.stands) .branch").first
    name = button.inner_text()
    button.click()
    finish(page)
    second, chosen = text(page), {"space": " ", "line break": "\n"}.get(name, name)
    assert (second[:20], second[20], len(second)) == (first[:20], chosen, len(first))
    assert second[21:] == tiny.generate(second[:21], num_tokens=43, temperature=0.8, rng_seed=7)
    page.click("[data-do=undo]")
    assert text(page) == first
    assert page.locator(".next-body").is_hidden()  # what it showed was another text's
    page.focus("#write-text")
    page.keyboard.press("Control+Shift+z")
    assert text(page) == second


def test_a_click_on_a_character_shows_what_was_expected_there(page: Any) -> None:
    written = go_on(page, "the ")
    where = middle(page, 0)
    assert (
        page.evaluate("([x, y]) => document.elementFromPoint(x, y).id", where) == "write-text"
    )  # the text is above its colours
    page.mouse.click(*where)
    here = page.locator(".mirror [class^=s]").first.evaluate("(run) => run.textContent[0]")
    assert here in written
    page.wait_for_selector(f'.next-context .here:text-is("{here}")')
    headings = page.locator(".write-next thead th").all_inner_texts()
    assert headings[1:] == ["model", "counting", "drawn"]
    chances = [float(cell.split()[0]) for cell in page.locator("td.by-draw").all_inner_texts() if cell[0].isdigit()]
    assert 0 < sum(chances) < 101


def test_after_an_edit_the_figures_are_those_of_the_text_as_it_is(page: Any, tiny: LanguageModel) -> None:
    go_on(page, "the ")
    page.evaluate("document.querySelector('#write-text').setSelectionRange(10, 10)")
    page.keyboard.type("zzz")
    put_caret(page, 13)
    stands, before = text(page)[13], text(page)[:13]
    page.wait_for_selector(f'.next-context:has-text("{before[-5:]}")')
    (wanted,) = [c for c in tiny.next_characters(before, n=1000).likeliest if c.character == stands]
    shown = page.inner_text("tr.stands td.by-model")
    assert (
        shown == "< 0.01 %"
        if wanted.probability < 1e-4
        else float(shown.split()[0]) == pytest.approx(100 * wanted.probability, rel=0.06)
    )


def test_on_a_narrow_window_a_panel_comes_from_below(chromium: Any, server: Running) -> None:
    window = Window(chromium, server.url, width=360)
    page = window.open()
    go_on(page, "the ")
    page.locator(".mirror span span").last.scroll_into_view_if_needed()
    page.mouse.click(*middle(page, page.locator(".mirror [class^=s]").count() - 1))
    page.wait_for_selector("#write-next tbody tr:visible")
    mark, panel = page.locator(".mark").bounding_box(), page.locator("#write-next").bounding_box()
    assert mark is not None
    assert panel is not None
    assert mark["y"] + mark["height"] <= panel["y"]
    window.keep("write-next")
    window.fits()
    assert window.serious() == []
    page.keyboard.press("Escape")
    assert page.locator("#write-next").is_hidden()
    window.close()


def test_stop_stops_and_typing_stops(page: Any, server: Running) -> None:
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", SLOW)
    for way in ("stop", "type"):
        setting(page, max_tokens=5000)
        page.fill("#write-text", "the ")
        page.click("[data-do=write]")
        page.wait_for_selector(".mirror span span >> nth=3", state="attached")
        page.click("[data-do=write]") if way == "stop" else page.type("#write-text", "\u20ac")
        finish(page)
        length = len(text(page))
        assert ("\u20ac" in text(page), text(page)[-1] == "\u20ac") == (way == "type", way == "type")  # behind what had come
        assert length < 4500
        page.wait_for_timeout(300)
        assert len(text(page)) == length


def test_foreign_characters_are_only_text(window: Window, page: Any) -> None:
    page.fill("#write-text", HOSTILE)
    assert saved(page, "text") == HOSTILE
    page.wait_for_selector(".write-note:not(:empty)")
    go_on(page)
    assert page.evaluate("typeof hacked") == "undefined"
    assert page.evaluate("document.querySelectorAll('#main img, #main script').length") == 0
    assert text(page).startswith("<script>hacked=1</script>\u2400\u241b[31m\u25a1<img")
    window.keep("write-hostile")


def test_a_link_holds_text_and_settings_and_the_server_sees_none_of_it(window: Window, page: Any, chromium: Any) -> None:
    setting(page, regex="[a-z ]+")
    page.fill("#set-temperature", "1.5")
    page.fill("#write-text", HOSTILE)
    page.click("[data-do=share]")
    page.wait_for_selector("#toast:not(:empty)")
    link = page.evaluate("navigator.clipboard.readText()")
    other = Window(chromium, window.url)
    opened = other.open(link.removeprefix(f"{window.url}/"))
    opened.wait_for_selector("#toast:not(:empty)")
    assert saved(opened, "text") == HOSTILE
    assert opened.input_value("[name=regex]") == "[a-z ]+"
    assert opened.input_value("[name=temperature]") == "1.5"
    assert opened.input_value("[name=seed]") == "7"
    assert opened.evaluate("typeof hacked") == "undefined"
    assert not [url for url in other.requests if "s=" in url.partition("#")[0]]
    other.close()


def test_undo_after_a_link_brings_back_ones_own_text_and_settings(page: Any) -> None:
    setting(page, regex="[a-z ]+", max_tokens=33)
    page.fill("#write-text", "a friend's")
    page.click("[data-do=share]")
    page.wait_for_selector("#toast:not(:empty)")
    link = page.evaluate("navigator.clipboard.readText()")
    setting(page, regex="", max_tokens=50)
    page.fill("#write-text", "my own")
    page.evaluate("(link) => location.assign(link)", link)
    page.locator(".mirror", has_text="a friend's").wait_for()
    for way, own in (("undo", ["my own", "", "50"]), ("redo", ["a friend's", "[a-z ]+", "33"])):
        page.click(f"[data-do={way}]")
        assert [text(page), page.input_value("[name=regex]"), page.input_value("[name=max_tokens]")] == own


def test_the_text_is_there_again_after_a_reload(page: Any) -> None:
    written, marked = go_on(page, "the "), page.locator(".mirror [class^=s]")
    before = marked.count()
    page.reload()
    assert text(page) == written
    assert marked.count() == before > 0


def test_keys_alone_are_enough(window: Window) -> None:
    page = window.open()
    page.get_by_role("button", name="Go on").and_(page.locator(":enabled")).wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    setting(page, seed=7, max_tokens=60)
    page.focus("#write-text")
    page.keyboard.type("the ")
    page.keyboard.press("Control+Enter")
    finish(page)
    assert len(text(page)) == 64
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector(".branch")
    assert "seed 7" in page.inner_text("[role=status].write-status")


def test_typing_into_a_long_text_is_light(page: Any) -> None:
    """10 ms of the processor's time a key, as measured; the limit of 50 leaves room for a slow machine."""
    items = [["the cat sat on the mat, and looked at it.\n"[i % 42], i % 9 or None] for i in range(10_000)]
    page.add_init_script(f"localStorage.setItem('letterwise text', JSON.stringify({json.dumps({'items': items})}))")
    page.reload()
    page.wait_for_selector(".mirror span span >> nth=5000", state="attached")
    put_caret(page, 5000)
    page.wait_for_timeout(1000)
    page.evaluate("new Promise((go) => requestIdleCallback(() => requestIdleCallback(go)))")
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
    costs = []
    for _ in range(3):
        before = busy(devtools)
        for _ in range(10):
            page.keyboard.press("a")
        costs.append((busy(devtools) - before) / 10)
    assert min(costs) < 0.05
    assert text(page)[5000:5030] == "a" * 30


def busy(devtools: Any) -> float:
    """Seconds of a processor that the page's thread has had."""
    metrics = devtools.send("Performance.getMetrics")["metrics"]
    return next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration")


def test_it_is_painted_with_little_work(page: Any) -> None:
    """0.1 s of the processor, as measured; the limit of 1 leaves room for a slow machine."""
    page.reload()
    page.evaluate(PAINTED)
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
    assert 0 < busy(devtools) < 1


def test_the_first_character_comes_long_before_the_last(page: Any) -> None:
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", SLOW)
    setting(page, max_tokens=5000)
    page.fill("#write-text", "the ")
    length = page.evaluate("""() => new Promise((go) => {
        const area = document.querySelector('#write-text');
        const look = () => area.value.length > 4 ? go(area.value.length) : requestAnimationFrame(look);
        document.querySelector('[data-do=write]').click();
        look();
    })""")
    page.click("[data-do=write]")
    finish(page)
    assert length < 2500


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits_and_can_be_read(chromium: Any, server: Running, width: int, theme: str) -> None:
    window = Window(chromium, server.url, width=width, theme=theme)
    page = window.open()
    setting(page)
    go_on(page, "the ")
    window.keep("write-text")
    window.fits()
    if width < 1000:
        page.click("[data-do=settings]")
        window.keep("write-settings")
        assert window.serious() == []
        page.keyboard.press("Escape")
        assert page.evaluate("document.activeElement.dataset.do") == "settings"
    page.click("[data-do=three]")
    page.wait_for_selector(".way span >> nth=2")
    window.keep("write-three")
    window.fits()
    assert window.serious() == []
    window.close()


def test_a_long_text_is_pasted_at_once(window: Window, page: Any) -> None:
    """11,000 lines take 1 s, as measured, and took 45 when each was painted for itself."""
    verse = "".join(("line of verse" if n % 5 else "") + "\n" for n in range(11_000))
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
    before = busy(devtools)
    put = "(area, verse) => { area.value = verse; area.dispatchEvent(new Event('input')); }"
    page.locator("#write-text").evaluate(put, verse)
    page.wait_for_selector(".write-error:not(:empty)", timeout=60_000)
    assert busy(devtools) - before < 12
    assert "this server reads 100,000 at most" in page.inner_text(".write-error")
    assert page.inner_text(".write-speed") == f"{len(verse):,} characters"
    heights = page.evaluate("['.mirror', '#write-text'].map((part) => document.querySelector(part).scrollHeight)")
    assert abs(heights[0] - heights[1]) < 2  # each colour lies behind its letter
    assert ["400" in complaint for complaint in window.complaints] == [True]
    window.complaints.clear()


def test_the_seed_of_a_text_is_the_one_that_is_shown(page: Any, tiny: LanguageModel) -> None:
    setting(page, seed="")
    written = go_on(page, "the ")
    assert page.input_value("[name=seed]") == ""
    seed = int(page.inner_text(".write-speed").rpartition("seed ")[2])
    assert written == "the " + tiny.generate("the ", num_tokens=60, temperature=0.8, rng_seed=seed)
    page.check("[name=fixed]")
    assert page.input_value("[name=seed]") == str(seed)
    assert go_on(page, "the ") == written
    page.click("[data-do=undo]")
    assert "seed" not in page.inner_text(".write-speed")
