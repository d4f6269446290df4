"""The layer of encoded documents only saves time: the answers are equal with and without it."""

import pytest

from api import main
from tests.api.client import Client, client_of
from tests.api.conftest import World

HEADERS: dict[str, dict[str, str]] = {
    "plain": {},
    "gzip": {"Accept-Encoding": "gzip"},
    "browser": {"Accept-Encoding": "gzip, deflate, br;q=0.5", "Accept": "text/html"},
    "no gzip": {"Accept-Encoding": "gzip;q=0, *;q=1"},
    "other etag": {"If-None-Match": 'W/"other"'},
    "any etag": {"If-None-Match": "*"},
    "scraper": {"Accept": "application/openmetrics-text;version=1.0.0,*/*;q=0.1", "Accept-Encoding": "gzip"},
    "any etag, gzip": {"If-None-Match": "*", "Accept-Encoding": "gzip"},
    "own request id": {"X-Request-ID": "mine"},
    "range": {"Range": "bytes=0-9"},
    "old date": {"If-Modified-Since": "Mon, 01 Jan 2024 00:00:00 GMT"},
}

#: Headers that differ between requests.
_PASSING = ("x-request-id", "date", "age")


def comparable(answer: object) -> tuple[int, bytes, list[tuple[str, str]]]:
    headers = sorted((name, value) for name, value in answer.headers.items() if name not in _PASSING)
    return answer.status_code, answer.content, headers


@pytest.fixture
def without(world: World):
    with client_of(main.create_shell(world.runtime, serves_documents=False)) as client:
        yield client


@pytest.fixture
def paths(world: World) -> list[str]:
    return list(world.gpus.documents.paths)


def test_table_contains_the_most_requested_paths(paths: list[str]):
    assert {"/api/v1/gpu/status", "/api/v1/gpu/summary", "/metrics", "/api/v1/gpu/0", "/api/v1/gpu/3/details"} <= set(
        paths
    )


@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS.keys())
def test_answer_is_equal_with_and_without_the_layer(
    client: Client, without: Client, paths: list[str], headers: dict[str, str]
):
    for path in paths:
        assert comparable(client.get(path, headers=headers)) == comparable(without.get(path, headers=headers)), path


def test_answer_to_a_matching_etag_is_equal_with_and_without_the_layer(
    client: Client, without: Client, paths: list[str]
):
    for path in paths:
        held = {"If-None-Match": client.get(path).headers["etag"]}
        with_layer = client.get(path, headers=held)
        assert with_layer.status_code == 304
        assert comparable(with_layer) == comparable(without.get(path, headers=held)), path


@pytest.mark.parametrize("method", ["HEAD", "POST", "OPTIONS"])
def test_other_method_is_equal_with_and_without_the_layer(
    client: Client, without: Client, paths: list[str], method: str
):
    for path in paths:
        with_layer, other = client.ask(method, path), without.ask(method, path)
        for name in ("content-type", "allow"):
            assert with_layer.headers.get(name) == other.headers.get(name), path
        assert with_layer.status_code == other.status_code, path


def test_both_answers_have_an_age(client: Client, without: Client, paths: list[str]):
    for path in paths:
        assert abs(int(client.get(path).headers["age"]) - int(without.get(path).headers["age"])) <= 1


def test_metrics_count_the_same_route_with_and_without_the_layer(world: World, without: Client):
    for client in (world.client, without):
        for path in ("/api/v1/gpu/status", "/api/v1/gpu/0", "/api/v1/gpu/0/details", "/api/v1/metrics", "/metrics"):
            client.get(path)
    routes = [access.route for access in world.runtime.access_log._queue]
    assert routes[:5] == routes[5:]


@pytest.mark.parametrize("accept", ["*/*", "application/openmetrics-text;version=1.0.0"])
def test_scrapers_need_no_flask(client: Client, monkeypatch: pytest.MonkeyPatch, accept: str):
    async def fail(*_: object) -> None:
        raise AssertionError("Flask is asked")

    monkeypatch.setattr(client._shell._flask, "call", fail)
    answer = client.get("/metrics", headers={"Accept": accept})
    assert (answer.status_code, "diffusion_pipe_build_info" in answer.text) == (200, True)
