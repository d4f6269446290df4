"""The host names under which the service may be addressed."""

import pytest

from tests.api.client import Client, failure_of

GOOD_HOSTS = [
    b"127.0.0.1",
    b"127.0.0.1:8080",
    b"localhost",
    b"LOCALHOST:1",
    b"[::1]",
    b"[::1]:8080",
    b"127.0.0.1:",
]

BAD_HOSTS = [
    b"evil.example",
    b"evil.example:8080",
    b"127.0.0.1.evil.example",
    b"localhost.evil.example",
    b"127.0.0.1@evil.example",
    b"evil.example@127.0.0.1",
    b"127.0.0.1:80@evil.example",
    b"127.0.0.1:abc",
    b"[::1]evil.example",
    b"[::1",
    b"::1",
    b"0.0.0.0",
    b"127.1",
    b"2130706433",
    b"localhost.",
    b" 127.0.0.1",
    b"127.0.0.1,evil.example",
    b"\xff\xfe",
    b"x" * 5000,
]

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]

PATHS = ["/api/v1/gpu/status", "/api/v1/gpu/tasks", "/health", "/api/v1/gpu/stream", "/nothing", "/metrics"]


@pytest.mark.parametrize("host", GOOD_HOSTS)
def test_own_name_is_accepted(shared_client: Client, host: bytes):
    assert shared_client.raw("GET", "/api/v1/gpu/status", [(b"host", host)]).status_code == 200


@pytest.mark.parametrize("host", BAD_HOSTS, ids=lambda host: repr(host[:24]))
def test_foreign_name_is_refused(shared_client: Client, host: bytes):
    answer = shared_client.raw("GET", "/api/v1/gpu/status", [(b"host", host)])
    assert answer.status_code == 403
    assert failure_of(answer)["error"]["code"] == "host_not_allowed"
    assert len(answer.content) < 1000


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", METHODS)
def test_foreign_name_is_refused_for_every_method(shared_client: Client, method: str, path: str):
    assert shared_client.ask(method, path, headers={"Host": "evil.example"}).status_code == 403


@pytest.mark.parametrize("path", PATHS)
def test_request_without_a_name_is_malformed(client: Client, path: str):
    answer = client.raw("GET", path, [])
    assert (answer.status_code, failure_of(answer)["error"]["code"]) == (400, "malformed_request")


def test_request_with_an_empty_name_is_malformed(client: Client):
    assert client.raw("GET", "/health", [(b"host", b"")]).status_code == 400


@pytest.mark.parametrize(
    "hosts", [(b"127.0.0.1", b"evil.example"), (b"evil.example", b"127.0.0.1"), (b"127.0.0.1",) * 2]
)
def test_request_with_two_names_is_malformed(client: Client, hosts: tuple[bytes, ...]):
    assert client.raw("GET", "/health", [(b"host", host) for host in hosts]).status_code == 400


def test_allowed_name_is_accepted(make_world):
    client = make_world(allowed_hosts=("gpu.example", "[2001:db8::1]")).client
    for host in ("gpu.example", "GPU.example:443", "[2001:db8::1]:8080"):
        assert client.get("/health", headers={"Host": host}).status_code == 200
    assert client.get("/health", headers={"Host": "sub.gpu.example"}).status_code == 403


@pytest.mark.parametrize(
    "name", ["authorization", "content-type", "idempotency-key", "last-event-id", "range", "x-request-id"]
)
def test_request_with_a_repeated_single_header_is_malformed(client: Client, name: str):
    answer = client.raw("GET", "/api/v1/gpu/status", [(b"host", b"127.0.0.1"), *[(name.encode(), b"x")] * 2])
    assert (answer.status_code, failure_of(answer)["error"]["code"]) == (400, "malformed_request")


def test_etag_in_the_second_of_two_list_headers_is_found(client: Client):
    tag = client.get("/api/v1/gpu/status").headers["etag"].encode()
    for tags in ((tag, b'"x"'), (b'"x"', tag)):
        headers = [(b"host", b"127.0.0.1"), *((b"if-none-match", one) for one in tags)]
        assert client.raw("GET", "/api/v1/gpu/status", headers).status_code == 304
