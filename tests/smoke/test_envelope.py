"""Every response has the envelope's form."""

import pytest

from tests.smoke.service import BASE, Service


@pytest.mark.parametrize(
    "path",
    [
        "/health",
        f"{BASE}/gpu/status",
        f"{BASE}/gpu/summary",
        f"{BASE}/gpu/available",
        f"{BASE}/gpu/events",
        f"{BASE}/gpu/tasks",
        f"{BASE}/training/list",
        f"{BASE}/system/overview",
    ],
)
def test_reads_return_the_envelope(service: Service, path: str):
    assert service.get(path) is not None


def test_unknown_path_returns_404_in_the_envelope(service: Service):
    assert service.failure("GET", f"{BASE}/nothing/here", 404)["code"] == "not_found"


def test_unknown_gpu_returns_404(service: Service):
    service.failure("GET", f"{BASE}/gpu/9999/details", 404)


def test_unknown_training_returns_404(service: Service):
    service.failure("GET", f"{BASE}/training/train_20000101_00000000", 404)


def test_wrong_method_returns_405_with_the_allowed_methods(service: Service):
    answer = service.request("DELETE", f"{BASE}/gpu/status")
    assert answer.status_code == 405
    assert "GET" in answer.headers["Allow"]


def test_invalid_json_returns_400(service: Service):
    service.failure("POST", f"{BASE}/training/start", 400, data=b"{", headers={"Content-Type": "application/json"})


def test_form_body_returns_415(service: Service):
    service.failure("POST", f"{BASE}/training/start", 415, data={"model_type": "toy"})


def test_all_invalid_parameters_are_reported_together(service: Service):
    error = service.failure("GET", f"{BASE}/gpu/available", 422, params={"min_memory": "x", "count": "y"})
    assert {"/min_memory", "/count"} <= {mistake["pointer"] for mistake in error["errors"]}


def test_request_id_is_returned(service: Service):
    answer = service.request("GET", f"{BASE}/gpu/summary", headers={"X-Request-ID": "smoke-1"})
    assert answer.headers["X-Request-ID"] == "smoke-1"


def test_unchanged_snapshot_returns_304(service: Service):
    for _ in range(5):
        first = service.request("GET", f"{BASE}/gpu/status")
        again = service.request("GET", f"{BASE}/gpu/status", headers={"If-None-Match": first.headers["ETag"]})
        if again.status_code == 304:
            assert again.content == b""
            return
    pytest.fail("the snapshot changed between two requests five times in a row")


def test_list_is_paginated(service: Service):
    listed = service.get(f"{BASE}/training/list", limit=9999)
    assert listed["pagination"].keys() >= {"total", "limit", "offset", "has_more", "next_cursor"}
    assert listed["pagination"]["limit"] == 500
    assert len(listed["tasks"]) <= 500


def test_openapi_document_lists_the_routes(service: Service):
    document = service.request("GET", "/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert f"{BASE}/training/start" in document["paths"]


def test_metrics_are_in_prometheus_format(service: Service):
    answer = service.request("GET", "/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert "\nnvidia_smi_" in answer.text


def test_overview_has_all_fields(service: Service):
    overview = service.get(f"{BASE}/system/overview")
    system, tasks = overview["system"], overview["tasks"]
    assert {"cpu_count", "cpu_usage", "memory_total", "memory_used", "memory_available"} <= system.keys()
    assert {"disk_total", "disk_used", "disk_free"} <= system.keys()
    assert {"total", "available", "busy"} <= overview["gpus"].keys()
    assert {"total", "queued", "running", "completed", "failed"} <= tasks.keys()
    assert overview["uptime"] >= 0
    assert overview["version"]
