"""A visit to one view of the page: what stands there, and what the server answered."""

import math
from typing import Any
from urllib.parse import urlsplit

from serve.browsing import Window

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


def percent(p: float) -> str:
    """As the page says it (surprise.js)."""
    if p >= 0.0995:
        return f"{100 * p:.0f} %"
    if p < 0.0001:
        return "0 %" if p == 0 else f"1 in {1 / p:,.0f}"
    digits = 1 - math.floor(math.log10(100 * p))
    return f"{100 * p:.{max(0, digits)}f} %"


def read(visit: Visit, text: str) -> Any:
    """Have a text read; what the server said of it."""
    visit.page.fill("#view-read textarea", text)
    scored = visit.answer("/api/score", text, "#view-read button.main")
    visit.page.wait_for_selector("#view-read [data-i]")
    return scored
