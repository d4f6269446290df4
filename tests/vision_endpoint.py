"""A vision model's endpoint on this machine, with scripted answers: valid, late, invalid, or incomplete."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Endpoint:
    """The received requests, and the answers: each of `script` once, then captions."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.script: list[str] = []
        self.address = ""
        self._lock = threading.Lock()

    def next(self, body: dict[str, Any], key: str | None) -> str:
        with self._lock:
            self.requests.append(body)
            self.keys.append(key)
            return self.script.pop(0) if self.script else "caption"


def _answer(
    handler: BaseHTTPRequestHandler, status: int, content: bytes, promised: int | None = None, **headers: str
) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(content) if promised is None else promised))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(content)


def _caption(text: Any) -> bytes:
    return json.dumps({"choices": [{"message": {"content": text}}]}).encode()


class _Handler(BaseHTTPRequestHandler):
    """Handles one request as the server's `endpoint` decides."""

    def do_POST(self) -> None:
        endpoint: Endpoint = self.server.endpoint  # type: ignore[attr-defined]
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        what = endpoint.next(body, self.headers.get("Authorization"))
        if what == "slow":
            time.sleep(1.0)
        answers: dict[str, tuple[Any, ...]] = {
            "429": (429, b"slow down"),
            "500": (500, b"out of order"),
            "400": (400, b"out of order"),
            "garbage": (200, b"<html>not json</html>"),
            "empty": (200, _caption("  ")),
            "endless": (200, b"x" * (3 * 2**20)),
            "cut": (200, b'{"choices"', 5000),
            "redirect": (302, b""),
        }
        right = (200, _caption(f"<think>hm</think> a picture, number {len(endpoint.requests)}"))
        self.close_connection = what == "cut"
        with suppress(OSError):  # the client may have disconnected
            _answer(self, *answers.get(what, right), Location="http://169.254.169.254/", Retry_After="0")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Log nothing."""


@contextmanager
def serve() -> Iterator[Endpoint]:
    """Run the endpoint until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    endpoint = Endpoint()
    server.endpoint = endpoint  # type: ignore[attr-defined]
    endpoint.address = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield endpoint
    server.shutdown()
    server.server_close()
    thread.join()
