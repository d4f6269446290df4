"""A running service, asked as any program would ask it: with requests, and nothing of this project's code."""

import time
from types import TracebackType
from typing import Any

import pytest
import requests

BASE = "/api/v1"
SECONDS = 10


class Service:
    """Answers of one server. Every JSON answer is looked at for the envelope's form."""

    def __init__(self, address: str, key: str | None = None) -> None:
        self.address = address.rstrip("/")
        self.session = requests.Session()
        # No proxy of the environment: what is asked is this address.
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
        """Ends the run with one line when nobody answers there."""
        try:
            self.ask("GET", "/health")
            known = self.ask("GET", f"{BASE}/auth/whoami")
        except requests.RequestException as error:
            pytest.exit(f"Nothing answers at {self.address}: {type(error).__name__}. Name a server with URL=…", 2)
        if known.status_code == 401:
            detail = known.json()["error"]["detail"]
            pytest.exit(f"{self.address} asks for a key: {detail} It is taken from DIFFUSION_PIPE_API_KEY.", 2)

    def ask(self, method: str, path: str, **more: Any) -> requests.Response:
        return self.session.request(method, self.address + path, timeout=SECONDS, **more)

    def get(self, path: str, **query: Any) -> Any:
        """The data of a success."""
        return self.success("GET", path, 200, params=query)

    def success(self, method: str, path: str, status: int, **more: Any) -> Any:
        answer = self.ask(method, path, **more)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return envelope_of(answer)["data"]

    def failure(self, method: str, path: str, status: int, **more: Any) -> dict[str, Any]:
        """The error of a failure, the form of which is looked at too."""
        answer = self.ask(method, path, **more)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        error: dict[str, Any] = envelope_of(answer)["error"]
        assert {"code", "detail", "errors", "request_id"} <= error.keys()
        assert error["code"] == error["code"].lower()
        assert " " not in error["code"]
        return error


def envelope_of(answer: requests.Response) -> dict[str, Any]:
    """The envelope of an answer, which must be one."""
    assert answer.headers["Content-Type"].startswith("application/json")
    body: dict[str, Any] = answer.json()
    assert {"code", "message", "data", "timestamp"} <= body.keys()
    assert body["code"] == answer.status_code
    assert abs(body["timestamp"] - time.time()) < 24 * 3600, "the clocks of the two machines differ by days"
    return body
