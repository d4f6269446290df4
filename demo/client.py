"""The service at an address, asked over HTTP."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests

ANSWER_SECONDS = 10.0

#: The variable of the environment with the key: on a command line everybody at the machine could read it.
KEY_VARIABLE = "DIFFUSION_PIPE_API_KEY"


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
        if self.status == 401:
            raise DemoError(f"{self.error.get('detail')} The walk takes it from {KEY_VARIABLE}.")
        if self.error:
            raise DemoError(f"HTTP {self.status} {self.error.get('code')}: {self.error.get('detail')}")
        return self.data


class Client:
    """Sends one request at a time."""

    def __init__(self, url: str, key: str | None = None) -> None:
        """With `key` every request shows it. Raises DemoError when `url` is no address."""
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise DemoError(f"{url} is not an address such as http://127.0.0.1:8080")
        self.url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self._session = requests.Session()
        # No proxy of the environment: the walk is about this address.
        self._session.trust_env = False
        self.has_key = bool(key)
        if key:
            self._session.headers["Authorization"] = f"Bearer {key}"

    def ask(self, path: str, method: str = "GET", body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """The answer to one request. Raises DemoError when it is not in the service's envelope."""
        with self._open(path, method, body, headers) as response:
            try:
                told = response.json()
                return Answer(response.status_code, told["data"], told.get("error") or {})
            except (ValueError, LookupError, TypeError, AttributeError):
                what = f"it is not this API: {method} {path} gave no envelope"
                raise DemoError(f"{self.url} answers, but {what}") from None

    def download(self, path: str) -> bytes:
        """The body of a GET that is no envelope. Raises DemoError when it is no success."""
        with self._open(path) as response:
            if response.status_code != 200:
                raise DemoError(f"HTTP {response.status_code}: {self.url}{path} cannot be downloaded")
            return response.content

    def events(self, path: str, seconds: float) -> Iterator[Any]:
        """The data of the Server-Sent Events that a stream brings within so many seconds."""
        until = time.monotonic() + seconds
        with self._open(path, headers={"Accept": "text/event-stream"}) as response:
            if response.status_code != 200:
                raise DemoError(f"HTTP {response.status_code}: {self.url} offers no stream at the moment")
            # Line by line as they come: a block would wait for more than there is.
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
