"""One shape for every response, whatever goes wrong."""

import json
import time
from collections.abc import AsyncIterator

import pytest

from tests.api.client import Client, failure_of
from tests.api.conftest import TRAINING, World

JSON = {"Content-Type": "application/json"}
TASKS = "/api/v1/gpu/tasks"
TRAINING_ID = "train_20260101_00000000"
BODIES = [
    ("POST", TASKS), ("PATCH", f"{TASKS}/a"), ("POST", f"{TRAINING}/validate"), ("POST", f"{TRAINING}/start"),
    ("POST", f"{TRAINING}/stop/{TRAINING_ID}"), ("POST", f"{TRAINING}/{TRAINING_ID}/stop"),
    ("POST", f"{TRAINING}/resume/{TRAINING_ID}"), ("PATCH", f"{TRAINING}/{TRAINING_ID}"),
]  # fmt: skip

READS = [
    "/health",
    "/health/ready",
    "/api/v1/gpu/status",
    "/api/v1/gpu/summary",
    "/api/v1/gpu/available",
    "/api/v1/gpu/events",
    "/api/v1/gpu/tasks",
    "/api/v1/gpu/0",
    "/api/v1/gpu/0/details",
    "/api/v1/gpu/0/processes",
    "/api/v1/gpu/0/history",
    "/api/v1/system/overview",
]


@pytest.mark.parametrize("path", READS)
def test_success_is_an_envelope(shared_client: Client, path: str):
    before = int(time.time())
    answer = shared_client.get(path)
    envelope = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert set(envelope) == {"code", "message", "data", "timestamp"}
    assert (envelope["code"], envelope["message"]) == (200, "success")
    assert before - 5 <= envelope["timestamp"] <= time.time()


@pytest.mark.parametrize("path", READS)
def test_head_is_the_get_without_its_body(shared_client: Client, path: str):
    get, head = shared_client.get(path), shared_client.ask("HEAD", path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    assert head.headers["content-type"] == get.headers["content-type"]


@pytest.mark.parametrize(
    "path",
    [
        "/dashboard",
        "/dashboard/",
        "/dashboard/absent/app/main.js",
        "/api",
        "/api/v1",
        "/api/v1/gpu",
        "/api/v1/gpu/",
        "/api/v2/gpu/status",
        "//api/v1/gpu/status",
        "/api/v1//gpu/status",
        "/api/v1/gpu/0/nothing",
        "/api/v1/gpu/0/details/more",
        "/API/v1/gpu/status",
        "/docs/assets/../../../../etc/passwd",
        "/docs/assets/%2e%2e/%2e%2e/app.py",
        "/docs/assets/absent.js",
        "/%00",
        "/é",
        "/api/v1/models/registry/cats/versions/%00",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_unknown_address_is_not_found(shared_client: Client, method: str, path: str):
    answer = shared_client.ask(method, path)
    if answer.status_code == 405:
        assert method != "GET"
        failure_of(answer)
        return
    assert answer.status_code == 404
    assert failure_of(answer)["error"]["code"] in ("not_found", "gpu_not_found")


@pytest.mark.parametrize(("method", "path"), BODIES)
@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"{'a': 1}",
        b"nonsense",
        b'{"progress": NaN}',
        b'{"progress": Infinity}',
        b'{"progress": 1,}',
        b'{"task_id": "\\ud800"}',
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        b'{"task_id": 1e999}',
        b"[" * 100_000,
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b"{}{}",
        b"\0",
    ],
    ids=lambda body: repr(body[:20]),
)
def test_body_that_is_not_json_is_malformed(shared_client: Client, method: str, path: str, body: bytes):
    answer = shared_client.ask(method, path, content=body, headers=JSON)
    assert answer.status_code == 400
    assert failure_of(answer)["error"]["code"] == "malformed_request"


def test_required_body_that_is_empty_is_malformed(shared_client: Client):
    for path in (TASKS, f"{TRAINING}/start"):
        assert shared_client.post(path, headers=JSON).status_code == 400


@pytest.mark.parametrize(("method", "path"), BODIES)
@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "text/json",
        "application/jsonx",
    ],
)
def test_body_of_another_type_is_unsupported(shared_client: Client, method: str, path: str, content_type: str | None):
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = shared_client.ask(method, path, content=b'{"gpu_ids": [0], "task_type": "training"}', headers=headers)
    assert answer.status_code == 415
    assert failure_of(answer)["error"]["code"] == "unsupported_media_type"


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON"])
def test_json_type_may_have_parameters_and_any_case(client: Client, content_type: str):
    body = b'{"gpu_ids": [0], "task_type": "training"}'
    assert client.post(TASKS, content=body, headers={"Content-Type": content_type}).status_code == 201


@pytest.mark.parametrize(("method", "path"), BODIES)
def test_too_large_body_is_refused_by_its_length(shared_client: Client, method: str, path: str):
    answer = shared_client.ask(method, path, content=b" " * (1024 * 1024 + 1), headers=JSON)
    assert answer.status_code == 413
    envelope = failure_of(answer)
    assert (envelope["error"]["code"], envelope["data"]) == ("body_too_large", {"max_bytes": 1024 * 1024})


def test_body_of_the_largest_size_is_read(shared_client: Client):
    answer = shared_client.post(TASKS, content=b" " * (1024 * 1024), headers=JSON)
    assert answer.status_code == 400


def test_chunked_body_that_grows_too_large_is_refused(shared_client: Client):
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(1025):
            yield b" " * 1024

    answer = shared_client.post(TASKS, content=chunks(), headers=JSON)
    assert answer.status_code == 413
    assert failure_of(answer)["error"]["code"] == "body_too_large"


def test_chunked_body_is_read(client: Client):
    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"gpu_ids": [0],'
        yield b'"task_type": "training"}'

    assert client.post(TASKS, content=chunks(), headers=JSON).status_code == 201


def test_unencoded_query_is_malformed(shared_client: Client):
    answer = shared_client.raw("GET", "/api/v1/gpu/available", [(b"host", b"127.0.0.1")], "count=é".encode())
    assert answer.status_code == 400
    assert failure_of(answer)["error"]["code"] == "malformed_request"


@pytest.mark.parametrize("path", ["/api/v1/gpu/available", "/api/v1/system/overview"])
def test_unexpected_exception_is_not_shown(world: World, monkeypatch: pytest.MonkeyPatch, path: str):
    def fail(*args: object, **options: object) -> None:
        raise ZeroDivisionError("the secret of the house")

    monkeypatch.setattr(world.gpus, "get_available_gpus", fail)
    monkeypatch.setattr(world.runtime.services.system.service, "get_overview", fail)
    answer = world.client.get(path)
    assert answer.status_code == 500
    assert failure_of(answer)["error"]["code"] == "internal_error"
    assert not any(word in answer.text for word in ("secret", "Traceback", "ZeroDivision", ".py"))


def test_exception_outside_of_flask_is_not_shown(make_world, monkeypatch: pytest.MonkeyPatch):
    world = make_world()

    def fail(*args: object) -> None:
        raise ZeroDivisionError("the secret of the house")

    monkeypatch.setattr("api.web.reply.reply_with", fail)
    answer = world.client.get("/api/v1/gpu/status")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert failure_of(answer)["error"]["code"] == "internal_error"


def test_every_response_forbids_content_sniffing(shared_client: Client):
    for path in ("/api/v1/gpu/status", "/health", "/nothing", "/metrics", "/docs"):
        assert shared_client.get(path).headers["x-content-type-options"] == "nosniff"


# -- request ids ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/api/v1/gpu/status", "/health", "/nothing"])
def test_given_request_id_is_used_and_returned(shared_client: Client, path: str):
    assert shared_client.get(path, headers={"X-Request-ID": "my-id.7:3_x"}).headers["x-request-id"] == "my-id.7:3_x"


@pytest.mark.parametrize("path", ["/api/v1/gpu/status", "/health", "/nothing"])
def test_request_without_an_id_gets_a_new_one(shared_client: Client, path: str):
    first, second = (shared_client.get(path).headers["x-request-id"] for _ in range(2))
    assert first != second
    assert first


@pytest.mark.parametrize(
    "hostile", [b"", b"a b", b"a\x1b[31m", "é".encode(), b"x" * 129, b"<script>", b"../../etc", b'"', b"a;b", b"-a"]
)
def test_hostile_request_id_is_replaced(shared_client: Client, hostile: bytes):
    answer = shared_client.raw("GET", "/api/v1/gpu/status", [(b"host", b"127.0.0.1"), (b"x-request-id", hostile)])
    assert answer.headers["x-request-id"].encode() != hostile
    assert len(answer.headers.get_list("x-request-id")) == 1


def test_failure_repeats_the_given_request_id(shared_client: Client):
    answer = shared_client.get("/api/v1/gpu/99", headers={"X-Request-ID": "mine"})
    assert failure_of(answer)["error"]["request_id"] == "mine"


def test_log_line_of_a_request_has_its_id(world: World, monkeypatch: pytest.MonkeyPatch):
    seen = []
    monkeypatch.setattr(world.runtime.access_log, "_writes_all", True)
    monkeypatch.setattr(world.runtime.access_log, "_line", lambda access: seen.append(access) or "")
    world.client.get("/api/v1/gpu/0", headers={"X-Request-ID": "mine"})
    world.runtime.access_log.flush()
    (access,) = seen
    assert (access.request_id, access.status, access.method, access.path) == ("mine", 200, "GET", "/api/v1/gpu/0")
    assert access.route == "/api/v1/gpu/<gpu_id>"


def test_unknown_addresses_share_one_route_in_metrics(world: World):
    for number in range(20):
        world.client.get(f"/made/up/{number}")
    world.runtime.access_log.flush()
    world.sweep()
    text = world.client.get("/metrics").text
    assert 'route="unknown"' in text
    assert "/made" not in text


def test_error_is_the_same_json_on_every_path(shared_client: Client):
    body = json.loads(shared_client.get("/api/v1/gpu/99").content)
    assert body["message"] == body["error"]["detail"]
