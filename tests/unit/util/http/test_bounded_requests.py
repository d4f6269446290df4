"""Sessions of requests with bounded responses."""

import resource
import socket
import time

import pytest
import requests

from api.util.http.bounded_requests import bound_session
from tests.hostile_servers import HOSTILE, Answer, serving
from tests.patience import BUSY_SECONDS


def echo(peer: socket.socket, request: bytes) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-Test: yes\r\n\r\n" % len(request) + request)


def test_request_and_response_pass_unchanged():
    with serving(echo) as address, bound_session(requests.Session(), 5, 10_000) as session:
        answer = session.post(f"{address}/a?b=c", data={"d": "e"}, headers={"X-Mine": "f"}, auth=("g", "h"))
    assert (answer.status_code, answer.headers["x-test"]) == (200, "yes")
    assert answer.text.startswith("POST /a?b=c HTTP/1.1\r\n")
    assert answer.text.endswith("\r\n\r\nd=e")
    assert "\r\nX-Mine: f\r\n" in answer.text
    assert "\r\nAuthorization: Basic Zzpo\r\n" in answer.text


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_response_costs_little_time_and_memory(hostile: Answer):
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with (
        serving(hostile) as address,
        bound_session(requests.Session(), 0.3, 10_000, redirects=2) as session,
        pytest.raises(requests.RequestException),
    ):
        session.get(address)
    assert time.monotonic() - began < 3 + BUSY_SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024


def test_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch):
    with serving(echo) as address, bound_session(requests.Session(), 5, 10_000) as session:
        monkeypatch.setenv("http_proxy", address)
        assert session.get("http://login.example.org/x").text.startswith("GET http://login.example.org/x HTTP/1.1")
