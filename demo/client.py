"""HTTP client of the service."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests

ANSWER_SECONDS = 10.0

#: Environment variable with the key. Every user of the machine could read a key on the command line.
KEY_VARIABLE = "DIFFUSION_PIPE_API_KEY"


class DemoError(Exception):
    """The tour cannot continue; the message is one line with the reason."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response in the service's envelope; `error` is empty on success."""

    status: int
    data: Any
    error: Mapping[str, Any]

    def require(self) -> Any:
        """Return the data. Raise DemoError if the response is an error."""
        if self.status == 401:
            raise DemoError(f"{self.error.get('detail')} Set the environment variable {KEY_VARIABLE} to a key.")
        if self.error:
            raise DemoError(f"HTTP {self.status} {self.error.get('code')}: {self.error.get('detail')}")
        return self.data


class Client:
    """Sends one request at a time."""

    def __init__(self, url: str, key: str | None = None) -> None:
        """Connect to `url`; requests authenticate with `key`. Raise DemoError if `url` is invalid."""
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise DemoError(f"{url} is not an address such as http://127.0.0.1:8080")
        self.url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self._session = requests.Session()
        # Ignore proxies of the environment.
        self._session.trust_env = False
        self.has_key = bool(key)
        if key:
            self._session.headers["Authorization"] = f"Bearer {key}"

    def request(
        self, path: str, method: str = "GET", body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a request and return the response. Raise DemoError if it is not in the service's envelope."""
        with self._open(path, method, body, headers) as response:
            try:
                envelope = response.json()
                return Answer(response.status_code, envelope["data"], envelope.get("error") or {})
            except (ValueError, LookupError, TypeError, AttributeError):
                raise DemoError(f"{self.url} is not this API: {method} {path} returned no envelope") from None

    def download(self, path: str) -> bytes:
        """Return the body of a file or text. Raise DemoError if the download fails."""
        with self._open(path) as response:
            if response.status_code != 200:
                raise DemoError(f"HTTP {response.status_code}: {self.url}{path} cannot be downloaded")
            return response.content

    def events(self, path: str, seconds: float) -> Iterator[Any]:
        """Yield the data of a stream's Server-Sent Events for a number of seconds."""
        until = time.monotonic() + seconds
        with self._open(path, headers={"Accept": "text/event-stream"}) as response:
            if response.status_code != 200:
                raise DemoError(f"HTTP {response.status_code}: {self.url} has no stream available")
            # A larger chunk would wait for bytes of later events.
            for line in response.iter_lines(chunk_size=1):
                if line.startswith(b"data: "):
                    yield json.loads(line[6:])
                if time.monotonic() > until:
                    return

    @contextmanager
    def _open(
        self, path: str, method: str = "GET", body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Iterator[requests.Response]:
        try:
            with self._session.request(
                method, self.url + path, json=body, headers=headers, timeout=ANSWER_SECONDS, stream=True
            ) as response:
                yield response
        except requests.RequestException as error:
            raise DemoError(f"{self.url} cannot be reached: {type(error).__name__}") from None
