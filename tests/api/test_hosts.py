"""The host names under which the service may be addressed; tests/unit/web/test_guard.py has the forms of a name."""

import pytest

from tests.api.client import Client, failure_of

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]

PATHS = ["/api/v1/gpu/status", "/api/v1/gpu/tasks", "/health", "/api/v1/gpu/stream", "/nothing", "/metrics"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", METHODS)
def test_foreign_name_is_refused_for_every_method(shared_client: Client, method: str, path: str):
    answer = shared_client.ask(method, path, headers={"Host": "evil.example"})
    assert (answer.status_code, len(answer.content) < 1000) == (403, True)
    assert method == "HEAD" or failure_of(answer)["error"]["code"] == "host_not_allowed"


@pytest.mark.parametrize("path", PATHS)
def test_request_without_a_name_is_malformed(shared_client: Client, path: str):
    answer = shared_client.raw("GET", path, [])
    assert (answer.status_code, failure_of(answer)["error"]["code"]) == (400, "malformed_request")


def test_request_with_an_empty_name_is_malformed(shared_client: Client):
    assert shared_client.raw("GET", "/health", [(b"host", b"")]).status_code == 400


@pytest.mark.parametrize(
    "hosts", [(b"127.0.0.1", b"evil.example"), (b"evil.example", b"127.0.0.1"), (b"127.0.0.1",) * 2]
)
def test_request_with_two_names_is_malformed(shared_client: Client, hosts: tuple[bytes, ...]):
    assert shared_client.raw("GET", "/health", [(b"host", host) for host in hosts]).status_code == 400


def test_allowed_name_is_accepted(make_world):
    client = make_world(allowed_hosts=("gpu.example", "[2001:db8::1]")).client
    for host in ("gpu.example", "GPU.example:443", "[2001:db8::1]:8080"):
        assert client.get("/health", headers={"Host": host}).status_code == 200
    assert client.get("/health", headers={"Host": "sub.gpu.example"}).status_code == 403


@pytest.mark.parametrize(
    "name", ["authorization", "content-type", "idempotency-key", "last-event-id", "range", "x-request-id"]
)
def test_request_with_a_repeated_single_header_is_malformed(shared_client: Client, name: str):
    answer = shared_client.raw("GET", "/api/v1/gpu/status", [(b"host", b"127.0.0.1"), *[(name.encode(), b"x")] * 2])
    assert (answer.status_code, failure_of(answer)["error"]["code"]) == (400, "malformed_request")


def test_etag_in_the_second_of_two_list_headers_is_found(client: Client):
    tag = client.get("/api/v1/gpu/status").headers["etag"].encode()
    for tags in ((tag, b'"x"'), (b'"x"', tag)):
        headers = [(b"host", b"127.0.0.1"), *((b"if-none-match", one) for one in tags)]
        assert client.raw("GET", "/api/v1/gpu/status", headers).status_code == 304
