"""Pages of other origins in a real browser: an allowed one can use the API, another cannot."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.e2e.training_server import TrainingServer

TOY = {"model_type": "toy", "config": {"epochs": 1}}

#: A typical client page: start a training, read the response and its headers, and continue.
START = """async ([base, body]) => {
    const headers = {"Content-Type": "application/json", "Idempotency-Key": "from-a-page"};
    const made = await fetch(`${base}/api/v1/training/start`, {method: "POST", headers, body: JSON.stringify(body)});
    const location = made.headers.get("Location");
    const renamed = await fetch(base + location, {
        method: "PATCH", headers: {"Content-Type": "application/json"}, body: JSON.stringify({name: "from a page"}),
    });
    const status = await fetch(`${base}/api/v1/gpu/status`);
    const again = await fetch(`${base}/api/v1/gpu/status`, {
        headers: {"If-None-Match": status.headers.get("ETag")}, cache: "no-store",
    });
    const wrong = await fetch(`${base}/api/v1/training/list`, {method: "DELETE"});
    return {
        made: made.status,
        location,
        name: (await renamed.json()).data.name,
        request: made.headers.get("X-Request-ID"),
        again: [200, 304].includes(again.status),
        wrong: wrong.status,
        code: (await wrong.json()).error.code,
    };
}"""

READ = """async ([base, body]) => {
    const found = [];
    for (const [method, type] of [["GET"], ["POST", "application/json"], ["POST", "text/plain"]]) {
        try {
            const options = type ? {method, body: JSON.stringify(body), headers: {"Content-Type": type}} : {method};
            await fetch(`${base}/api/v1/training/${method === "GET" ? "list" : "start"}`, options);
            found.push(`${method} ${type}`);
        } catch {}
    }
    return found;
}"""

STREAM = """base => new Promise((resolve, reject) => {
    const source = new EventSource(`${base}/api/v1/gpu/stream`);
    source.onmessage = event => { source.close(); resolve(JSON.parse(event.data).type); };
    source.onerror = () => { source.close(); reject(new Error("no stream")); };
})"""


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!DOCTYPE html><title>a client page</title>")

    def log_message(self, *_: Any) -> None:
        """Suppress the log."""


@contextmanager
def site() -> Iterator[str]:
    """Run another web server and return its origin."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Page) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{served.server_port}"
        finally:
            served.shutdown()


@pytest.fixture
def allowed() -> Iterator[str]:
    with site() as origin:
        yield origin


@pytest.fixture
def cors_server(allowed: str, tmp_path: Path) -> Iterator[TrainingServer]:
    """A server that allows one origin."""
    with TrainingServer(tmp_path, CORS_ORIGINS=allowed) as started:
        yield started


def test_allowed_origin_can_use_the_api(browser: Browser, allowed: str, cors_server: TrainingServer) -> None:
    page = browser.new_page()
    page.goto(allowed)
    base = f"http://127.0.0.1:{cors_server.port}"
    found = page.evaluate(START, [base, TOY])
    task_id = found.pop("location").rpartition("/")[2]
    assert found.pop("request")
    assert found == {
        "made": 201,
        "name": "from a page",
        "again": True,
        "wrong": 405,
        "code": "method_not_allowed",
    }
    assert page.evaluate(STREAM, base) == "snapshot"
    assert cors_server.get(f"/training/{task_id}")["name"] == "from a page"
    page.close()


def test_other_origin_can_neither_read_nor_write(browser: Browser, cors_server: TrainingServer) -> None:
    with site() as foreign:
        page = browser.new_page()
        page.goto(foreign)
        assert page.evaluate(READ, [f"http://127.0.0.1:{cors_server.port}", TOY]) == []
        page.close()
    assert cors_server.get("/training/list")["tasks"] == []
