"""The system's browser, and pages that must not log errors."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, WebError, expect, sync_playwright

from tests.browser import ABSENT, find_browser, launch
from tests.e2e.dashboard.axe import AXE
from tests.e2e.training_server import TrainingServer

#: Console messages of the browser when the server is down. All other messages fail the test.
GONE = (
    "net::ERR_CONNECTION_REFUSED",
    "net::ERR_CONNECTION_RESET",
    "net::ERR_CONTENT_LENGTH_MISMATCH",
    "net::ERR_INCOMPLETE_CHUNKED_ENCODING",
    "ERR_EMPTY",
)

#: Generous, because other work may share the cores.
PATIENCE_MS = 25_000
expect.set_options(timeout=PATIENCE_MS)

Open = Callable[..., Page]


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """The installed Chromium; none is downloaded.

    It ends with this directory, because Playwright's event loop stays in the thread, where other tests have their own.
    """
    path = find_browser()
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail(ABSENT)
        pytest.skip(ABSENT)
    with sync_playwright() as play:
        started = launch(play, path)
        yield started
        started.close()


@pytest.fixture(scope="module")
def axe() -> str:
    """The source of axe-core; `make install-dev` fetches it by npm."""
    if not AXE.exists():
        reason = "no axe-core: make install-dev fetches it by npm"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return AXE.read_text()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainingServer]:
    """A server with four simulated GPUs, shared by a module."""
    settings = {"SIMULATED_GPUS": "4x NVIDIA GeForce RTX 4090"}
    with TrainingServer(tmp_path_factory.mktemp("dashboard"), **settings) as started:
        yield started


class Complaints:
    """Collects console errors and warnings, except allowed ones, and uncaught errors."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.allowed: tuple[str, ...] = ()

    @contextmanager
    def listening(self, context: BrowserContext) -> Iterator[None]:
        context.on("console", self._record)
        context.on("weberror", self._record_error)
        yield
        context.remove_listener("console", self._record)
        context.remove_listener("weberror", self._record_error)

    def _record(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(part in message.text for part in self.allowed):
            self.found.append(f"{message.type}: {message.text} {message.location.get('url', '')}")

    def _record_error(self, error: WebError) -> None:
        self.found.append(str(error.error))


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    """Collected errors of all pages; the test fails if there are any."""
    collected = Complaints()
    yield collected
    assert collected.found == []


def _new_context(browser: Browser, **options: Any) -> BrowserContext:
    # Without animations, which would take a seventh of the CPU time of these tests.
    defaults = {"viewport": {"width": 1440, "height": 900}, "locale": "en-GB", "reduced_motion": "reduce"}
    return browser.new_context(**{**defaults, **options})


@pytest.fixture(scope="module")
def warm_context(browser: Browser) -> Iterator[BrowserContext]:
    """A context whose cache has the page's modules: loading them again would be a third of a test's CPU time."""
    context = _new_context(browser)
    yield context
    context.close()


@contextmanager
def _lend(context: BrowserContext, origin: str) -> Iterator[BrowserContext]:
    """Delete afterwards all that a test stored, but not the cache."""
    yield context
    for page in context.pages:
        page.close()
    context.clear_cookies()
    page = context.new_page()
    stored = {"origin": origin, "storageTypes": "local_storage,indexeddb,service_workers"}
    context.new_cdp_session(page).send("Storage.clearDataForOrigin", stored)
    page.close()


@pytest.fixture
def open_page(
    browser: Browser, warm_context: BrowserContext, complaints: Complaints, request: pytest.FixtureRequest
) -> Iterator[Open]:
    """Open the dashboard as a new user. The first page of a test is in the warm context, unless it has options."""
    with ExitStack() as stack:

        def open_one(address: str = "#/", at: TrainingServer | None = None, **options: Any) -> Page:
            # Modules with a server of their own need no other.
            origin = f"http://127.0.0.1:{(at or request.getfixturevalue('server')).port}"
            if options or warm_context.pages:
                context = stack.enter_context(_new_context(browser, **options))
            else:
                context = stack.enter_context(_lend(warm_context, origin))
            stack.enter_context(complaints.listening(context))
            page = context.new_page()
            page.set_default_timeout(PATIENCE_MS)
            page.goto(f"{origin}/{address}")
            return page

        yield open_one


def unfold(page: Page, title: str) -> None:
    """Open a folded part of the form of a new training."""
    page.locator(".step-fold > summary", has_text=title).click()


def pick_model(page: Page, model: str) -> None:
    """Choose a model type in the form of a new training."""
    # It opens by itself where there are models; a click at that moment would close it.
    page.locator(".model-picker").evaluate("each => { each.open = true; }")
    page.locator(f".model-card[data-model={model}]").click()


def has_charts() -> bool:
    """Whether uPlot is installed."""
    return (Path(__file__).resolve().parents[3] / "api/dashboard/vendor/uPlot.iife.min.js").exists()


def append_to_log(server: TrainingServer, task_id: str, content: bytes) -> None:
    """Append output as if the trainer had written it."""
    directory: Path = server.root / "tasks" / task_id / "log"
    segment = sorted(path for path in directory.iterdir() if path.suffix == ".log")[-1]
    with segment.open("ab") as log:
        log.write(content)
