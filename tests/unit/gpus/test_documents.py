import json
from typing import Any

import pytest

from api.gpus.documents import OPENMETRICS, PROMETHEUS, GPUDocuments
from api.gpus.health.events import GPUEvents
from api.gpus.state import GPUStateKeeper
from api.util.clock import FakeClock
from api.util.http.envelope import encode_answer
from tests.unit.builders import lost, reading, snapshot, uuid_of


@pytest.fixture
def documents(clock: FakeClock) -> GPUDocuments:
    state = GPUStateKeeper("here", clock, 10_000.0, GPUEvents()).judge(snapshot(reading(0), lost(1)), {})
    return GPUDocuments(state, clock, lambda is_open: b"own_metric 1\n", None)


def body(documents: GPUDocuments, path: str) -> bytes:
    found = documents.table.get(path)
    assert found is not None, path
    return found.body


def data(documents: GPUDocuments, path: str) -> Any:
    return json.loads(body(documents, path))["data"]


def test_document_is_the_services_encoded_answer(documents: GPUDocuments):
    assert body(documents, "/api/v1/gpu/status") == encode_answer(documents.status)
    assert data(documents, "/api/v1/gpu/summary") == data(documents, "/api/v1/gpu/status")["summary"]


def test_stream_message_contains_the_same(documents: GPUDocuments):
    message = json.loads(documents.message())
    assert (message["type"], message["data"]) == ("snapshot", data(documents, "/api/v1/gpu/status"))


def test_each_gpu_has_details_by_index_and_uuid(documents: GPUDocuments):
    paths = [f"/api/v1/gpu/{name}{ending}" for name in ("0", uuid_of(0)) for ending in ("", "/details")]
    assert {body(documents, path) for path in paths} == {body(documents, "/api/v1/gpu/0")}
    assert data(documents, "/api/v1/gpu/1")["status"] == "lost"
    assert documents.table.get("/api/v1/gpu/2") is None


def test_metrics_cover_the_gpus_and_the_process(documents: GPUDocuments):
    for path in ("/metrics", "/api/v1/metrics"):
        made = documents.table.get(path)
        assert made is not None
        assert made.content_type == PROMETHEUS
        assert made.body.endswith(b"own_metric 1\n")
        assert uuid_of(0).encode() in made.body


def test_metrics_are_openmetrics_on_request(documents: GPUDocuments):
    made = documents.table.get("/metrics", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert made is not None
    assert made.content_type == OPENMETRICS
    assert b"Accept" in dict(made.headers)[b"vary"].split(b", ")
    assert b"# TYPE nvidia_smi_failed_scrapes_total counter" in body(documents, "/metrics")
    assert b"# TYPE nvidia_smi_failed_scrapes counter" in made.body
