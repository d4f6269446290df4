"""How soon the dashboard is painted in a browser, and what it weighs."""

import shutil
import statistics
from collections.abc import Iterator

from playwright.sync_api import Browser, Error, sync_playwright

from benchmarks.effort import Effort
from benchmarks.rows import SECONDS, Row, Unit, below, without_limit
from benchmarks.servers import EIGHT_GPUS, CannotRunError, service, simulated

PAINT_LIMIT_SECONDS = 1.0
WEIGHT_LIMIT_KB = 250.0

KILOBYTES = Unit("{:.0f} KB")

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)

_PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"
_SIZES = """() => {
    const all = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
    const own = all.filter((each) => !new URL(each.name).pathname.startsWith("/api/"));
    const sum = (name) => own.reduce((total, each) => total + each[name], 0);
    return [sum("encodedBodySize"), sum("decodedBodySize"), own.length];
}"""


def measure(effort: Effort) -> Iterator[Row]:
    """Each visit by a browser that has never been there; beside it the page of the OpenAPI document."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        raise CannotRunError(f"none of {', '.join(BROWSERS)} is installed")
    with service(**simulated(EIGHT_GPUS)) as server, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            found = [_visit(browser, server.url(), ".gpu-card") for _ in range(effort.rounds)]
            beside = [_visit(browser, server.url("/docs"), ".info")[0] for _ in range(effort.rounds)]
            sent, unpacked, files = _weigh(browser, server.url())
        finally:
            browser.close()
    paints, cards = [paint for paint, _ in found], [card for _, card in found]
    note = f"slowest of {effort.rounds}: {max(paints):.2f} s"
    swagger = f"{SECONDS.show(statistics.median(beside))} the page /docs"
    yield below("dashboard, first paint: p50", statistics.median(paints), PAINT_LIMIT_SECONDS, SECONDS, swagger, note)
    yield without_limit("dashboard, the GPUs are there: p50", statistics.median(cards), SECONDS)
    note = f"{unpacked / 1000:.0f} KB unpacked, {files} files"
    yield below("dashboard, page, scripts and styles as sent", sent / 1000, WEIGHT_LIMIT_KB, KILOBYTES, note=note)


def _visit(browser: Browser, url: str, awaited: str) -> tuple[float, float]:
    """Seconds from the navigation to the first paint, and until this is shown. Raises CannotRunError."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    try:
        page = context.new_page()
        page.goto(url)
        page.wait_for_selector(awaited)
        shown = float(page.evaluate("performance.now()"))
        paint = page.evaluate(_PAINT)
        if paint is None:
            raise CannotRunError(f"the browser did not say when it painted {url}")
        return float(paint) / 1000, shown / 1000
    except Error as error:
        raise CannotRunError(f"{url}: {error.message.splitlines()[0]}") from error
    finally:
        context.close()


def _weigh(browser: Browser, url: str) -> tuple[int, int, int]:
    """Bytes as they travel, bytes unpacked, and files."""
    page = browser.new_page()
    page.goto(url)
    page.wait_for_selector(".gpu-card")
    sent, unpacked, files = page.evaluate(_SIZES)
    page.close()
    return sent, unpacked, files
