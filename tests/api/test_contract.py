"""Whatever the OpenAPI document allows, and much that it does not, against the service."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.schemas import BaseSchema

import run
from api.config import Config
from api.runtime import Runtime
from api.server import Shell

HOST = {"Host": "127.0.0.1"}

#: Whose only parameters are in the path: any text is one of those.
BY_NAME = [
    ("GET", "/health"),
    ("GET", "/health/ready"),
    ("GET", "/metrics"),
    ("GET", "/api/v1/metrics"),
    ("GET", "/api/v1/system/overview"),
    ("GET", "/api/v1/gpu/status"),
    ("GET", "/api/v1/gpu/summary"),
    ("GET", "/api/v1/gpu/{gpu_id}"),
    ("GET", "/api/v1/gpu/{gpu_id}/details"),
    ("GET", "/api/v1/gpu/{gpu_id}/processes"),
    ("GET", "/api/v1/gpu/tasks/{task_id}"),
    ("DELETE", "/api/v1/gpu/tasks/{task_id}"),
]

#: What they take can be wrong.
WITH_INPUT = [
    ("GET", "/api/v1/gpu/available"),
    ("GET", "/api/v1/gpu/events"),
    ("GET", "/api/v1/gpu/{gpu_id}/history"),
    ("GET", "/api/v1/gpu/tasks"),
    ("POST", "/api/v1/gpu/tasks"),
    ("PATCH", "/api/v1/gpu/tasks/{task_id}"),
]


class Stateful:
    """Gives requests the state that uvicorn gives them."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._shell({**scope, "state": {}}, receive, send)


@pytest.fixture(scope="module")
def document() -> Iterator[BaseSchema]:
    runtime = Runtime(Config(gpu_source="simulated", log_level="WARNING"))
    runtime.services.gpus._monitor.sweep()
    yield schemathesis.openapi.from_asgi("/openapi.json", Stateful(run.create_shell(runtime)), headers=HOST)
    runtime.services.gpus.stop_monitoring()


def hold_every_case(document: BaseSchema, method: str, path: str, mode: GenerationMode) -> None:
    @given(case=document[path][method].as_strategy(generation_mode=mode))
    @settings(max_examples=20, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def every_case_holds(case: schemathesis.Case) -> None:
        case.call_and_validate(headers=HOST)

    every_case_holds()


def test_every_operation_of_the_document_is_tried(document: BaseSchema):
    found = {(result.ok().method.upper(), result.ok().path) for result in document.get_all_operations()}
    assert found == {*BY_NAME, *WITH_INPUT}


@pytest.mark.parametrize(("method", "path"), [*BY_NAME, *WITH_INPUT])
def test_what_the_document_allows_is_answered_as_it_says(document: BaseSchema, method: str, path: str):
    hold_every_case(document, method, path, GenerationMode.POSITIVE)


@pytest.mark.parametrize(("method", "path"), WITH_INPUT)
def test_what_the_document_does_not_allow_is_refused(document: BaseSchema, method: str, path: str):
    hold_every_case(document, method, path, GenerationMode.NEGATIVE)
