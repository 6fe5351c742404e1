"""A headless Chromium, where there is one: this machine's, or Playwright's own.

`chromium-headless-shell`, where there is that, wants two thirds of the processor time that `chromium --headless` does.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

BROWSERS = ("chromium-headless-shell", "chromium", "google-chrome")


@contextmanager
def started() -> Iterator[Any]:
    """A Chromium, or the test is skipped."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright drives the browser: pip install playwright")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_api.sync_playwright() as playwright:
        path = path or playwright.chromium.executable_path
        if not os.path.exists(path):
            pytest.skip("there is no Chromium: playwright install chromium")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
