"""Flask streams no answer: a streamed one could outlive its client and occupy a thread."""

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
    """Return path arguments that name existing resources."""
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
    """Yield a client of Flask alone, and the list of addresses with streamed answers."""
    app, found = create_app(world.runtime.services), []

    @app.after_request
    def look(response: Response) -> Response:
        if response.is_streamed or response.direct_passthrough:
            found.append(f"{request.method} {request.path}")
        return response

    with app.test_client() as client:
        yield client, found


def test_no_route_streams_its_answer(streamed: tuple[FlaskClient, list[str]], arguments: dict[str, str]):
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
def test_files_of_the_docs_are_not_streamed(streamed: tuple[FlaskClient, list[str]], name: str):
    client, found = streamed
    assert (client.get(f"/docs/assets/{name}").status_code, found) == (200, [])


def _path(rule: Rule, arguments: dict[str, str]) -> str:
    path = rule.rule.replace("<path:", "<")
    for name, value in arguments.items():
        path = path.replace(f"<{name}>", value)
    # Other arguments name nothing.
    return re.sub(r"<(?:\w+:)?\w+>", "absent", path)
