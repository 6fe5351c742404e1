"""The view Write in a real browser: what it may write, and what the page says of limits that cannot be met."""

from typing import Any

import pytest
from serve.browsing import Window
from serve.writing import go_on, setting, text

pytestmark = pytest.mark.browser


def said(page: Any, box: str) -> str:
    """What comes to stand under a box."""
    page.wait_for_selector(f"#error-{box}:not(:empty)")
    return page.inner_text(f"#error-{box}")


def test_each_text_that_it_must_contain_is_in_it(page: Any) -> None:
    setting(page, must_contain="cat sat\ndog")
    written = go_on(page, "the ")
    assert "cat sat" in written
    assert "dog" in written


def test_limits_that_clash_are_said_before_anything_is_written(window: Window, page: Any) -> None:
    setting(page, charset="acd", regex="dog")
    assert said(page, "together").startswith("“Only these characters” leave no text that matches")
    assert text(page) == ""
    setting(page, regex="cad")
    page.wait_for_selector("#error-together:empty", state="attached")
    assert any("400" in complaint for complaint in window.complaints)
    window.complaints.clear()


@pytest.mark.parametrize(
    ("box", "value", "sentence"),
    [
        ("charset", "a-d ", "a-d is three characters here, - among them: write all that you mean."),
        ("charset", "acé", "Not in this model's alphabet, so it will not come: é"),
        ("regex", "[éa ]{10}", "Not in this model's alphabet, so it will not come: é"),
        ("regex", "(?=.*cat).*", "which is not supported: write what may stand there, or use “It must contain”."),
    ],
)
def test_what_a_limit_cannot_mean_is_said_under_its_box(window: Window, page: Any, box: str, value: str, sentence: str) -> None:
    setting(page, **{box: value})
    assert said(page, box).endswith(sentence)
    window.complaints.clear()  # a refusal is no fault of the page


def test_a_pattern_of_nothing_writes_nothing_and_says_so(page: Any) -> None:
    setting(page, regex="()")
    assert go_on(page, "the ") == "the "
    assert page.inner_text(".write-speed") == "Nothing was written. The pattern is complete."
