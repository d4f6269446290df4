import gzip
from datetime import datetime

import pytest

from api.domain.machines.reading import FaultKind
from api.gpus.sources.source import FakeSource, GPUFault, SourceFault
from tests.api.client import Client, failure_of
from tests.api.conftest import World

GPU = "/api/v1/gpu"


def test_status_contains_every_gpu_as_documented(client: Client):
    data = client.data(f"{GPU}/status")
    assert data["source"] == "simulated"
    assert data["stale"] is False
    assert [gpu["gpu_id"] for gpu in data["gpus"]] == [0, 1, 2, 3]
    gpu = data["gpus"][0]
    assert gpu["name"] == "NVIDIA GeForce RTX 4090"
    assert (gpu["status"], gpu["is_available"], gpu["current_task"]) == ("available", True, None)
    assert set(gpu) >= {
        "gpu_id",
        "uuid",
        "name",
        "memory",
        "utilization_gpu",
        "utilization_memory",
        "temperature",
        "power_usage",
        "power_limit",
        "power_utilization",
        "status",
        "status_reason",
        "status_reason_code",
        "is_available",
        "current_task",
        "driver_version",
        "cuda_version",
    }
    assert set(gpu["memory"]) >= {"total", "used", "free", "reserved", "utilization", "total_gb", "free_gb"}
    assert all(isinstance(gpu["memory"][name], int) for name in ("total", "used", "free", "reserved"))


def test_status_contains_the_summary(client: Client):
    status, summary = client.data(f"{GPU}/status"), client.data(f"{GPU}/summary")
    assert status["summary"] == summary
    assert set(summary) >= {
        "total_gpus",
        "available_gpus",
        "busy_gpus",
        "total_memory",
        "available_memory",
        "memory_utilization",
        "timestamp",
        "updated_at",
    }
    assert (summary["total_gpus"], summary["available_gpus"], summary["busy_gpus"]) == (4, 4, 0)


def test_times_are_utc_with_z(client: Client):
    data = client.data(f"{GPU}/status")
    for text in (data["timestamp"], data["summary"]["updated_at"], data["gpus"][0]["read_at"]):
        assert text.endswith("Z")
        datetime.fromisoformat(text)


def test_status_of_a_failing_source_is_marked_and_keeps_the_gpus(fake_world: World, source: FakeSource):
    source.problem = SourceFault("driver not loaded", "load it", 9)
    fake_world.sweep()
    data = fake_world.client.data(f"{GPU}/status")
    assert (data["source_problem"], data["stale"]) == ("driver not loaded: load it", True)
    assert {gpu["status"] for gpu in data["gpus"]} == {"unknown"}
    assert data["summary"]["available_gpus"] == 0


def test_lost_gpu_does_not_affect_the_others(fake_world: World, source: FakeSource):
    uuid = source.identities[2].uuid
    source.faults[2] = GPUFault(FaultKind.LOST, "fell off the bus")
    fake_world.sweep()
    gpus = fake_world.client.data(f"{GPU}/status")["gpus"]
    assert [gpu["status"] for gpu in gpus] == ["available", "available", "lost", "available"]
    assert (gpus[2]["uuid"], gpus[2]["name"], gpus[2]["status_reason"]) == (uuid, "NVIDIA Test", "fell off the bus")
    assert gpus[2]["memory"]["used"] is None


DOCUMENTS = ["/api/v1/gpu/status", "/api/v1/gpu/summary", "/api/v1/gpu/0", "/metrics", "/api/v1/metrics"]


@pytest.mark.parametrize("path", DOCUMENTS)
def test_matching_etag_omits_the_body(client: Client, path: str):
    first = client.get(path)
    again = client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]


def test_body_and_etag_stay_until_something_changes(world: World):
    first, second = (world.client.get(DOCUMENTS[0]) for _ in range(2))
    assert (first.content, first.headers["etag"]) == (second.content, second.headers["etag"])
    world.gpus.tasks.register([0], "training", "t")
    assert world.client.get(DOCUMENTS[0]).headers["etag"] != first.headers["etag"]


@pytest.mark.parametrize("path", DOCUMENTS)
def test_reading_has_its_age(client: Client, path: str):
    assert 0 <= int(client.get(path).headers["age"]) < 60


@pytest.mark.parametrize("path", ["/api/v1/gpu/status", "/metrics"])
def test_large_document_is_compressed_on_request(client: Client, path: str):
    async def ask() -> tuple[bytes, dict[str, str]]:
        # httpx decompresses the content; the raw bytes are in the stream.
        request = client._http.build_request("GET", path, headers={"Accept-Encoding": "gzip"})
        answer = await client._http.send(request, stream=True)
        return b"".join([part async for part in answer.aiter_raw()]), dict(answer.headers)

    packed, headers = client.run(ask())
    plain = client.get(path)
    assert headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed) == plain.content
    assert int(headers["content-length"]) == len(packed) < len(plain.content)
    assert headers["etag"] == plain.headers["etag"]


def test_unlisted_lost_gpu_is_found_by_its_uuid(fake_world: World, source: FakeSource):
    removed = source.identities.pop()
    fake_world.sweep()
    assert fake_world.client.data(f"{GPU}/{removed.uuid}")["status"] == "lost"


def test_invalid_cursor_is_rejected(client: Client):
    for cursor in ("", "x", "-1", "1~a", "1" * 19, "1.5", "NaN"):
        answer = client.get(f"{GPU}/tasks", params={"cursor": cursor})
        assert answer.status_code == 422
        assert failure_of(answer)["error"]["errors"][0]["pointer"] == "/cursor"
