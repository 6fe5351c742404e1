"""What a person does in the view Write, and what stands there then."""

from typing import Any


def setting(page: Any, **values: Any) -> None:
    page.wait_for_selector(".limits", state="attached")
    page.evaluate("document.querySelector('.limits').open = true")
    for name, value in values.items():
        page.fill(f"[name={name}]", str(value))


def text(page: Any) -> str:
    return page.input_value("#write-text")


def go_on(page: Any, prompt: str | None = None) -> str:
    """The text when the model has written."""
    if prompt is not None:
        page.fill("#write-text", prompt)
    page.click("[data-do=write]")
    finish(page)
    return text(page)


def finish(page: Any) -> None:
    page.wait_for_selector("[data-do=write]:text('Go on')")


def put_caret(page: Any, index: int) -> None:
    """As one does with the keyboard."""
    page.focus("#write-text")
    page.evaluate("(at) => document.querySelector('#write-text').setSelectionRange(at - 1, at - 1)", index)
    page.keyboard.press("ArrowRight")
