"""Clients generated from the documents of earlier releases work with this server."""

import json
import lzma
from typing import Any

import httpx
import pytest

from tests.clients.conftest import HERE, example_answers, generate
from tests.clients.walking import Walk
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import TrainingServer

#: One file per release: `python tools/openapi.py tests/clients/released/VERSION.json.xz`.
RELEASED = sorted((HERE / "released").glob("*.json.xz"))


#: Required fields that a client misses. The state of November 27 was no release, but it is in use: version 1.1.0 has
#: neither escalation nor dry runs of rules.
REMOVED = {"1.0.0-nov-27": {"after_seconds", "trial"}}


class Released:
    """The client of a release, which calls operations by method and path: their ids may change."""

    def __init__(self, name: str, document: dict[str, Any], walk: Walk) -> None:
        self.name = name
        self.walk = walk
        self.paths: dict[str, Any] = document["paths"]
        self.schemas: dict[str, Any] = document["components"]["schemas"]

    def module(self, method: str, path: str) -> Any:
        return self.walk.operations[self.paths[path][method]["operationId"]]

    def call(self, method: str, path: str, *arguments: str, expected: int = 200, body: Any = None, **query: Any) -> Any:
        operation = self.paths[path][method]
        if body is not None:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            query["body"] = self.walk.body(schema["$ref"].rpartition("/")[2].rpartition(".")[2], body)
        return self.walk.call(operation["operationId"], *arguments, expected=expected, **query)


@pytest.fixture(params=RELEASED, ids=lambda path: path.name.removesuffix(".json.xz"), scope="module")
def released(
    request: pytest.FixtureRequest, server: TrainingServer, tmp_path_factory: pytest.TempPathFactory
) -> Released:
    document = json.loads(lzma.decompress(request.param.read_bytes()))
    directory = tmp_path_factory.mktemp("released")
    path = directory / "openapi.json"
    path.write_text(json.dumps(document))
    made = generate(path, directory, f"released_{RELEASED.index(request.param)}")
    name = request.param.name.removesuffix(".json.xz")
    return Released(name, document, Walk(made, str(server.client.base_url), server.first_key()))


def test_client_of_an_earlier_release_trains(released: Released, server: TrainingServer):
    training = "/api/v1/training"
    task = f"{training}/{{task_id}}"
    assert len(released.call("get", "/api/v1/gpu/status").gpus) == 8
    body = toy(60, step_seconds=0.1)
    task_id = str(released.call("post", f"{training}/start", body=body, expected=201).task_id)
    server.await_step(task_id, 15)
    progress = released.call("get", f"{task}/progress", task_id)
    assert progress.progress.current_step >= 15
    released.call("post", f"{task}/stop", task_id, body={"timeout_seconds": 20}, expected=202)
    server.await_status(task_id, "stopped")
    assert released.call("get", f"{task}/checkpoints", task_id).checkpoints
    released.call("post", f"{training}/resume/{{task_id}}", task_id, body={}, expected=202)
    server.await_status(task_id, "completed")
    assert str(released.call("get", task, task_id).status) == "completed"
    assert task_id in [each.task_id for each in released.call("get", f"{training}/list").tasks]
    assert released.call("get", f"{task}/logs", task_id).logs


def test_client_of_an_earlier_release_reads_every_answer(released: Released, document: dict[str, Any]):
    missed = set()
    for name, path, method, status, answer in example_answers(document):
        if method in released.paths.get(path, {}):
            response = httpx.Response(int(status), json=answer)
            try:
                parsed = released.module(method, path)._parse_response(client=released.walk.client, response=response)
                assert parsed is not None, name
            except KeyError as error:
                missed.add(error.args[0])
    assert missed == REMOVED.get(released.name, set())
