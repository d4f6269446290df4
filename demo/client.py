"""The service at an address, asked over HTTP."""

import http.client
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import Any
from urllib.parse import urlsplit

ANSWER_SECONDS = 10.0


class DemoError(Exception):
    """The walk cannot go on: one line that says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer in the service's envelope; `error` is empty for a success."""

    status: int
    data: Any
    error: Mapping[str, Any]

    def require(self) -> Any:
        """Its data. Raises DemoError when it is no success."""
        if self.error:
            raise DemoError(f"HTTP {self.status} {self.error.get('code')}: {self.error.get('detail')}")
        return self.data


class Client:
    """Sends one request at a time, each on a connection of its own."""

    def __init__(self, url: str) -> None:
        """Raises DemoError when that is no address."""
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise DemoError(f"{url} is not an address such as http://127.0.0.1:8080")
        self._connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._netloc, self._prefix = parts.netloc, parts.path.rstrip("/")
        self.url = f"{parts.scheme}://{self._netloc}{self._prefix}"

    def ask(self, path: str, method: str = "GET", body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """One request. Raises DemoError when what comes back is not the service's envelope."""
        try:
            with self._open(path, method, body, headers or {}) as response:
                told = json.loads(response.read())
            return Answer(response.status, told["data"], told.get("error") or {})
        except (ValueError, LookupError, TypeError, AttributeError):
            raise DemoError(f"{self.url} answers, but it is not this API: {method} {path} gave no envelope") from None

    def download(self, path: str) -> bytes:
        """The body of a GET that is no envelope. Raises DemoError when it is no success."""
        with self._open(path, "GET", None, {}) as response:
            content = response.read()
        if response.status != 200:
            raise DemoError(f"HTTP {response.status}: {self.url}{path} cannot be downloaded")
        return content

    def events(self, path: str, seconds: float) -> Iterator[Any]:
        """What a stream of Server-Sent Events brings within a time."""
        until = time.monotonic() + seconds
        with self._open(path, "GET", None, {"Accept": "text/event-stream"}) as response:
            if response.status != 200:
                raise DemoError(f"HTTP {response.status}: {self.url} offers no stream at the moment")
            for line in response:
                if line.startswith(b"data: "):
                    yield json.loads(line[6:])
                if time.monotonic() > until:
                    return

    @contextmanager
    def _open(self, path: str, method: str, body: Any, headers: Mapping[str, str]) -> Iterator[HTTPResponse]:
        sent = None if body is None else json.dumps(body)
        given = dict(headers) if body is None else {"Content-Type": "application/json", **headers}
        try:
            with closing(self._connect(self._netloc, timeout=ANSWER_SECONDS)) as connection:
                connection.request(method, self._prefix + path, sent, given)
                yield connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise DemoError(f"{self.url} cannot be reached: {str(error) or type(error).__name__}") from None
