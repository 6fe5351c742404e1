"""The view Write in a real browser, where something is wrong: a limit, a link, the server, the connection, a number, a key."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from serve.browsing import Window
from serve.running import Running, running
from serve.writing import go_on, setting, text

from letterwise.api.model import LanguageModel

pytestmark = pytest.mark.browser


def test_what_the_server_would_refuse_is_said_under_its_box(chromium: Any, server: Running) -> None:
    window = Window(chromium, server.url)
    page = window.open()
    for name, wrong, right in [("regex", "(a", "(a)"), ("charset", "\u20ac", "a"), ("stop", "x\n" * 100, "a")]:
        setting(page, **{name: wrong})
        page.wait_for_selector(f"[name={name}][aria-invalid=true]")
        assert len(page.inner_text(f"#error-{name}")) > 10
        setting(page, **{name: right})
        page.wait_for_selector(f"[name={name}]:not([aria-invalid])")
        assert page.inner_text(f"#error-{name}") == ""
    window.close(refused=True)


@pytest.mark.parametrize("fragment", ["#write?s=", "#write?s=%%%", "#write?s=AAAA", "#write?s=q1YqSa0oUbJSUKgFAA", "#nothing"])
def test_a_broken_link_opens_an_empty_page_and_says_so(window: Window, fragment: str) -> None:
    page = window.open(fragment)
    page.get_by_role("button", name="Go on").wait_for()
    if fragment != "#nothing":
        page.wait_for_selector(".write-error:text('This link is damaged or cut')")
    assert text(page) == ""


@pytest.mark.parametrize(
    ("status", "words"),
    [(429, "Many are writing just now. Full. Try again in 3 seconds."), (503, "The server is starting or stopping.")],
)
def test_a_busy_server_is_said_in_words(chromium: Any, server: Running, status: int, words: str) -> None:
    window = Window(chromium, server.url)
    page = window.open()
    body = json.dumps({"error": {"message": "Full."}}) if status == 429 else "no"
    headers = {"Retry-After": "3"} if status == 429 else {}
    page.route("**/v1/completions", lambda route: route.fulfill(status=status, body=body, headers=headers))
    go_on(page, "the ")
    assert page.inner_text(".write-error") == words
    assert text(page) == "the "
    window.close(refused=True)


def test_a_lost_connection_keeps_what_has_come(chromium: Any, server: Running) -> None:
    window = Window(chromium, server.url)
    page = window.open()
    piece = {"choices": [{"index": 0, "text": "ab", "logprobs": {"tokens": ["a", "b"], "token_logprobs": [-1.0, -2.0]}}]}
    answers = [
        f"data: {json.dumps(piece)}\n\n",
        f'data: {json.dumps(piece)}\n\ndata: {{"error": {{"message": "It broke."}}}}\n\n',
    ]
    for body, words in zip(answers, ["The connection was lost before the text was done.", "It broke."], strict=True):
        page.unroute_all()
        page.route("**/v1/completions", partial(answer, body))
        assert go_on(page, "x") == "xab"
        assert page.inner_text(".write-error") == words
    page.route("**/v1/completions", lambda route: route.abort())
    go_on(page, "x")
    assert "does not answer" in page.inner_text(".write-error")
    window.close(refused=True)


def answer(body: str, route: Any) -> None:
    route.fulfill(body=body, content_type="text/event-stream")


def test_without_a_model_it_says_how_to_train_one(chromium: Any, tmp_path: Path) -> None:
    with running(tmp_path) as server:
        window = Window(chromium, server.url)
        page = window.open()
        page.wait_for_selector("#empty:visible")
        assert "letterwise train --input_file your.txt" in page.inner_text("#empty")
        assert page.locator("#view-write").is_hidden()
        assert window.serious() == []
        window.keep("write-empty")
        window.close()


def test_a_key_is_asked_for(chromium: Any, tiny: LanguageModel, tmp_path: Path) -> None:
    tiny.save(tmp_path / "m.safetensors")
    with running(tmp_path, "--model_path", "m.safetensors", "--api_key", "sesame") as server:
        window = Window(chromium, server.url)
        page = window.open()
        page.fill("#key-field", "sesame")
        page.keyboard.press("Enter")
        setting(page, seed=7, max_tokens=20)
        page.get_by_role("button", name="Go on").and_(page.locator(":enabled")).wait_for()
        assert len(go_on(page, "the ")) == 24
        window.close(refused=True)


@pytest.mark.parametrize(
    ("name", "values"),
    [("max_tokens", ["0", "-5", "1000000", "12.5", ""]), ("seed", ["-1", "1.5", "99999999999999999999"])],
)
def test_a_number_that_cannot_be_is_refused(page: Any, name: str, values: list[str]) -> None:
    for value in values:
        setting(page, **{name: value})
        page.wait_for_selector(f"[name={name}][aria-invalid=true]")
        assert "a whole number from" in page.inner_text(f"#error-{name}")
        assert go_on(page, "the ") == "the "
        assert "a whole number from" in page.inner_text(".write-error")
        assert page.input_value(f"[name={name}]") == value
    setting(page, **{name: "8"})
    assert page.inner_text(f"#error-{name}") == page.inner_text(".write-error") == ""


def test_refusals_and_strange_characters_are_named_as_on_the_page(chromium: Any, server: Running) -> None:
    window = Window(chromium, server.url)
    page = window.open()
    assert page.locator("[data-do=share]").is_disabled()
    page.fill("#write-text", "\U0001f468\u200d\U0001f469\u200d\U0001f467 ")
    page.wait_for_selector(".write-note:not(:empty)")
    assert page.inner_text(".write-note").endswith(": \U0001f468\u200d\U0001f469\u200d\U0001f467")
    setting(page, charset="\U0001f600a")
    page.wait_for_selector("#error-charset:not(:empty)")
    assert page.inner_text("#error-charset").endswith(": \U0001f600")
    assert page.locator(".limited").is_visible()
    setting(page, charset="", max_tokens=3, regex="[a-z]{9}")
    go_on(page, "the ")
    assert page.inner_text(".write-error").startswith("“Characters” = 3 is too short")
    assert "max_tokens" not in page.inner_text(".write-error")
    window.close(refused=True)
