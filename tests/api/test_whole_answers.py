"""No answer of Flask is streamed: what is sent in parts would outlive its client, and hold a thread."""

import re
from collections.abc import Iterator

import pytest
from flask import Response, request
from flask.testing import FlaskClient
from werkzeug.routing import Rule

from api.app import create_app
from tests.api.conftest import TOY, World


@pytest.fixture
def arguments(world: World) -> dict[str, str]:
    """What leads to something that is there."""
    task_id = world.run()
    world.make_checkpoints(task_id, 10)
    digest, name = world.client.get("/").text.partition('="/dashboard/')[2].partition('"')[0].split("/", 1)
    return {
        "task_id": task_id,
        "gpu_id": "0",
        "digest": digest,
        "name": name,
        "path": "absent",
        "attempt_uid": "absent.1",
        "key_id": "absent000000",
        "user_id": "nobody-known",
    }


@pytest.fixture
def streamed(world: World) -> Iterator[tuple[FlaskClient, list[str]]]:
    """A client of Flask alone, and the addresses whose answers it streamed."""
    app, found = create_app(world.runtime.services), []

    @app.after_request
    def look(response: Response) -> Response:
        if response.is_streamed or response.direct_passthrough:
            found.append(f"{request.method} {request.path}")
        return response

    with app.test_client() as client:
        yield client, found


def test_no_route_answers_in_parts_by_any_method(streamed: tuple[FlaskClient, list[str]], arguments: dict[str, str]):
    client, found = streamed
    count = 0
    for rule in client.application.url_map.iter_rules():
        for method in sorted(rule.methods or ()):
            client.open(
                _path(rule, arguments),
                method=method,
                json=TOY if method in ("POST", "PATCH") else None,
                environ_overrides={"asgi.scope": {"state": {}}},
            )
            count += 1
    assert (found, count > 100) == ([], True)


@pytest.mark.parametrize("name", ["swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"])
def test_files_of_the_docs_are_whole_answers(streamed: tuple[FlaskClient, list[str]], name: str):
    client, found = streamed
    assert (client.get(f"/docs/assets/{name}").status_code, found) == (200, [])


def _path(rule: Rule, arguments: dict[str, str]) -> str:
    path = rule.rule.replace("<path:", "<")
    for name, value in arguments.items():
        path = path.replace(f"<{name}>", value)
    # What is not made above leads to nothing, as whoever makes up an id comes to nothing.
    return re.sub(r"<(?:\w+:)?\w+>", "absent", path)
