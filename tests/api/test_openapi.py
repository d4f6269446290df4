"""The OpenAPI document is valid, complete and correct."""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from api import __version__, main
from api.app import create_app
from api.domain.machines.reading import FaultKind, GPUProcess, ProcessKind
from api.executors.fake import outcome
from api.gpus.sources.source import FakeSource, GPUFault, SourceFault
from api.web.openapi.components import read_examples
from tests.api.client import Client
from tests.api.conftest import TOY, TRAINING, World, open_world
from tests.comfyui_server import WORKFLOW
from tests.response_headers import check_headers
from tests.unit.builders import reading
from tests.unit.nodes.builders import report


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The document of a server with the default settings."""
    with ExitStack() as stack:
        world = open_world(stack, tmp_path_factory.mktemp("document") / "storage")
        found: dict[str, Any] = world.client.get("/openapi.json").json()
        return found


def test_document_is_valid_openapi_3_1(document: dict[str, Any]):
    assert document["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(document).validate()


def test_document_and_health_have_the_version_of_the_package(client: Client, document: dict[str, Any]):
    assert document["info"]["version"] == client.get("/health").json()["data"]["version"] == __version__


def test_document_is_compressed_and_has_an_etag(client: Client):
    whole = client.get("/openapi.json", headers={"Accept-Encoding": "identity"})
    zipped = client.get("/openapi.json", headers={"Accept-Encoding": "gzip"})
    assert zipped.headers["content-encoding"] == "gzip"
    assert int(zipped.headers["content-length"]) < int(whole.headers["content-length"]) / 4
    assert zipped.json() == whole.json()
    again = client.get("/openapi.json", headers={"If-None-Match": whole.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_document_contains_every_route(world: World, document: dict[str, Any]):
    app = create_app(world.runtime.services)
    routes = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if rule.rule.startswith(("/api/v1", "/health", "/metrics"))
    }
    documented = {(path, method) for path, operations in document["paths"].items() for method in operations}
    assert routes == documented


def test_every_operation_has_a_unique_id_and_a_summary(document: dict[str, Any]):
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names))
    assert all(operation["summary"] and operation["tags"] for operation in operations)


def test_every_operation_is_described(document: dict[str, Any]):
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert [each["operationId"] for each in operations if not each.get("description")] == []


def test_each_type_is_one_component_under_its_own_title(document: dict[str, Any]):
    schemas = document["components"]["schemas"]
    assert {name: schema["title"] for name, schema in schemas.items()} == {name: name for name in schemas}
    assert [name for name in schemas if "." in name] == []


@pytest.mark.parametrize("gpus", [{"gpu_id": 0, "gpu_count": 2}, {"gpu_ids": [0], "gpu_count": 1}])
def test_schema_forbids_mutually_exclusive_fields(document: dict[str, Any], gpus: dict[str, Any]):
    schema = {"$ref": "#/components/schemas/StartBody", "components": document["components"]}
    validator = jsonschema.Draft202012Validator(schema)
    assert not validator.is_valid(TOY | gpus)
    assert validator.is_valid(TOY | dict.fromkeys(gpus) | {"gpu_id": 0})


def test_request_fields_have_no_defaults_that_clients_would_send(document: dict[str, Any]):
    schemas = document["components"]["schemas"]
    assert set(schemas["QuotaBounds"]["properties"]) == {"gpus", "queued_tasks", "gpu_hours_per_day", "storage_gb"}
    for operation in [each for path in document["paths"].values() for each in path.values()]:
        body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
        assert list(defaults_below(body, schemas)) == []


def defaults_below(schema: dict[str, Any], schemas: dict[str, Any]) -> Iterator[str]:
    """Yield the fields with a `default`, in a schema and all schemas below it."""
    found = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    for name, field in found.get("properties", {}).items():
        if "default" in field:
            yield name
        for held in (field, field.get("items", {}), *field.get("anyOf", [])):
            if "$ref" in held:
                yield from defaults_below(held, schemas)


def test_every_creation_accepts_an_idempotency_key(document: dict[str, Any]):
    creations = [each for path in document["paths"].values() for each in path.values() if "201" in each["responses"]]
    assert creations
    for operation in creations:
        assert "Idempotency-Key" in [parameter["name"] for parameter in operation["parameters"]]


@pytest.mark.parametrize("path", ["models/download", "preprocess/start", "preprocess/upload"])
def test_asynchronous_creations_accept_an_idempotency_key(document: dict[str, Any], path: str):
    operation = document["paths"][f"/api/v1/{path}"]["post"]
    assert [each["name"] for each in operation["parameters"]] == ["Idempotency-Key"]
    assert not [name for name in operation if name.startswith("x-")]


def test_every_operation_describes_its_errors(document: dict[str, Any]):
    for path in document["paths"].values():
        for operation in path.values():
            assert "default" in operation["responses"]


#: The parameters of paged lists need no example of their own.
PAGING = {"limit", "offset", "cursor"}


def operations_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for path in document["paths"].values() for operation in path.values()]


def described_contents(operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the body and the successful responses that are JSON or a form, with a label each."""
    bodies = {"request": operation.get("requestBody", {})}
    answers = {status: each for status, each in operation["responses"].items() if status.startswith("2")}
    for label, described in (bodies | answers).items():
        for media_type, content in described.get("content", {}).items():
            if media_type in ("application/json", "multipart/form-data"):
                yield label, content


def test_every_operation_has_examples(document: dict[str, Any]):
    """`make examples` records missing ones; a new operation needs a line in tools/touring/script.txt."""
    missing = []
    for operation in operations_of(document):
        name, parameters = operation["operationId"], operation.get("parameters", [])
        missing += [f"{name}: {label}" for label, content in described_contents(operation) if "example" not in content]
        missing += [f"{name}: {each['name']}" for each in parameters if each["in"] == "path" and "example" not in each]
        filters = [each for each in parameters if each["in"] == "query" and each["name"] not in PAGING]
        if filters and not any("example" in each for each in filters):
            missing.append(f"{name}: one of {', '.join(each['name'] for each in filters)}")
    assert missing == []


def test_every_example_matches_its_schema(document: dict[str, Any]):
    wrong = []
    for operation in operations_of(document):
        contents = [*described_contents(operation), *((each["name"], each) for each in operation.get("parameters", []))]
        for label, described in contents:
            if "example" in described:
                schema = {**described["schema"], "components": document["components"]}
                errors = jsonschema.Draft202012Validator(schema).iter_errors(described["example"])
                wrong += [f"{operation['operationId']}: {label}: {error.message}" for error in errors]
    assert wrong == []


def test_examples_show_nothing_of_the_machine_that_recorded_them(document: dict[str, Any]):
    text = json.dumps(read_examples())
    assert re.findall(r"/(?:tmp|work|root|home)/[^\"]*|127\.0\.0\.1|<(?:time|n|any|secret|tmp)>", text) == []
    secrets = re.findall(r"dp_[a-z0-9]{12}_([\w-]{43})", text)
    assert secrets
    assert set(secrets) == {"example".ljust(43, "0")}


def test_examples_have_real_times_and_ids(document: dict[str, Any]):
    def values(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
        if isinstance(node, dict):
            for name, each in node.items():
                yield from values(each, name)
        elif isinstance(node, list):
            for each in node:
                yield from values(each, key)
        else:
            yield key, node

    found = list(values(read_examples()))
    times = [value for key, value in found if key.endswith("_at") and value is not None]
    assert len(times) > 100
    assert all(datetime.fromisoformat(each).tzinfo is not None for each in times)
    tasks = [value for key, value in found if key == "task_id" and value is not None]
    assert len(tasks) > 30
    assert all(re.fullmatch(r"[a-z]+_20\d{6}_[0-9a-z]{8}|kohya-1", each) for each in tasks)


def test_every_stream_is_described(document: dict[str, Any], world: World):
    patterns = world.runtime.live.routes.patterns
    assert set(document["x-streams"]) == {re.sub(r"<(\w+)>", r"{\1}", pattern) for pattern in patterns}


def check(document: dict[str, Any], path: str, method: str, answer: Any) -> None:
    """Validate a response against the schema that the document declares for it."""
    responses = document["paths"][path][method]["responses"]
    response = responses.get(str(answer.status_code), responses["default"])
    if "$ref" in response:
        response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
    check_headers(response, answer.status_code, answer.headers)
    schema = {**response["content"]["application/json"]["schema"], "components": document["components"]}
    jsonschema.Draft202012Validator(schema).validate(answer.json())


ALERT_BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("/api/v1/alerts/{alert_id}/acknowledge", "post"): {"comment": "seen"},
    ("/api/v1/alerts/silences", "post"): {
        "matchers": [{"label": "rule", "value": "gpu_lost"}],
        "until": (datetime.now(UTC) + timedelta(days=1)).isoformat(),
        "comment": "a walk",
    },
    ("/api/v1/alerts/rules", "post"): {
        "rule_id": "walked",
        "title": "walked",
        "scope": "gpu",
        "metric": "temperature_gpu",
        "comparison": "above",
        "value": 200,
        "summary": "{gpu} is hot",
    },
    ("/api/v1/alerts/rules/{rule_id}", "patch"): {"enabled": False},
    ("/api/v1/alerts/channels", "post"): {
        "name": "walked",
        "kind": "webhook",
        "url": "https://8.8.8.8/x",
        "enabled": False,
    },
    ("/api/v1/alerts/channels/{channel_id}", "patch"): {"enabled": False},
}


def walk(client: Client, document: dict[str, Any], training: str = "walked") -> set[int]:
    """Send one request to every operation, check each response against its schema, and return the statuses."""
    registration = {"gpu_ids": [0], "task_type": "training", "task_id": "walked", "description": "a walk"}
    bodies = {"patch": {"progress": 5.5}, "post": {}}
    own = {
        ("/api/v1/gpu/tasks", "post"): registration,
        ("/api/v1/training/start", "post"): TOY,
        ("/api/v1/training/validate", "post"): TOY,
        ("/api/v1/training/cache", "post"): TOY,
        ("/api/v1/training/rehearse", "post"): TOY,
        ("/api/v1/training/{task_id}", "patch"): {"priority": 3},
        ("/api/v1/training/{task_id}/samples", "post"): {"sample_set": {"prompts": [{"text": "walked"}]}},
        ("/api/v1/training/{task_id}/samples/{sample_id}", "patch"): {"rating": 1},
        ("/api/v1/training/{task_id}/chosen", "put"): {"checkpoint": "epoch1"},
        ("/api/v1/training/{task_id}/comfyui/{checkpoint}", "put"): {},
        ("/api/v1/sweeps", "post"): {"request": TOY, "values": {"/config/epochs": [1, 2]}},
        ("/api/v1/training/{task_id}/retention", "put"): {"keep_last": 3},
        ("/api/v1/presets", "post"): {"name": "walked", "model_type": "flux", "settings": {"epochs": 3}},
        ("/api/v1/presets/{preset_id}", "patch"): {"shared": True},
        ("/api/v1/sample-sets", "post"): {"name": "walked", "prompts": [{"text": "walked"}]},
        ("/api/v1/sample-sets/{name}", "patch"): {"shared": True},
        ("/api/v1/workflows", "post"): {"name": "walked", "model_type": "toy", "workflow": WORKFLOW},
        ("/api/v1/workflows/nodes", "post"): {"workflow": WORKFLOW},
        ("/api/v1/models/registry", "post"): {"task_id": training, "artifact": "absent", "name": "walked"},
        ("/api/v1/models/registry/{name}", "patch"): {"tags": ["walked"]},
        ("/api/v1/models/registry/{name}/versions/{version}", "patch"): {"notes": "walked"},
        ("/api/v1/models/download", "post"): {"repository": "owner/walked"},
        ("/api/v1/models/registry/{name}/versions/{version}/push", "post"): {"repository": "owner/walked"},
        ("/api/v1/models/{model_id}/convert", "post"): {"config": {"epochs": 1}},
        ("/api/v1/models/validate", "post"): {"path": "/nowhere/a.safetensors"},
        ("/api/v1/auth/generate-key", "post"): {"user_id": "walked", "role": "viewer"},
        ("/api/v1/datasets", "post"): {"name": "walked"},
        ("/api/v1/preprocess/start", "post"): {"dataset": "walked"},
        ("/api/v1/datasets/{name}", "patch"): {"tags": ["walked"]},
        ("/api/v1/datasets/{name}/captions", "patch"): {"prefix": "a "},
        ("/api/v1/datasets/{name}/items", "patch"): {"exclude": ["0" * 16]},
        ("/api/v1/datasets/{name}/split", "post"): {"items": ["0" * 16], "into": "split"},
        ("/api/v1/auth/login", "post"): {"key": "dp_…"},
        **ALERT_BODIES,
        ("/api/v1/nodes/{name}/drain", "post"): {"reason": "a walk"},
        ("/api/v1/nodes/{name}/report", "post"): {"report": report(reading(9))},
        ("/api/v1/system/holds", "post"): {"gpu_id": "3", "reason": "a walk"},
        ("/api/v1/schedule", "put"): {"windows": []},
        ("/api/v1/gpu/{gpu_id}/power-limit", "put"): {"watts": 200},
        ("/api/v1/system/idle/hold", "post"): {"seconds": 60},
        ("/api/v1/gpu/{gpu_id}/pause", "post"): {"seconds": 60},
        ("/api/v1/gpu/{gpu_id}/claim", "post"): {"name": "walked", "ttl_seconds": 60},
        ("/api/v1/auth/users/{user_id}", "patch"): {"quota": {"gpus": 1}},
        ("/api/v1/settings", "patch"): {"values": {"MAX_CONCURRENT_TASKS": 50}},
    }
    statuses = set()
    for method in ["post", "put", "patch", "get", "delete"]:
        for path, operations in document["paths"].items():
            if method not in operations or path in ("/metrics", "/api/v1/metrics"):
                continue
            task_id = training if "/training/" in path else "walked"
            address = path.replace("{task_id}", task_id).replace("{gpu_id}", "0").replace("{path}", "absent")
            address = (
                address.replace("{name}", "walked")
                .replace("{version}", "1")
                .replace("{item_id}", "0" * 16)
                .replace("{rule_id}", "walked")
            )
            query = {"keyword": "steps"} if path.endswith("/search") else {}
            query |= {"model_type": "flux"} if path.endswith("/as_trained") else {}
            query |= {"tasks": f"{training},none"} if path.endswith("/training/compare") else {}
            answer = client.ask(method.upper(), address, json=own.get((path, method), bodies.get(method)), params=query)
            if path.endswith("/download") and answer.status_code == 200:
                continue
            check(document, path, method, answer)
            if path == "/api/v1/training/cache":
                # The toy of the other requests uses no dataset.
                assert answer.status_code == 422
                continue
            statuses.add(answer.status_code)
    return statuses


def test_every_response_matches_its_schema(client: Client, document: dict[str, Any]):
    assert 422 not in walk(client, document)


def test_responses_about_a_training_match_their_schemas(world: World, document: dict[str, Any]):
    # Building the document takes so long that earlier readings would be too old.
    world.sweep()
    running, stopping, failed, done = (world.run() for _ in range(4))
    waiting = world.start(gpu_count=4)
    for task_id in (running, done):
        world.prints(task_id, "[CACHE] x\nWARNING: y\nsteps: 1 loss: nan\nsteps: 2 loss: 0.5 iter time (s): 1.5\n")
        world.make_checkpoints(task_id, 10, 20, complete=False)
    world.train()
    world.client.post(f"{TRAINING}/stop/{stopping}")
    world.end(failed, outcome(exit_code=1))
    world.end(done)
    found = [world.get(task_id) for task_id in (waiting, running, stopping, failed, done)]
    assert [task["status"] for task in found] == ["queued", "running", "stopping", "failed", "completed"]
    for task in found:
        for part in ("", "/progress", "/metrics", "/checkpoints", "/artifacts", "/events"):
            path = "/api/v1/training/{task_id}" + part
            answer = world.client.get(path.replace("{task_id}", task["task_id"]))
            assert answer.status_code == 200
            check(document, path, "get", answer)
    walk(world.client, document, done)


def test_responses_about_broken_gpus_match_their_schemas(fake_world: World, source: FakeSource):
    document = fake_world.client.get("/openapi.json").json()
    training = fake_world.run(gpu_id=0)
    source.faults[0] = GPUFault(FaultKind.LOST, "fell off the bus")
    source.faults[1] = GPUFault(FaultKind.NO_PERMISSION, "not allowed")
    source.processes[2] = (GPUProcess(1, ProcessKind.BOTH, None, None, None, None, None, None),)
    fake_world.sweep()
    fake_world.train()
    walk(fake_world.client, document, training)
    source.problem = SourceFault("driver not loaded", "load it", 9)
    fake_world.sweep()
    walk(fake_world.client, document, training)


def test_responses_before_any_gpu_is_found_match_their_schemas(make_world):
    source = FakeSource(count=0)
    source.problem = SourceFault("driver not loaded", "load it", 9)
    client = make_world(source).client
    walk(client, client.get("/openapi.json").json())


@pytest.mark.parametrize("boards", ["NVIDIA H100 80GB HBM3", "NVIDIA GeForce RTX 5090"])
def test_responses_for_any_board_match_their_schemas(make_world, boards: str):
    client = make_world(simulated_gpus=boards).client
    walk(client, client.get("/openapi.json").json())


def test_optional_bodies_are_not_required(document: dict[str, Any]):
    required = {
        path: operations["post"]["requestBody"]["required"]
        for path, operations in document["paths"].items()
        if "requestBody" in operations.get("post", {})
    }
    optional = {path for path, is_required in required.items() if not is_required}
    assert optional == {
        f"{TRAINING}/stop/{{task_id}}",
        f"{TRAINING}/{{task_id}}/stop",
        "/api/v1/datasets/{name}/captions/generate",
        f"{TRAINING}/resume/{{task_id}}",
        f"{TRAINING}/{{task_id}}/export",
        "/api/v1/system/strays/{attempt_uid}/stop",
        "/api/v1/system/idle/hold",
        "/api/v1/auth/keys/{key_id}/rotate",
        "/api/v1/alerts/{alert_id}/acknowledge",
        "/api/v1/uploads",
        "/api/v1/models/registry/{name}/versions/{version}/metadata",
        "/api/v1/datasets/{name}/check",
    }


def test_document_is_built_without_a_request(world: World):
    assert create_app(world.runtime.services).spec["info"]["title"] == "Diffusion-Pipe API"
    assert main.create_shell(world.runtime) is not None


#: The sign-in itself requires no key.
SIGN_IN = ("login", "ways", "oidc/login", "oidc/callback")


@pytest.mark.parametrize(("auth", "needed"), [("off", [{}]), ("required", [])])
def test_document_marks_the_operations_that_require_a_key(make_world, auth: str, needed: list[Any]):
    world = make_world(auth=auth)
    document = world.client.get("/openapi.json", headers=world.key("root", "admin")).json()
    assert document["security"] == [*needed, {"key": []}, {"session": []}]
    assert set(document["components"]["securitySchemes"]) == {"key", "session"}
    own = {
        path: way["security"] for path, ways in document["paths"].items() for way in ways.values() if "security" in way
    }
    opened = {"/health", "/health/ready", *(f"/api/v1/auth/{name}" for name in SIGN_IN)}
    assert own.keys() == opened
    assert not any(own.values())


def test_comparison_matches_its_schema(world: World, document: dict[str, Any]):
    running = world.run()
    world.prints(running, "steps: 1 loss: 0.5 iter time (s): 1.0 samples/sec: 64.0\n")
    world.train()
    query = {"tasks": f"{running},{world.start()}", "all_settings": "true"}
    answer = world.client.get("/api/v1/training/compare", params=query)
    assert answer.json()["data"]["series"]
    check(document, "/api/v1/training/compare", "get", answer)
