import asyncio
import threading

import pytest
from prometheus_client.openmetrics import parser

from api.domain.machines.reading import FaultKind
from api.errors import DatabaseUnavailable
from api.gpus.sharing.registration_store import DatabaseRegistrations
from api.gpus.sources.source import FakeSource, GPUFault, SourceFault
from tests.api.client import Client, failure_of
from tests.api.conftest import TOY, World


def test_health_reports_version_and_uptime(client: Client):
    data = client.data("/health")
    assert (data["status"], set(data)) == ("ok", {"status", "version", "uptime", "problems"})


@pytest.mark.parametrize("path", ["/health", "/health/ready", "/api/v1/gpu/status"])
def test_response_arrives_although_all_flask_threads_wait(world: World, monkeypatch: pytest.MonkeyPatch, path: str):
    release = threading.Event()
    monkeypatch.setattr(
        type(world.runtime.services.system.service), "get_overview", lambda self: release.wait(20) and None
    )

    async def ask() -> int:
        waiting = [asyncio.create_task(world.client.send("GET", "/api/v1/system/overview")) for _ in range(40)]
        try:
            await asyncio.sleep(0.1)
            answer = await asyncio.wait_for(world.client.send("GET", path), 10)
        finally:
            release.set()
            await asyncio.gather(*waiting)
        return answer.status_code

    assert world.client.run(ask()) == 200


def test_service_with_fresh_readings_is_ready(client: Client):
    data = client.data("/health/ready")
    assert (data["status"], data["reasons"], data["source"]) == ("ready", [], "simulated")
    assert data["reading_age"] >= 0


def test_service_with_a_failing_source_is_not_ready_and_reports_why(fake_world: World, source: FakeSource):
    source.problem = SourceFault("driver not loaded", "load it", 9)
    fake_world.sweep()
    answer = fake_world.client.get("/health/ready")
    assert answer.status_code == 503
    envelope = failure_of(answer)
    assert envelope["error"]["code"] == "unavailable"
    assert envelope["data"]["status"] == "not_ready"
    assert envelope["data"]["reasons"] == ["driver not loaded: load it"]
    assert int(answer.headers["retry-after"]) > 0


def test_service_that_is_not_ready_is_still_alive(fake_world: World, source: FakeSource):
    source.problem = SourceFault("driver not loaded", "load it", 9)
    fake_world.sweep()
    assert fake_world.client.data("/health")["status"] == "ok"


def test_service_with_old_readings_is_not_ready(fake_world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("api.gpus.service.READY_SWEEPS", -1)
    assert fake_world.client.get("/health/ready").status_code == 503


def test_lost_gpu_does_not_make_the_service_unready(fake_world: World, source: FakeSource):
    source.faults[0] = GPUFault(FaultKind.LOST, "fell off the bus")
    fake_world.sweep()
    assert fake_world.client.data("/health/ready")["status"] == "ready"


def test_overview_counts_tasks_and_gpus(world: World):
    world.gpus.tasks.register([0, 1], "training")
    for gpu in (2, 3):
        world.gpus.tasks.register([gpu], "external")
    data = world.client.data("/api/v1/system/overview")
    assert data["holders"] == {
        "total": 3,
        "training": 1,
        "preprocessing": 0,
        "download": 0,
        "push": 0,
        "cache": 0,
        "rehearsal": 0,
        "export": 0,
        "sample": 0,
        "external": 2,
    }
    assert (data["gpus"]["total"], data["gpus"]["available"], data["gpus"]["busy"]) == (4, 0, 4)
    assert (data["gpus"]["total_gpus"], data["gpus"]["busy_gpus"], data["source"]) == (4, 4, "simulated")
    assert data["system"]["memory"]["total"] > 0
    assert data["version"]


@pytest.mark.parametrize("path", ["/metrics", "/api/v1/metrics"])
def test_metrics_are_prometheus_text(client: Client, path: str):
    answer = client.get(path)
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "nvidia_smi_gpu_info{" in answer.text
    assert "diffusion_pipe_build_info{" in answer.text
    assert "process_resident_memory_bytes" in answer.text


@pytest.mark.parametrize("path", ["/metrics", "/api/v1/metrics"])
def test_metrics_are_openmetrics_with_request_ids_if_accepted(client: Client, path: str):
    client.get("/health", headers={"X-Request-ID": "found-again-1"})
    headers = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"}
    answer = client.get(path, headers=headers)
    assert answer.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    families = {family.name for family in parser.text_string_to_metric_families(answer.text)}
    assert {"nvidia_smi_gpu_info", "nvidia_smi_energy_joules", "diffusion_pipe_build_info"} <= families
    again = client.get(path, headers={**headers, "If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


def test_dcgm_names_are_present_only_if_configured(make_world):
    assert "DCGM_FI_DEV_GPU_TEMP" not in make_world().client.get("/metrics").text
    assert "DCGM_FI_DEV_GPU_TEMP{" in make_world(dcgm_aliases=True).client.get("/metrics").text


def test_replaced_database_is_reported_until_the_original_is_back(world: World):
    file = world.storage / "database.sqlite"
    file.rename(file.with_name("moved"))
    file.touch()
    world.runtime.storage_watch.check()
    for path, status in (("/health", "failing"), ("/health/ready", "not_ready")):
        answer = world.client.get(path)
        envelope = failure_of(answer)
        assert (answer.status_code, envelope["error"]["code"], envelope["data"]["status"]) == (
            503,
            "storage_gone",
            status,
        )
        assert "restore the" in envelope["error"]["detail"]
    refused = world.client.post("/api/v1/training/start", json=TOY)
    assert (refused.status_code, failure_of(refused)["error"]["code"]) == (503, "storage_gone")
    file.with_name("moved").rename(file)
    world.runtime.storage_watch.check()
    assert world.client.data("/health")["status"] == "ok"
    world.start()


def test_sweeps_continue_over_a_database_that_fails_in_any_way(world: World, monkeypatch: pytest.MonkeyPatch):
    def fail(self: object) -> None:
        raise ValueError("a row that cannot be read")

    world.gpus.tasks.register([0], "external")
    for name in ("holders", "list"):
        monkeypatch.setattr(DatabaseRegistrations, name, fail)
    before = world.client.data("/api/v1/gpu/status")["timestamp"]
    world.sweep()
    status = world.client.data("/api/v1/gpu/status")
    assert [gpu["status"] for gpu in status["gpus"]] == ["busy", *["available"] * 3]
    assert status["timestamp"] >= before


def test_gpus_are_not_offered_while_their_holders_are_unknown(make_world, monkeypatch: pytest.MonkeyPatch):
    def fail(self: object) -> None:
        raise DatabaseUnavailable

    monkeypatch.setattr(DatabaseRegistrations, "holders", fail)
    world = make_world()
    world.sweep()
    gpus = world.client.data("/api/v1/gpu/status")["gpus"]
    assert {(gpu["status"], gpu["status_reason"]) for gpu in gpus} == {
        ("unknown", "who holds it is not known: the database cannot be read")
    }
