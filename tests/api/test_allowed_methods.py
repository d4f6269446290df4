"""Allowed methods, trailing slashes, and compressed bodies."""

import gzip
import re

import pytest

from api.app import create_app
from api.web.operations import AllowedMethods, OperationTable
from tests.api.client import Client, failure_of
from tests.api.conftest import TOY, TRAINING, World

READ = "GET, HEAD, OPTIONS"

ALLOWED = [
    ("/api/v1/gpu/status", READ),
    ("/api/v1/gpu/0", READ),
    ("/metrics", READ),
    ("/health", READ),
    ("/health/ready", READ),
    ("/docs/start.js", READ),
    ("/api/v1/gpu/stream", READ),
    ("/api/v1/training/a/events/stream", READ),
    ("/api/v1/gpu/tasks", "GET, HEAD, OPTIONS, POST"),
    (f"{TRAINING}/a", "DELETE, GET, HEAD, OPTIONS, PATCH"),
    (f"{TRAINING}/list", READ),
    (f"{TRAINING}/start", "OPTIONS, POST"),
    (f"{TRAINING}/validate", "OPTIONS, POST"),
    (f"{TRAINING}/a/stop", "OPTIONS, POST"),
    (f"{TRAINING}/a/samples/ranking", READ),
    (f"{TRAINING}/a/samples/b", "OPTIONS, PATCH"),
]

#: Values of variable parts, some of which look like other addresses.
VALUES = ("x", "list", "stop", "0", "a.b", "é\r\n", "stream", "logs", "a/b", "a/b/", "/a", "")


@pytest.mark.parametrize(("path", "allowed"), ALLOWED)
def test_options_lists_exactly_the_methods_of_the_path(shared_client: Client, path: str, allowed: str):
    answer = shared_client.ask("OPTIONS", path)
    assert (answer.status_code, answer.headers["allow"], answer.content) == (200, allowed, b"")


@pytest.mark.parametrize(("path", "allowed"), ALLOWED)
def test_other_methods_are_refused_with_the_allowed_ones(shared_client: Client, path: str, allowed: str):
    for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"} - set(allowed.split(", ")):
        answer = shared_client.ask(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed), method
        if method != "HEAD":
            assert failure_of(answer)["error"]["code"] == "method_not_allowed"


def test_every_listed_method_is_accepted(world: World):
    for rule in create_app(world.runtime.services).url_map.iter_rules():
        path = re.sub(r"<[^>]+>", "x", rule.rule)
        for method in world.client.ask("OPTIONS", path).headers["allow"].split(", "):
            assert world.client.ask(method, path).status_code != 405, (method, path)


def _sample_paths() -> list[str]:
    patterns = {each.pattern for each in OperationTable().all if each.method != "WEBSOCKET"}
    filled = {re.sub(r"<[^>]+>", value, pattern) for pattern in patterns for value in VALUES}
    return sorted({*filled, *(f"{path}/" for path in filled), *(path.rpartition("/")[0] for path in filled)})


def test_operation_table_accepts_what_flask_accepts(world: World):
    adapter = create_app(world.runtime.services).url_map.bind("localhost")
    streams = set(world.runtime.live.routes.patterns)
    table = AllowedMethods(each for each in OperationTable().all if each.pattern not in streams)
    fixed = {each.pattern for each in OperationTable().all if "<" not in each.pattern}
    checked = 0
    for path in _sample_paths():
        if path.startswith("//") or path in fixed:
            continue
        methods = table.methods(path)
        # Flask also lists the methods of less specific rules.
        accepted = adapter.allowed_methods(path)
        assert set(methods) <= set(accepted), path
        assert bool(methods) == bool(accepted), path
        for method in methods:
            rule, arguments = adapter.match(path, method, return_rule=True)
            assert table.find(path, method) == (rule.rule, arguments), (method, path)
            checked += 1
    assert checked > 300


@pytest.mark.parametrize(
    ("path", "there"),
    [
        ("/api/v1/gpu/status/", "/api/v1/gpu/status"),
        ("/api/v1/gpu/available/?count=2", "/api/v1/gpu/available?count=2"),
        ("/api/v1/gpu/0/details/", "/api/v1/gpu/0/details"),
        ("/api/v1/gpu/stream/", "/api/v1/gpu/stream"),
        (f"{TRAINING}/start/", f"{TRAINING}/start"),
        ("/api/v1/gpu/%C3%A9%0d%0aX/", "/api/v1/gpu/%C3%A9%0d%0aX"),
        ("/health/", "/health"),
        ("/docs/", "/docs"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_trailing_slash_redirects_to_the_address_without_it(shared_client: Client, method: str, path: str, there: str):
    answer = shared_client.ask(method, path)
    assert (answer.status_code, answer.headers["location"], answer.content) == (308, there, b"")


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example/",
        "//evil.example//",
        "/api/v1/gpu/status//",
        "/api/v1/gpu/status%2f",
        "/nothing/",
        "/dashboard/",
    ],
)
def test_trailing_slash_of_an_unknown_address_is_not_found(client: Client, path: str):
    answer = client.ask("GET", f"http://127.0.0.1{path}")
    assert (answer.status_code, "location" in answer.headers) == (404, False)


def test_redirected_request_is_the_same_request(client: Client):
    answer = client.post(f"{TRAINING}/start/", json=TOY, follow_redirects=True)
    assert (answer.status_code, answer.request.method) == (201, "POST")


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "deflate", "br", "gzip, identity", "x"])
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", f"{TRAINING}/start"), ("POST", f"{TRAINING}/validate"), ("PATCH", f"{TRAINING}/a")],
)
def test_compressed_body_is_refused_with_a_remedy(shared_client: Client, method: str, path: str, coding: str):
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    answer = shared_client.ask(method, path, content=gzip.compress(b'{"model_type": "toy"}'), headers=headers)
    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "identity")
    assert failure_of(answer)["error"]["code"] == "unsupported_media_type"


def test_body_with_identity_encoding_is_accepted(client: Client):
    answer = client.post(f"{TRAINING}/validate", json=TOY, headers={"Content-Encoding": "identity"})
    assert answer.status_code == 200
