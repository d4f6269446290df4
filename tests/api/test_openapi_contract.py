"""Requests generated from the OpenAPI document, valid and invalid, against the service."""

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from api import main
from api.composition.composition import Runtime
from api.config import Config
from api.executors.fake import FakeExecutor
from api.web.shell import Shell
from tests.api.client import client_of
from tests.api.conftest import World
from tests.lengths import length

HOST = {"Host": "127.0.0.1"}

#: Operations whose only parameters are in the path: any text is valid there.
BY_NAME = [
    ("GET", "/health"),
    ("GET", "/health/ready"),
    ("GET", "/metrics"),
    ("GET", "/api/v1/metrics"),
    ("GET", "/api/v1/system/overview"),
    ("GET", "/api/v1/system/servers"),
    ("GET", "/api/v1/system/strays"),
    ("GET", "/api/v1/system/trainer"),
    ("POST", "/api/v1/system/trainer/check"),
    ("GET", "/api/v1/system/setup"),
    ("GET", "/api/v1/settings"),
    ("GET", "/api/v1/system/holds"),
    ("GET", "/api/v1/schedule"),
    ("GET", "/api/v1/system/idle"),
    ("DELETE", "/api/v1/system/idle/hold"),
    ("GET", "/api/v1/gpu/{gpu_id}/power-limit"),
    ("DELETE", "/api/v1/gpu/{gpu_id}/power-limit"),
    ("POST", "/api/v1/gpu/{gpu_id}/unpause"),
    ("DELETE", "/api/v1/gpu/{gpu_id}/claim/{name}"),
    ("DELETE", "/api/v1/system/holds/{hold_id}"),
    ("GET", "/api/v1/gpu/status"),
    ("GET", "/api/v1/gpu/summary"),
    ("GET", "/api/v1/nodes"),
    ("GET", "/api/v1/nodes/{name}"),
    ("POST", "/api/v1/nodes/{name}/undrain"),
    ("DELETE", "/api/v1/nodes/{name}"),
    ("GET", "/api/v1/gpu/{gpu_id}"),
    ("GET", "/api/v1/gpu/{gpu_id}/details"),
    ("GET", "/api/v1/gpu/{gpu_id}/processes"),
    ("GET", "/api/v1/gpu/tasks/{task_id}"),
    ("DELETE", "/api/v1/gpu/tasks/{task_id}"),
    ("GET", "/api/v1/training/{task_id}"),
    ("GET", "/api/v1/training/{task_id}/progress"),
    ("GET", "/api/v1/training/{task_id}/checkpoints"),
    ("GET", "/api/v1/training/{task_id}/artifacts/{path}"),
    ("POST", "/api/v1/training/restart/{task_id}"),
    ("POST", "/api/v1/training/{task_id}/save"),
    ("DELETE", "/api/v1/training/{task_id}/checkpoints/{name}"),
    ("GET", "/api/v1/training/{task_id}/samples/{sample_id}/file"),
    ("GET", "/api/v1/training/{task_id}/samples/ranking"),
    ("DELETE", "/api/v1/training/{task_id}/chosen"),
    ("GET", "/api/v1/training/{task_id}/comfyui"),
    ("GET", "/api/v1/training/{task_id}/comfyui/{checkpoint}/preview"),
    ("DELETE", "/api/v1/training/{task_id}/comfyui/{checkpoint}"),
    ("GET", "/api/v1/training/{task_id}/retention"),
    ("GET", "/api/v1/datasets/{name}"),
    ("DELETE", "/api/v1/datasets/{name}"),
    ("GET", "/api/v1/datasets/{name}/versions/{version}"),
    ("POST", "/api/v1/datasets/{name}/refresh"),
    ("POST", "/api/v1/datasets/{name}/versions/{version}/restore"),
    ("GET", "/api/v1/sweeps/{sweep_id}"),
    ("POST", "/api/v1/sweeps/{sweep_id}/stop"),
    ("GET", "/api/v1/presets/{preset_id}"),
    ("DELETE", "/api/v1/presets/{preset_id}"),
    ("DELETE", "/api/v1/sample-sets/{name}"),
    ("GET", "/api/v1/workflows/{workflow_id}"),
    ("DELETE", "/api/v1/workflows/{workflow_id}"),
    ("GET", "/api/v1/alerts/{alert_id}"),
    ("DELETE", "/api/v1/alerts/{alert_id}/acknowledge"),
    ("DELETE", "/api/v1/alerts/silences/{silence_id}"),
    ("GET", "/api/v1/alerts/rules/{rule_id}"),
    ("DELETE", "/api/v1/alerts/rules/{rule_id}"),
    ("GET", "/api/v1/alerts/metrics"),
    ("GET", "/api/v1/alerts/channels/{channel_id}"),
    ("DELETE", "/api/v1/alerts/channels/{channel_id}"),
    ("POST", "/api/v1/alerts/channels/{channel_id}/test"),
    ("GET", "/api/v1/uploads/{upload_id}"),
    ("DELETE", "/api/v1/uploads/{upload_id}"),
    ("GET", "/api/v1/preprocess/status/{task_id}"),
    ("DELETE", "/api/v1/preprocess/{task_id}"),
    ("POST", "/api/v1/preprocess/{task_id}/cancel"),
    ("GET", "/api/v1/auth/keys/{key_id}"),
    ("GET", "/api/v1/auth/whoami"),
    ("POST", "/api/v1/auth/logout"),
    ("POST", "/api/v1/auth/ticket"),
    ("GET", "/api/v1/auth/users"),
    ("GET", "/api/v1/auth/ways"),
    ("GET", "/api/v1/models/{model_id}/settings"),
    ("GET", "/api/v1/models/download/{task_id}"),
    ("POST", "/api/v1/models/download/{task_id}/pause"),
    ("POST", "/api/v1/models/download/{task_id}/resume"),
    ("POST", "/api/v1/models/download/{task_id}/cancel"),
    ("GET", "/api/v1/models/push/{task_id}"),
    ("POST", "/api/v1/models/push/{task_id}/pause"),
    ("POST", "/api/v1/models/push/{task_id}/resume"),
    ("POST", "/api/v1/models/push/{task_id}/cancel"),
    ("GET", "/api/v1/models/registry/{name}"),
    ("DELETE", "/api/v1/models/registry/{name}"),
    ("GET", "/api/v1/models/registry/{name}/versions/{version}"),
    ("GET", "/api/v1/models/registry/{name}/versions/{version}/file"),
    ("DELETE", "/api/v1/models/registry/{name}/versions/{version}"),
    ("GET", "/api/v1/models/registry/{name}/versions/{version}/samples/{sample_id}/file"),
    ("DELETE", "/api/v1/models/registry/{name}/versions/{version}/samples/{sample_id}"),
    ("GET", "/api/v1/auth/oidc/callback"),
]

#: Operations with inputs that can be invalid.
WITH_INPUT = [
    ("POST", "/api/v1/nodes/{name}/drain"),
    ("POST", "/api/v1/nodes/{name}/report"),
    ("GET", "/api/v1/gpu/available"),
    ("GET", "/api/v1/gpu/events"),
    ("GET", "/api/v1/gpu/{gpu_id}/history"),
    ("GET", "/api/v1/gpu/tasks"),
    ("POST", "/api/v1/gpu/tasks"),
    ("PATCH", "/api/v1/gpu/tasks/{task_id}"),
    ("POST", "/api/v1/training/validate"),
    ("POST", "/api/v1/training/start"),
    ("POST", "/api/v1/training/cache"),
    ("POST", "/api/v1/training/rehearse"),
    ("POST", "/api/v1/training/{task_id}/export"),
    ("GET", "/api/v1/training/list"),
    ("GET", "/api/v1/training/compare"),
    ("POST", "/api/v1/training/stop/{task_id}"),
    ("POST", "/api/v1/training/{task_id}/stop"),
    ("POST", "/api/v1/training/resume/{task_id}"),
    ("PATCH", "/api/v1/training/{task_id}"),
    ("DELETE", "/api/v1/training/{task_id}"),
    ("GET", "/api/v1/training/{task_id}/metrics"),
    ("GET", "/api/v1/training/{task_id}/artifacts"),
    ("GET", "/api/v1/training/{task_id}/events"),
    ("POST", "/api/v1/training/{task_id}/samples"),
    ("GET", "/api/v1/training/{task_id}/samples"),
    ("GET", "/api/v1/training/{task_id}/samples/{sample_id}/thumbnail"),
    ("GET", "/api/v1/training/{task_id}/samples/sheet"),
    ("PATCH", "/api/v1/training/{task_id}/samples/{sample_id}"),
    ("PUT", "/api/v1/training/{task_id}/chosen"),
    ("PUT", "/api/v1/training/{task_id}/comfyui/{checkpoint}"),
    ("POST", "/api/v1/sweeps"),
    ("GET", "/api/v1/sweeps"),
    ("PUT", "/api/v1/training/{task_id}/retention"),
    ("GET", "/api/v1/training/{task_id}/retention/preview"),
    ("GET", "/api/v1/presets"),
    ("POST", "/api/v1/presets"),
    ("PATCH", "/api/v1/presets/{preset_id}"),
    ("GET", "/api/v1/sample-sets"),
    ("POST", "/api/v1/sample-sets"),
    ("GET", "/api/v1/sample-sets/{name}"),
    ("PATCH", "/api/v1/sample-sets/{name}"),
    ("GET", "/api/v1/workflows"),
    ("POST", "/api/v1/workflows"),
    ("POST", "/api/v1/workflows/nodes"),
    ("GET", "/api/v1/models/list"),
    ("GET", "/api/v1/models/{model_id}/presets"),
    ("GET", "/api/v1/models/{model_id}/presets/{name}"),
    ("POST", "/api/v1/models/{model_id}/convert"),
    ("POST", "/api/v1/models/validate"),
    ("POST", "/api/v1/models/download"),
    ("GET", "/api/v1/models/downloads"),
    ("GET", "/api/v1/models/pushes"),
    ("POST", "/api/v1/models/registry/{name}/versions/{version}/push"),
    ("GET", "/api/v1/models/registry"),
    ("POST", "/api/v1/models/registry"),
    ("PATCH", "/api/v1/models/registry/{name}"),
    ("GET", "/api/v1/models/registry/{name}/versions"),
    ("PATCH", "/api/v1/models/registry/{name}/versions/{version}"),
    ("POST", "/api/v1/models/registry/{name}/versions/{version}/metadata"),
    ("GET", "/api/v1/models/registry/{name}/versions/{version}/samples"),
    ("GET", "/api/v1/models/registry/{name}/versions/{version}/samples/{sample_id}/thumbnail"),
    ("GET", "/api/v1/training/{task_id}/logs"),
    ("GET", "/api/v1/training/{task_id}/logs/search"),
    ("GET", "/api/v1/training/{task_id}/logs/download"),
    ("GET", "/api/v1/logs/search"),
    ("GET", "/api/v1/datasets"),
    ("POST", "/api/v1/datasets"),
    ("PATCH", "/api/v1/datasets/{name}"),
    ("GET", "/api/v1/datasets/{name}/caches"),
    ("GET", "/api/v1/datasets/{name}/versions"),
    ("GET", "/api/v1/datasets/{name}/items"),
    ("GET", "/api/v1/datasets/{name}/items/{item_id}"),
    ("GET", "/api/v1/datasets/{name}/items/{item_id}/thumbnail"),
    ("GET", "/api/v1/datasets/{name}/items/{item_id}/media"),
    ("GET", "/api/v1/datasets/{name}/items/{item_id}/as_trained"),
    ("POST", "/api/v1/datasets/{name}/check"),
    ("PATCH", "/api/v1/datasets/{name}/items"),
    ("POST", "/api/v1/datasets/{name}/split"),
    ("PATCH", "/api/v1/datasets/{name}/captions"),
    ("GET", "/api/v1/datasets/{name}/export"),
    ("POST", "/api/v1/datasets/{name}/captions/generate"),
    ("POST", "/api/v1/preprocess/start"),
    ("GET", "/api/v1/preprocess/list"),
    ("GET", "/api/v1/preprocess/{task_id}/events"),
    ("GET", "/api/v1/preprocess/{task_id}/logs"),
    ("GET", "/api/v1/preprocess/{task_id}/logs/download"),
    ("GET", "/api/v1/preprocess/{task_id}/logs/search"),
    ("GET", "/api/v1/alerts"),
    ("POST", "/api/v1/alerts/{alert_id}/acknowledge"),
    ("GET", "/api/v1/alerts/silences"),
    ("POST", "/api/v1/alerts/silences"),
    ("GET", "/api/v1/alerts/rules"),
    ("POST", "/api/v1/alerts/rules"),
    ("PATCH", "/api/v1/alerts/rules/{rule_id}"),
    ("GET", "/api/v1/alerts/channels"),
    ("POST", "/api/v1/alerts/channels"),
    ("PATCH", "/api/v1/alerts/channels/{channel_id}"),
    ("GET", "/api/v1/alerts/deliveries"),
    ("GET", "/api/v1/uploads"),
    ("POST", "/api/v1/uploads"),
    ("PATCH", "/api/v1/uploads/{upload_id}"),
    ("PATCH", "/api/v1/settings"),
    ("GET", "/api/v1/files"),
    ("POST", "/api/v1/system/strays/{attempt_uid}/stop"),
    ("POST", "/api/v1/system/holds"),
    ("PUT", "/api/v1/schedule"),
    ("PUT", "/api/v1/gpu/{gpu_id}/power-limit"),
    ("POST", "/api/v1/system/idle/hold"),
    ("POST", "/api/v1/gpu/{gpu_id}/pause"),
    ("POST", "/api/v1/gpu/{gpu_id}/claim"),
    ("GET", "/api/v1/system/logs"),
    ("GET", "/api/v1/system/logs/search"),
    ("POST", "/api/v1/auth/generate-key"),
    ("GET", "/api/v1/auth/keys"),
    ("DELETE", "/api/v1/auth/keys/{key_id}"),
    ("POST", "/api/v1/auth/keys/{key_id}/rotate"),
    ("POST", "/api/v1/auth/login"),
    ("PATCH", "/api/v1/auth/users/{user_id}"),
    ("GET", "/api/v1/auth/audit"),
    ("GET", "/api/v1/auth/audit/verify"),
    ("GET", "/api/v1/auth/oidc/login"),
]

#: Generated forms with a file are never valid; the tests of their routes cover them.
BY_HAND = [
    ("POST", "/api/v1/preprocess/upload"),
    ("POST", "/api/v1/models/upload"),
    ("POST", "/api/v1/models/registry/{name}/versions/{version}/samples"),
]

VALIDATE, START = "/api/v1/training/validate", "/api/v1/training/start"

#: A valid request may still name an unknown model, GPU or setting.
KNOWS_MORE = {START, VALIDATE, "/api/v1/training/resume/{task_id}", "/api/v1/training/list"}
KNOWS_MORE |= {"/api/v1/training/cache", "/api/v1/training/rehearse"}

#: Each training and metric may be named only once.
KNOWS_MORE.add("/api/v1/training/compare")

#: A name may be reserved, and a time in the past.
KNOWS_MORE.add("/api/v1/auth/generate-key")

#: One of some parameters is required, and JSON Schema has no pattern for RE2.
KNOWS_MORE |= {path for _, path in WITH_INPUT if "/logs" in path}


KNOWS_MORE |= {f"/api/v1/datasets/{{name}}/{what}" for what in ("captions", "check", "items/{item_id}/as_trained")}
#: A dataset cannot be split into itself.
KNOWS_MORE.add("/api/v1/datasets/{name}/split")
#: An id may be in only one of the lists.
KNOWS_MORE.add("/api/v1/datasets/{name}/items")
KNOWS_MORE.add("/api/v1/datasets")
KNOWS_MORE |= {"/api/v1/preprocess/start", "/api/v1/datasets/{name}/captions/generate"}


#: A name that leads elsewhere is not that of a repository.
KNOWS_MORE.add("/api/v1/models/registry/{name}/versions/{version}/push")
#: A request and its values must be those of a training.
KNOWS_MORE.add("/api/v1/sweeps")
#: The settings of a preset must be those of the trainer.
KNOWS_MORE |= {"/api/v1/presets", "/api/v1/presets/{preset_id}"}
#: A workflow must load a LoRA and save a picture.
KNOWS_MORE |= {"/api/v1/workflows", "/api/v1/workflows/nodes"}
#: A slot needs both its model and its key.
KNOWS_MORE.add("/api/v1/models/validate")
#: A text must be TOML, and values must match its schema.
KNOWS_MORE.add("/api/v1/models/{model_id}/convert")
#: A silence ends in the future, clauses name known metrics, and addresses must be reachable.
KNOWS_MORE |= {f"/api/v1/alerts/{noun}" for noun in ("silences", "rules", "channels")}
KNOWS_MORE |= {"/api/v1/alerts/rules/{rule_id}", "/api/v1/alerts/channels/{channel_id}"}
#: A report has a format of its own, which later versions may extend; a node may be unknown.
KNOWS_MORE |= {"/api/v1/nodes/{name}/report", "/api/v1/nodes/{name}/drain"}
#: Only some keys are known, each with values of its own.
KNOWS_MORE.add("/api/v1/settings")
#: A named sample set may not exist, and its workflow may not fit.
KNOWS_MORE |= {"/api/v1/training/{task_id}", "/api/v1/training/{task_id}/samples"}
#: Only the names of time zones are accepted.
KNOWS_MORE |= {"/api/v1/schedule", "/api/v1/gpu/{gpu_id}/power-limit"}
#: A named node may be unknown; the rest of the query is then not checked.
KNOWS_MORE |= {"/api/v1/gpu/status", "/api/v1/gpu/summary", "/api/v1/gpu/available"}
#: An Idempotency-Key that was used with another body.
KNOWS_MORE |= {"/api/v1/system/holds", "/api/v1/models/download"}
#: Metadata must be Base64 in a header, and a part must start at the upload's offset.
TUS = {"/api/v1/uploads", "/api/v1/uploads/{upload_id}"}
KNOWS_MORE |= TUS


@schemathesis.serializer("application/offset+octet-stream")
def write_part(ctx: Any, value: Any) -> bytes:
    """Return the bytes of an upload unchanged."""
    return value if isinstance(value, bytes) else getattr(value, "data", str(value).encode(errors="replace"))


class Stateful:
    """Gives requests a state like uvicorn."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._shell({**scope, "state": {}}, receive, send)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One server for all tests, with trainings in every status."""
    storage = tmp_path_factory.mktemp("contract")
    config = Config(
        gpu_source="simulated",
        log_level="WARNING",
        storage_root=storage,
        min_free_disk_mb=0,
        caption_endpoint="http://127.0.0.1:9/v1",
        caption_model="nobody-answers",
    )
    executor = FakeExecutor()
    runtime = Runtime(config, executor=executor)
    runtime.prepare()
    with pytest.MonkeyPatch.context() as patched, client_of(main.create_shell(runtime)) as client:
        patched.setattr("api.db.database.shared_wait_limit", nullcontext)
        # No training ends here while a stop waits for it.
        patched.setattr("api.training.stops.StopWaiters.wait", lambda self, is_over, seconds: None)
        made = World(runtime, client, executor)
        made.sweep()
        yield made
    runtime.stop()


def load_document(world: World, headers: dict[str, str]) -> BaseSchema:
    """Load the document from the service; each request has time on a busy machine, too."""
    shell = Stateful(main.create_shell(world.runtime))
    found = schemathesis.openapi.from_asgi("/openapi.json", shell, headers=headers, timeout=60)
    found.config.request_timeout = 60.0
    return found


@pytest.fixture(scope="module")
def document(world: World) -> BaseSchema:
    found = load_document(world, HOST)
    # No text contains NUL: PostgreSQL rejects it, and a pattern for each text would hide other mistakes.
    found.config.generation.allow_x00 = False
    # A long list may be too large before it is invalid.
    found.config.checks.negative_data_rejection.expected_statuses.append("413")
    return found


@pytest.fixture(scope="module")
def known(world: World) -> list[str]:
    """Existing trainings: a completed one with files, a running one, and a queued one."""
    finished = world.run()
    world.prints(finished, "steps: 1 loss: 0.5 iter time (s): 1.0 samples/sec: 64.0\n")
    world.make_checkpoints(finished, 10)
    world.end(finished)
    running = world.run()
    return [finished, running, world.start(gpu_count=4)]


@schemathesis.check
def no_failure_of_its_own(ctx: Any, response: Any, case: Any) -> None:
    """507 is not an error of the service: the machine is too small."""
    assert response.status_code < 500 or response.status_code == 507


ADDRESSES = {path for _, path in (*BY_NAME, *WITH_INPUT) if "{" not in path}


def hold_every_case(document: BaseSchema, method: str, path: str, mode: GenerationMode, known: list[str]) -> None:
    excluded = [not_a_server_error]
    if path in KNOWS_MORE:
        excluded.append(positive_data_acceptance)
    if path == VALIDATE:
        # The response reports what is invalid.
        excluded.append(negative_data_rejection)
    if path in TUS and method in ("POST", "PATCH"):
        # Without the protocol's version the status is 412, which this check does not count as a refusal.
        excluded.append(negative_data_rejection)
    names = [None, *known] if "/training/" in path and mode is GenerationMode.POSITIVE else [None]

    @given(case=document[path][method].as_strategy(generation_mode=mode), task_id=st.sampled_from(names))
    @settings(
        max_examples=length(20, 3),
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def every_case_holds(case: schemathesis.Case, task_id: str | None) -> None:
        if task_id is not None and "task_id" in case.path_parameters:
            case.path_parameters["task_id"] = task_id
        # `status` for {gpu_id} is another operation.
        assume(case.formatted_path == path or case.formatted_path not in ADDRESSES)
        case.call_and_validate(headers=HOST, excluded_checks=excluded)

    every_case_holds()


def test_every_operation_of_the_document_is_tested(document: BaseSchema):
    found = {(result.ok().method.upper(), result.ok().path) for result in document.get_all_operations()}
    assert found == {*BY_NAME, *WITH_INPUT, *BY_HAND}


@pytest.mark.parametrize(("method", "path"), [*BY_NAME, *WITH_INPUT])
def test_valid_requests_are_answered_as_documented(document: BaseSchema, known: list[str], method: str, path: str):
    hold_every_case(document, method, path, GenerationMode.POSITIVE, known)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "path"), WITH_INPUT)
def test_invalid_requests_are_rejected(document: BaseSchema, method: str, path: str):
    hold_every_case(document, method, path, GenerationMode.NEGATIVE, [])
