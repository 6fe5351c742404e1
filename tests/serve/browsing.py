"""A page in a real browser: what it asked for, what it complained of, how it looks, and what axe finds in it.

Tests that use it are marked `browser`. Screenshots are kept in the folder that LETTERWISE_SCREENSHOTS names, if it names one.
"""

import importlib.util
import os
import re
from pathlib import Path
from typing import Any

import pytest

WIDTHS = {360: 740, 800: 900, 1400: 900}  # pixels, and the height that goes with them


class Window:
    """A page of the server in a window of its own. Closing it holds that nothing left this machine, and nobody complained."""

    def __init__(self, browser: Any, url: str, *, width: int = 1400, theme: str = "light") -> None:
        size = {"width": width, "height": WIDTHS[width]}
        self.context = browser.new_context(viewport=size, color_scheme=theme, accept_downloads=True)
        self.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=url)
        self.page, self.url, self.name = self.context.new_page(), url, f"{width}-{theme}"
        self.requests, self.complaints = list[str](), list[str]()
        self.page.set_default_timeout(60_000)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def open(self, fragment: str = "") -> Any:
        self.page.goto(f"{self.url}/{fragment}")
        return self.page

    def keep(self, what: str) -> None:
        """Keep what it looks like."""
        if folder := os.environ.get("LETTERWISE_SCREENSHOTS"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(folder) / f"{what}-{self.name}.png")

    def fits(self) -> None:
        """Nothing is cut off at the right."""
        wide, window = self.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert wide <= window, f"{wide} pixels in a window of {window}"

    def serious(self) -> list[str]:
        """The serious faults that axe finds, as sentences."""
        found = importlib.util.find_spec("axe_playwright_python")
        if found is None or found.origin is None:
            pytest.skip("axe looks for faults: pip install axe-playwright-python")
        self.page.evaluate((Path(found.origin).parent / "axe.min.js").read_text())
        violations = self.page.evaluate("axe.run().then(({ violations }) => violations)")
        worst = [fault for fault in violations if fault["impact"] in ("serious", "critical")]
        return [f"{fault['id']}: {node['html'][:150]} {node['failureSummary']}" for fault in worst for node in fault["nodes"]]

    def close(self, *, refused: bool = False) -> None:
        """`refused`: the test was about requests that are refused, which a browser mentions."""
        self.context.close()
        own = re.compile(rf"{re.escape(self.url)}(/|$)|data:|blob:")
        left = [url for url in self.requests if not own.match(url)]
        assert not left, left
        about = "Failed to load resource" if refused else "\0"
        said = [complaint for complaint in self.complaints if about not in complaint]
        assert not said, said
