"""The OpenAPI document's statements about keys, against a service that requires them."""

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import positive_data_acceptance

from api import main
from api.access import key_ring, rates
from api.composition.composition import Runtime
from api.config import Config
from api.executors.fake import FakeExecutor
from api.web.operations import OperationTable
from tests.api.client import client_of
from tests.api.conftest import World
from tests.api.test_openapi_contract import HOST, load_document
from tests.lengths import length

pytestmark = pytest.mark.slow

OPEN = {(operation.method, operation.pattern) for operation in OperationTable().all if operation.is_open}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One server that requires keys, without rate limits."""
    settings_: dict[str, Any] = {"auth": "required", "rate_limits": (), "min_free_disk_mb": 0}
    settings_ |= {"caption_endpoint": "http://127.0.0.1:9/v1", "caption_model": "nobody-answers"}
    storage = tmp_path_factory.mktemp("access")
    config = Config(gpu_source="simulated", log_level="WARNING", storage_root=storage, **settings_)
    executor = FakeExecutor()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("api.db.database.shared_wait_limit", nullcontext)
        patched.setattr(rates, "WRONG_KEYS", "1000000/minute")
        patched.setattr(key_ring, "EAGER_SECONDS", 0.0)
        runtime = Runtime(config, executor=executor)
        runtime.prepare()
        runtime.access.ring.refresh()
        with client_of(main.create_shell(runtime)) as client:
            made = World(runtime, client, executor)
            made.sweep()
            yield made
        runtime.stop()


@pytest.fixture(scope="module")
def key(world: World) -> dict[str, str]:
    return {**HOST, **world.key("root", "admin")}


@pytest.fixture(scope="module")
def document(world: World, key: dict[str, str]) -> BaseSchema:
    return load_document(world, key)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/health"), ("GET", "/api/v1/gpu/status"), ("POST", "/api/v1/training/start"), ("GET", "/api/v1/uploads")],
)
def test_answers_without_a_key_and_with_a_wrong_one_are_documented(
    world: World, document: BaseSchema, key: dict[str, str], method: str, path: str
):
    """One operation of each kind, by schemathesis' check `ignored_auth`; test_walk.py has every operation."""
    # Old readings would make it unready.
    world.sweep()
    excluded = [not_a_server_error, positive_data_acceptance]

    @given(case=document[path][method].as_strategy(generation_mode=GenerationMode.POSITIVE))
    @settings(
        max_examples=length(3, 1),
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def every_case_holds(case: schemathesis.Case) -> None:
        answer = case.call(headers=HOST)
        assert (answer.status_code == 401) == ((method, path) not in OPEN) or path.endswith("/login")
        case.validate_response(answer, headers=HOST, excluded_checks=excluded)
        case.call_and_validate(headers=key, excluded_checks=excluded)

    every_case_holds()


def test_document_marks_open_operations_and_describes_authentication(document: BaseSchema):
    raw = document.raw_schema
    assert raw["security"] == [{"key": []}, {"session": []}]
    opened = {
        (method.upper(), path)
        for path, operations in raw["paths"].items()
        for method, operation in operations.items()
        if operation.get("security") == []
    }
    assert opened == OPEN & {(method.upper(), path) for path, each in raw["paths"].items() for method in each}
    assert ("GET", "/health") in opened
    for path, operations in raw["paths"].items():
        for method, operation in operations.items():
            assert ("401" in operation["responses"]) or (method.upper(), path) in OPEN, (method, path)


def test_rate_limits_and_permissions_are_documented(document: BaseSchema):
    paths = document.raw_schema["paths"]
    assert {"403", "429"} <= paths["/api/v1/training/start"]["post"]["responses"].keys()
    assert "403" not in paths["/api/v1/auth/whoami"]["get"]["responses"]
    assert "429" not in paths["/api/v1/gpu/status"]["get"]["responses"]
    assert all(operation.permission is None or not operation.is_open for operation in OperationTable().all)
