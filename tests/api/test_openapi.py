"""The OpenAPI document is valid, complete and true."""

import re
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

import run
from api.app import create_app
from api.hardware.source import FakeSource, GPUFault, SourceFault
from api.models.reading import FaultKind, GPUProcess, ProcessKind
from tests.api.client import Client
from tests.api.conftest import World


@pytest.fixture
def document(client: Client) -> dict[str, Any]:
    return client.get("/openapi.json").json()


def test_document_is_valid_openapi_3_1(document: dict[str, Any]):
    assert document["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(document).validate()


def test_document_holds_every_route(world: World, document: dict[str, Any]):
    app = create_app(world.runtime.services)
    routes = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if rule.rule.startswith(("/api/v1", "/health", "/metrics"))
    }
    documented = {(path, method) for path, operations in document["paths"].items() for method in operations}
    assert routes == documented


def test_every_operation_has_a_name_of_its_own_and_a_summary(document: dict[str, Any]):
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names))
    assert all(operation["summary"] and operation["tags"] for operation in operations)


def test_every_operation_says_what_a_failure_looks_like(document: dict[str, Any]):
    for path in document["paths"].values():
        for operation in path.values():
            assert "default" in operation["responses"]


def test_streams_are_named(document: dict[str, Any]):
    assert set(document["x-streams"]) == {"/api/v1/gpu/stream", "/api/v1/ws/gpu"}


def check(document: dict[str, Any], path: str, method: str, answer: Any) -> None:
    """Validates an answer against the schema that the document declares for it."""
    responses = document["paths"][path][method]["responses"]
    response = responses.get(str(answer.status_code), responses["default"])
    if "$ref" in response:
        response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
    schema = {**response["content"]["application/json"]["schema"], "components": document["components"]}
    jsonschema.Draft202012Validator(schema).validate(answer.json())


def walk(client: Client, document: dict[str, Any]) -> None:
    """One request to every operation, each answer against its schema."""
    body = {"gpu_ids": [0], "task_type": "training", "task_id": "walked", "description": "a walk"}
    bodies = {"post": body, "patch": {"progress": 5.5}}
    order = ["post", "patch", "get", "delete"]
    for method in order:
        for path, operations in document["paths"].items():
            if method not in operations or path.endswith("/metrics"):
                continue
            address = path.replace("{task_id}", "walked").replace("{gpu_id}", "0")
            answer = client.ask(method.upper(), address, json=bodies.get(method))
            check(document, path, method, answer)


def test_every_answer_of_a_walk_is_of_its_declared_form(client: Client, document: dict[str, Any]):
    walk(client, document)


def test_answers_about_broken_gpus_are_of_their_declared_form(fake_world: World, source: FakeSource):
    document = fake_world.client.get("/openapi.json").json()
    source.faults[0] = GPUFault(FaultKind.LOST, "fell off the bus")
    source.faults[1] = GPUFault(FaultKind.NO_PERMISSION, "not allowed")
    source.processes[2] = (GPUProcess(1, ProcessKind.BOTH, None, None, None, None, None, None),)
    fake_world.sweep()
    walk(fake_world.client, document)
    source.problem = SourceFault("driver not loaded", "load it", 9)
    fake_world.sweep()
    walk(fake_world.client, document)


def test_answers_before_any_gpu_was_found_are_of_their_declared_form(make_world):
    source = FakeSource(count=0)
    source.problem = SourceFault("driver not loaded", "load it", 9)
    client = make_world(source).client
    walk(client, client.get("/openapi.json").json())


@pytest.mark.parametrize("boards", ["NVIDIA H100 80GB HBM3", "NVIDIA GeForce RTX 5090"])
def test_answers_of_any_board_are_of_their_declared_form(make_world, boards: str):
    client = make_world(simulated_gpus=boards).client
    walk(client, client.get("/openapi.json").json())


def test_documents_are_made_without_a_request(world: World):
    assert create_app(world.runtime.services).spec["info"]["title"] == "Diffusion-Pipe API"
    assert run.create_shell(world.runtime) is not None
