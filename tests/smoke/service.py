"""Client of a running service that uses requests and no code of this project."""

import time
from types import TracebackType
from typing import Any

import pytest
import requests

BASE = "/api/v1"
SECONDS = 10


class Service:
    """Client of one server. Checks the envelope of every JSON response."""

    def __init__(self, address: str, key: str | None = None) -> None:
        self.address = address.rstrip("/")
        self.session = requests.Session()
        # Ignore proxies of the environment.
        self.session.trust_env = False
        if key:
            self.session.headers["Authorization"] = f"Bearer {key}"

    def __enter__(self) -> "Service":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.session.close()

    def require(self) -> None:
        """Exit the test run with one line if the server does not answer or requires a key."""
        try:
            self.request("GET", "/health")
            identity = self.request("GET", f"{BASE}/auth/whoami")
        except requests.RequestException as error:
            pytest.exit(f"No answer from {self.address}: {type(error).__name__}. Name a running server with URL=…", 2)
        if identity.status_code == 401:
            detail = identity.json()["error"]["detail"]
            pytest.exit(f"{self.address} requires a key: {detail} Set DIFFUSION_PIPE_API_KEY.", 2)

    def request(self, method: str, path: str, **more: Any) -> requests.Response:
        return self.session.request(method, self.address + path, timeout=SECONDS, **more)

    def get(self, path: str, **query: Any) -> Any:
        """Return the data of a successful response."""
        return self.success("GET", path, 200, params=query)

    def success(self, method: str, path: str, status: int, **more: Any) -> Any:
        answer = self.request(method, path, **more)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return envelope_of(answer)["data"]

    def failure(self, method: str, path: str, status: int, **more: Any) -> dict[str, Any]:
        """Return the error of a failed request, after checking its form."""
        answer = self.request(method, path, **more)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        error: dict[str, Any] = envelope_of(answer)["error"]
        assert {"code", "detail", "errors", "request_id"} <= error.keys()
        assert error["code"] == error["code"].lower()
        assert " " not in error["code"]
        return error


def envelope_of(answer: requests.Response) -> dict[str, Any]:
    """Return the envelope of a response, after checking its form."""
    assert answer.headers["Content-Type"].startswith("application/json")
    body: dict[str, Any] = answer.json()
    assert {"code", "message", "data", "timestamp"} <= body.keys()
    assert body["code"] == answer.status_code
    assert abs(body["timestamp"] - time.time()) < 24 * 3600, "the clocks of the two machines differ by days"
    return body
