"""Read, on the page of a real server: what it shows of a text is what the server says of it."""

import math
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from serve.browsing import WIDTHS
from serve.running import Running
from serve.visiting import TEXT, Visit, percent, read

pytestmark = pytest.mark.browser


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


def test_another_model_reads_the_same_text(chromium: Any, server: Running) -> None:
    seen = Visit(chromium, server.url, "read")
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
