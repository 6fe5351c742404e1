"""Write page: what a person waits for in the view Write of `letterwise serve`, in a headless Chromium.

    python -m benchmarks.write_page

Milliseconds from a visit to its first contentful paint, from a click on "Go on" to the first character that is drawn, and those
that the page's thread works for each key pressed in the middle of 10,000 characters. Medians, and the worst.
"""

import shutil
import statistics
from typing import Any

from playwright.sync_api import sync_playwright

from benchmarks.record import flags, record
from benchmarks.serve import SHAPE, served

VISITS, KEYS = 5, 30
PAINTED = """() => new Promise((go) => new PerformanceObserver((list) => {
    const [paint] = list.getEntriesByName('first-contentful-paint');
    if (paint) go(paint.startTime);
}).observe({ type: 'paint', buffered: true }))"""
FIRST = """() => new Promise((go) => {
    const area = document.querySelector('#write-text'), length = area.value.length, started = performance.now();
    const look = () => area.value.length > length ? go(performance.now() - started) : requestAnimationFrame(look);
    document.querySelector('[data-do=write]').click();
    look();
})"""


def main() -> None:
    asked = flags(__doc__ or "").parse_args()
    with served(asked.text) as (port, _), sync_playwright() as playwright:
        path = shutil.which("chromium") or playwright.chromium.executable_path
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for _ in range(asked.rounds):
            waits: dict[str, list[float]] = {"paint": [], "first_char": [], "key": []}
            for _ in range(VISITS):
                page = browser.new_page()
                page.goto(f"http://127.0.0.1:{port}/#write")
                waits["paint"].append(page.evaluate(PAINTED))
                page.wait_for_selector("[data-do=write]:enabled")
                page.fill("#write-text", "The ")
                waits["first_char"].append(page.evaluate(FIRST))
                page.wait_for_selector("[data-do=write]:text('Go on')")
                waits["key"].append(key_ms(page))
                page.close()
            figures = {f"{name}_ms": round(statistics.median(each), 1) for name, each in waits.items()}
            figures |= {f"{name}_ms_worst": round(max(each), 1) for name, each in waits.items()}
            record(asked.append, benchmark="write_page", chromium=browser.version, **SHAPE, **figures)


def key_ms(page: Any) -> float:
    """Milliseconds of the page's thread that a key takes in the middle of a long text."""
    page.fill("#write-text", "The cat sat on the mat. " * 417)
    page.evaluate("document.querySelector('#write-text').setSelectionRange(5000, 5000)")
    page.focus("#write-text")
    page.wait_for_timeout(1000)  # what a pasted text asks for is over
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
    before = busy_s(devtools)
    for _ in range(KEYS):
        page.keyboard.press("a")
    return (busy_s(devtools) - before) / KEYS * 1000


def busy_s(devtools: Any) -> float:
    """Seconds of a processor that the page's thread has had."""
    metrics = devtools.send("Performance.getMetrics")["metrics"]
    return next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration")


if __name__ == "__main__":
    main()
