"""Page: characters per second of a model that runs in a browser, and how large its page is.

    python -m benchmarks.page

Models of size nano, hardly trained: what is written does not matter to speed, and counts are those of the whole text. The page
is opened in a headless Chromium without a network, and asked for 3,000 characters several times; the first also warms up.
"""

import shutil
import statistics
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

import letterwise
from benchmarks.record import flags, record

SHAPE = dict(n_layer=4, n_head=4, n_embd=128, block_size=128)
CHARS = 3000


def main() -> None:
    asked = flags(__doc__ or "").parse_args()
    with tempfile.TemporaryDirectory() as workplace, sync_playwright() as playwright:
        path = shutil.which("chromium") or playwright.chromium.executable_path
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        pages = {preset: page_of(preset, asked.text, Path(workplace) / preset) for preset in ("fast", "classic")}
        speeds: dict[str, list[int]] = {preset: [] for preset in pages}
        for _ in range(asked.rounds):
            for preset, page in pages.items():
                speeds[preset].append(chars_per_second(browser, page))
        for preset, page in pages.items():
            figures = {"chars_per_second": statistics.median(speeds[preset]), "megabytes": round(page.stat().st_size / 1e6, 2)}
            record(asked.append, benchmark="page", contender=preset, chromium=browser.version, **SHAPE, **figures)


def page_of(preset: str, text: Path | None, folder: Path) -> Path:
    """The page of a model that was trained for a few steps."""
    model = letterwise.train(text, preset=preset, out=folder / "run", progress=False, max_iters=5, eval_chars=1000, **SHAPE)
    model.export("html", folder / "page", weights="float16")
    return folder / "page/index.html"


def chars_per_second(browser: Browser, path: Path) -> int:
    """What the page itself shows when it has written."""
    page = browser.new_page()
    page.goto(path.as_uri())
    page.evaluate("document.getElementById('options').open = true")
    page.fill("#length", str(CHARS))
    for _ in range(2):
        page.click("#go:enabled")
        page.wait_for_selector("#go:enabled")
    shown = page.inner_text("#speed")
    page.close()
    return int(shown.split()[0].replace(",", ""))


if __name__ == "__main__":
    main()
