"""Every answer has its form, whatever was asked."""

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
def test_a_read_is_answered_in_the_envelope(service: Service, path: str):
    assert service.get(path) is not None


def test_an_unknown_address_is_404_in_the_envelope(service: Service):
    assert service.failure("GET", f"{BASE}/nothing/here", 404)["code"] == "not_found"


def test_an_unknown_gpu_is_404(service: Service):
    service.failure("GET", f"{BASE}/gpu/9999/details", 404)


def test_an_unknown_training_is_404(service: Service):
    service.failure("GET", f"{BASE}/training/train_20000101_00000000", 404)


def test_a_wrong_method_is_405_and_says_which_are_right(service: Service):
    answer = service.ask("DELETE", f"{BASE}/gpu/status")
    assert answer.status_code == 405
    assert "GET" in answer.headers["Allow"]


def test_what_is_no_json_is_400(service: Service):
    service.failure("POST", f"{BASE}/training/start", 400, data=b"{", headers={"Content-Type": "application/json"})


def test_a_form_is_415(service: Service):
    service.failure("POST", f"{BASE}/training/start", 415, data={"model_type": "toy"})


def test_all_mistakes_are_told_at_once(service: Service):
    error = service.failure("GET", f"{BASE}/gpu/available", 422, params={"min_memory": "x", "count": "y"})
    assert {"/min_memory", "/count"} <= {mistake["pointer"] for mistake in error["errors"]}


def test_a_request_id_comes_back(service: Service):
    answer = service.ask("GET", f"{BASE}/gpu/summary", headers={"X-Request-ID": "smoke-1"})
    assert answer.headers["X-Request-ID"] == "smoke-1"


def test_a_snapshot_that_has_not_changed_is_304(service: Service):
    for _ in range(5):
        first = service.ask("GET", f"{BASE}/gpu/status")
        again = service.ask("GET", f"{BASE}/gpu/status", headers={"If-None-Match": first.headers["ETag"]})
        if again.status_code == 304:
            assert again.content == b""
            return
    pytest.fail("five times it had changed from one request to the next")


def test_a_list_has_pages(service: Service):
    listed = service.get(f"{BASE}/training/list", limit=9999)
    assert listed["pagination"].keys() >= {"total", "limit", "offset", "has_more", "next_cursor"}
    assert listed["pagination"]["limit"] == 500
    assert len(listed["tasks"]) <= 500


def test_it_describes_itself(service: Service):
    document = service.ask("GET", "/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert f"{BASE}/training/start" in document["paths"]


def test_prometheus_finds_its_metrics(service: Service):
    answer = service.ask("GET", "/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert "\nnvidia_smi_" in answer.text


def test_the_overview_has_its_figures(service: Service):
    overview = service.get(f"{BASE}/system/overview")
    system, tasks = overview["system"], overview["tasks"]
    assert {"cpu_count", "cpu_usage", "memory_total", "memory_used", "memory_available"} <= system.keys()
    assert {"disk_total", "disk_used", "disk_free"} <= system.keys()
    assert {"total", "available", "busy"} <= overview["gpus"].keys()
    assert {"total", "queued", "running", "completed", "failed"} <= tasks.keys()
    assert overview["uptime"] >= 0
    assert overview["version"]
