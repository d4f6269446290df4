"""Origins of pages that may use the service, also over WebSockets."""

import re
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from api.app import create_app
from tests.api.client import Client, failure_of, scope
from tests.api.conftest import World, open_world

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
PATHS = ["/api/v1/gpu/status", "/api/v1/gpu/tasks", "/health", "/api/v1/gpu/stream", "/nothing", "/metrics"]
ALLOWED = "https://dashboard.example"
FOREIGN = "https://evil.example"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("origins", [(ALLOWED, ALLOWED), (ALLOWED, FOREIGN), (FOREIGN, ALLOWED)])
def test_request_with_two_origins_is_malformed(crossing: Client, origins: tuple[str, str], path: str):
    answer = crossing.raw("GET", path, [(b"host", b"127.0.0.1"), *((b"origin", one.encode()) for one in origins)])
    assert (answer.status_code, failure_of(answer)["error"]["code"]) == (400, "malformed_request")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", METHODS)
def test_page_of_a_foreign_origin_is_refused_for_every_method(shared_client: Client, method: str, path: str):
    answer = shared_client.ask(method, path, headers={"Origin": FOREIGN})
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers
    if method != "HEAD":
        assert failure_of(answer)["error"]["code"] == "origin_not_allowed"


@pytest.mark.parametrize(
    "origin",
    ["null", "", "http://127.0.0.1:9999", "http://localhost", "https://127.0.0.1.evil.example", "file://", "x"],
)
def test_origin_other_than_its_own_is_refused(shared_client: Client, origin: str):
    assert shared_client.get("/api/v1/gpu/status", headers={"Origin": origin}).status_code == 403


@pytest.mark.parametrize("path", ["/api/v1/gpu/status", "/api/v1/gpu/available", "/health"])
def test_page_of_its_own_origin_is_accepted(shared_client: Client, path: str):
    answer = shared_client.get(path, headers={"Origin": "http://127.0.0.1"})
    assert answer.status_code == 200


@pytest.fixture(scope="module")
def crossing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with ExitStack() as stack:
        yield open_world(stack, tmp_path_factory.mktemp("crossing") / "storage", cors_origins=(ALLOWED,)).client


@pytest.mark.parametrize("path", ["/api/v1/gpu/status", "/api/v1/gpu/available", "/health", "/metrics"])
def test_page_of_an_allowed_origin_may_read(crossing: Client, path: str):
    answer = crossing.get(path, headers={"Origin": ALLOWED})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == ALLOWED
    assert "origin" in answer.headers["vary"].lower()


def test_page_of_an_allowed_origin_may_read_the_useful_headers(crossing: Client):
    exposed = crossing.get("/api/v1/gpu/status", headers={"Origin": ALLOWED}).headers["access-control-expose-headers"]
    assert {
        *("etag", "age", "x-request-id", "location", "retry-after", "idempotent-replayed", "content-range"),
        *("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"),
    } <= {name.strip().lower() for name in exposed.split(",")}


@pytest.mark.parametrize(
    ("path", "options", "status"),
    [
        ("/nothing", {}, 404),
        ("/api/v1/gpu/99", {}, 404),
        ("/api/v1/gpu/available?count=0", {}, 422),
        ("/api/v1/gpu/tasks", {"method": "POST", "content": b"{"}, 415),
        ("/api/v1/gpu/tasks", {"method": "POST", "content": b" " * 2_000_000}, 413),
        ("/api/v1/gpu/tasks", {"method": "PUT"}, 405),
    ],
)
def test_page_of_an_allowed_origin_may_read_failures(crossing: Client, path: str, options: dict, status: int):
    method = options.get("method", "GET")
    answer = crossing.ask(method, path, headers={"Origin": ALLOWED}, content=options.get("content"))
    assert answer.status_code == status
    assert answer.headers.get_list("access-control-allow-origin") == [ALLOWED]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/gpu/tasks"),
        ("PATCH", "/api/v1/gpu/tasks/a"),
        ("DELETE", "/api/v1/gpu/tasks/a"),
        ("GET", "/api/v1/gpu/status"),
    ],
)
def test_preflight_of_an_allowed_origin_is_granted(crossing: Client, method: str, path: str):
    answer = crossing.ask(
        "OPTIONS",
        path,
        headers={
            "Origin": ALLOWED,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": "content-type, idempotency-key, x-request-id",
        },
    )
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == ALLOWED
    assert method in answer.headers["access-control-allow-methods"]
    granted = {name.strip().lower() for name in answer.headers["access-control-allow-headers"].split(",")}
    assert {
        *("content-type", "idempotency-key", "x-request-id", "authorization", "if-none-match", "last-event-id", "range")
    } <= granted
    assert int(answer.headers["access-control-max-age"]) > 0
    assert answer.content == b""


def test_preflight_of_every_json_route_is_granted(make_world):
    world = make_world(cors_origins=(ALLOWED,))
    preflight_headers = [
        (method, re.sub(r"<[^>]+>", "x", rule.rule))
        for rule in create_app(world.runtime.services).url_map.iter_rules()
        for method in {"POST", "PATCH", "DELETE"} & rule.methods
    ]
    assert len(preflight_headers) > 8
    for method, path in preflight_headers:
        headers = {
            "Origin": ALLOWED,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": "content-type",
        }
        answer = world.client.ask("OPTIONS", path, headers=headers)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, ALLOWED), path
        assert method in answer.headers["access-control-allow-methods"].split(", "), path


def test_allowed_public_page_may_call_a_local_machine(crossing: Client):
    headers = {"Origin": ALLOWED, "Access-Control-Request-Method": "GET"}
    preflight_headers = {**headers, "Access-Control-Request-Private-Network": "true"}
    granted = "access-control-allow-private-network"
    assert crossing.ask("OPTIONS", "/health", headers=preflight_headers).headers[granted] == "true"
    assert granted not in crossing.ask("OPTIONS", "/health", headers=headers).headers


def test_preflight_of_a_foreign_origin_is_refused(crossing: Client):
    headers = {"Origin": FOREIGN, "Access-Control-Request-Method": "POST"}
    answer = crossing.ask("OPTIONS", "/api/v1/gpu/tasks", headers=headers)
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


def test_response_without_a_page_allows_no_origin(crossing: Client):
    assert "access-control-allow-origin" not in crossing.get("/api/v1/gpu/status").headers


def test_allowed_origin_is_compared_case_insensitively(crossing: Client):
    assert crossing.get("/health", headers={"Origin": "HTTPS://Dashboard.Example"}).status_code == 200


def test_credentials_are_never_allowed(crossing: Client):
    answer = crossing.get("/health", headers={"Origin": ALLOWED})
    assert "access-control-allow-credentials" not in answer.headers


# -- WebSockets ----------------------------------------------------------------------------------------------------

SOCKET = "/api/v1/ws/gpu"


def upgrade(client: Client, path: str, headers: list[tuple[bytes, bytes]]) -> tuple[int, bytes]:
    async def talk() -> tuple[int, bytes]:
        async with client.connection(scope("websocket", path, headers)) as connection:
            await connection.send_message({"type": "websocket.connect"})
            start = await connection.next_message()
            if start["type"] == "websocket.accept":
                return 101, b""
            assert start["type"] == "websocket.http.response.start"
            return start["status"], (await connection.next_message())["body"]

    return client.run(talk())


def test_websocket_without_an_origin_is_accepted(shared_client: Client):
    assert upgrade(shared_client, SOCKET, [(b"host", b"127.0.0.1:8080")])[0] == 101


def test_websocket_of_its_own_page_is_accepted(shared_client: Client):
    headers = [(b"host", b"127.0.0.1:8080"), (b"origin", b"http://127.0.0.1:8080")]
    assert upgrade(shared_client, SOCKET, headers)[0] == 101


def test_websocket_of_an_allowed_page_is_accepted(crossing: Client):
    assert upgrade(crossing, SOCKET, [(b"host", b"127.0.0.1"), (b"origin", ALLOWED.encode())])[0] == 101


@pytest.mark.parametrize(
    ("path", "headers", "status", "code"),
    [
        (SOCKET, [], 400, b"malformed_request"),
        (SOCKET, [(b"host", b"evil.example")], 403, b"host_not_allowed"),
        (SOCKET, [(b"host", b"127.0.0.1"), (b"host", b"evil.example")], 400, b"malformed_request"),
        (SOCKET, [(b"host", b"127.0.0.1"), (b"origin", FOREIGN.encode())], 403, b"origin_not_allowed"),
        (SOCKET, [(b"host", b"127.0.0.1"), (b"origin", b"null")], 403, b"origin_not_allowed"),
        ("/api/v1/ws/nothing", [(b"host", b"127.0.0.1")], 404, b"not_found"),
        ("/api/v1/gpu/stream", [(b"host", b"127.0.0.1")], 404, b"not_found"),
        (SOCKET + "/", [(b"host", b"127.0.0.1")], 404, b"not_found"),
    ],
)
def test_forbidden_websocket_is_refused_in_the_envelope(
    shared_client: Client, path: str, headers: list[tuple[bytes, bytes]], status: int, code: bytes
):
    found, body = upgrade(shared_client, path, headers)
    assert found == status
    assert b'"code":"%s"' % code in body


def test_refused_websockets_are_logged(world: World):
    upgrade(world.client, SOCKET, [(b"host", b"evil.example")])
    (access,) = world.runtime.access_log._queue
    assert (access.method, access.status) == ("WEBSOCKET", 403)
