"""Time until a browser has painted the dashboard, and its size."""

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from playwright.sync_api import Browser, Error, Page, sync_playwright

from benchmarks.effort import Effort
from benchmarks.rows import SECONDS, Row, Unit, below, without_limit
from benchmarks.servers import EIGHT_GPUS, CannotRunError, Running, service, simulated
from tests.browser import find_browser, launch

PAINT_LIMIT_SECONDS = 1.0
WEIGHT_LIMIT_KB = 250.0
TRAINING_SECONDS = 60.0

KILOBYTES = Unit("{:.0f} KB")

_PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"
#: Gives the packed and unpacked bytes, and the number, of page, scripts and styles: what a screen needs first.
_SIZES = """() => {
    const all = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
    const own = all.filter((each) => /^\\/$|\\.(js|css)$/.test(new URL(each.name).pathname));
    const sum = (name) => own.reduce((total, each) => total + each[name], 0);
    return [sum("encodedBodySize"), sum("decodedBodySize"), own.length];
}"""


def measure(effort: Effort) -> Iterator[Row]:
    """Measure visits by browsers with empty caches, compared with visits of the OpenAPI document's page."""
    path = find_browser()
    assert path is not None, "benchmarks/needs.py has looked for it"
    with service(**simulated(EIGHT_GPUS)) as server, sync_playwright() as play:
        browser = launch(play, path)
        try:
            screens = _screens(server)
            found = [_visit(browser, server.url(), ".gpu-tile") for _ in range(effort.rounds)]
            beside = [_visit(browser, server.url("/docs"), ".info")[0] for _ in range(effort.rounds)]
            weights = {name: _weigh(browser, server.url(address), awaited) for name, address, awaited in screens}
        finally:
            browser.close()
    paints, cards = [paint for paint, _ in found], [card for _, card in found]
    note = f"slowest of {effort.rounds}: {max(paints):.2f} s"
    swagger = f"{SECONDS.show(statistics.median(beside))} the page /docs"
    yield below("dashboard, first paint: p50", statistics.median(paints), PAINT_LIMIT_SECONDS, SECONDS, swagger, note)
    yield without_limit("dashboard, the GPUs are there: p50", statistics.median(cards), SECONDS)
    for name, (unpacked, sent, files) in weights.items():
        note = f"{sent / 1000:.0f} KB as sent, {files} files"
        yield below(f"dashboard, weight unpacked: {name}", unpacked / 1000, WEIGHT_LIMIT_KB, KILOBYTES, note=note)


def _screens(server: Running) -> list[tuple[str, str, str]]:
    """Return each screen's name, address and an element that exists when it is complete (a chart, if it has any)."""
    task_id = _trained(server)
    return [
        ("home", "/#/", ".gpu-tile"),
        ("GPUs", "/#/gpus", ".gpu-card"),
        ("GPU", "/#/gpu/0", ".chart canvas, .chart table"),
        ("tasks", "/#/trainings", ".task-row"),
        ("task", f"/#/trainings/{task_id}", ".loss-panel canvas, .loss-panel table"),
        ("start", "/#/new", ".start-form"),
        ("keys", "/#/settings/keys", ".audit-table"),
    ]


def _trained(server: Running) -> str:
    """Run a small training to its end; return its id."""
    table = {"steps_per_epoch": 20, "step_seconds": 0.01, "load_seconds": 0, "cache_seconds": 0}
    config = {"epochs": 1, "micro_batch_size_per_gpu": 1, "toy": table}
    with httpx.Client(base_url=server.url("/api/v1/training"), trust_env=False) as client:
        answer = client.post("/start", json={"model_type": "toy", "name": "small", "config": config})
        task_id = str(answer.raise_for_status().json()["data"]["task_id"])
        end = time.monotonic() + TRAINING_SECONDS
        while client.get(f"/{task_id}/progress").json()["data"]["status"] != "completed":
            if time.monotonic() > end:
                raise CannotRunError(f"a training of 20 steps has not ended after {TRAINING_SECONDS:.0f} s")
            time.sleep(0.1)
    return task_id


def _visit(browser: Browser, url: str, awaited: str) -> tuple[float, float]:
    """Return the seconds from navigation to first paint and until an element is shown. Raise CannotRunError."""
    with _opened(browser, url, awaited) as page:
        shown = float(page.evaluate("performance.now()"))
        paint = page.evaluate(_PAINT)
        if paint is None:
            raise CannotRunError(f"the browser did not say when it painted {url}")
        return float(paint) / 1000, shown / 1000


@contextmanager
def _opened(browser: Browser, url: str, awaited: str) -> Iterator[Page]:
    """Yield a page in a new browser once an element is shown. Raise CannotRunError."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    try:
        page = context.new_page()
        page.goto(url)
        page.wait_for_selector(awaited)
        yield page
    except Error as error:
        raise CannotRunError(f"{url}: {error.message.splitlines()[0]}") from error
    finally:
        context.close()


def _weigh(browser: Browser, url: str, awaited: str) -> tuple[int, int, int]:
    """Return unpacked bytes, transferred bytes and number of files of one screen."""
    with _opened(browser, url, awaited) as page:
        sent, unpacked, files = page.evaluate(_SIZES)
        return unpacked, sent, files
