"""Every GPU has all fields in their units, and responses are consistent."""

import re
from typing import Any

import pytest

from tests.smoke.service import BASE, Service

STATUSES = {"available", "training", "preprocessing", "busy", "draining", "lost", "unknown"}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


@pytest.fixture(scope="module")
def status(service: Service) -> dict[str, Any]:
    answer: dict[str, Any] = service.get(f"{BASE}/gpu/status")
    if not answer["gpus"]:
        pytest.skip("this machine has no GPU")
    return answer


def is_percent(value: Any) -> bool:
    return value is None or 0 <= value <= 100


def test_status_has_source_and_age_of_readings(service: Service, status: dict[str, Any]):
    assert status["source"] in ("nvml", "simulated")
    assert isinstance(status["stale"], bool)
    assert TIME.fullmatch(status["timestamp"])
    assert int(service.request("GET", f"{BASE}/gpu/status").headers["Age"]) >= 0


def test_every_gpu_has_all_fields(status: dict[str, Any]):
    for gpu in status["gpus"]:
        assert gpu.keys() >= {
            "gpu_id", "uuid", "name", "memory", "utilization_gpu", "utilization_memory", "temperature", "power_usage",
            "power_limit", "power_utilization", "status", "status_reason", "is_available", "current_task",
            "driver_version", "cuda_version",
        }  # fmt: skip
        assert gpu["memory"].keys() >= {"total", "used", "free", "reserved", "utilization", "total_gb", "free_gb"}
        assert gpu["temperature"].keys() >= {"gpu", "memory"}


def test_values_are_in_their_units(status: dict[str, Any]):
    for gpu in status["gpus"]:
        memory = gpu["memory"]
        sizes = [memory[name] for name in ("total", "used", "free") if memory[name] is not None]
        assert all(isinstance(size, int) and 0 <= size < 10_000_000 for size in sizes), "MB, as whole numbers"
        if None not in (memory["total"], memory["used"]):
            assert memory["used"] <= memory["total"]
        assert is_percent(gpu["utilization_gpu"])
        assert is_percent(gpu["utilization_memory"])
        assert is_percent(memory["utilization"])
        celsius = gpu["temperature"]["gpu"]
        assert celsius is None or -20 < celsius < 150


def test_gpu_is_available_or_has_a_reason(status: dict[str, Any]):
    for gpu in status["gpus"]:
        assert gpu["status"] in STATUSES
        if gpu["is_available"]:
            assert (gpu["status"], gpu["current_task"]) == ("available", None)
        else:
            assert gpu["status_reason"]


def test_uuids_are_unique(status: dict[str, Any]):
    uuids = [gpu["uuid"] for gpu in status["gpus"] if gpu["uuid"] is not None]
    assert len(uuids) == len(set(uuids))


def test_summary_counts_the_listed_gpus(status: dict[str, Any]):
    summary, gpus = status["summary"], status["gpus"]
    assert summary["total_gpus"] == len(gpus)
    assert summary["available_gpus"] == sum(gpu["is_available"] for gpu in gpus)


def test_available_gpus_match_the_request(service: Service):
    found = service.get(f"{BASE}/gpu/available", min_memory=1000, count=1)
    assert found["total_available"] >= len(found["available_gpus"]) <= 1
    for gpu in found["available_gpus"]:
        assert gpu["memory_free"] >= 1000
        assert isinstance(gpu["recommended_for"], list)


def test_details_have_every_part_and_a_reason_for_missing_ones(service: Service, status: dict[str, Any]):
    gpu = status["gpus"][0]
    details = service.get(f"{BASE}/gpu/{gpu['gpu_id']}/details")
    assert details.keys() >= {
        "memory", "utilization", "temperature", "power", "clocks", "pstate", "throttle_reasons", "ecc", "pcie",
        "nvlink", "mig", "compute_mode", "persistence_mode", "processes", "health", "is_available", "current_task",
        "timestamp", "unavailable",
    }  # fmt: skip
    assert details["health"].keys() >= {"verdict", "reasons", "suggested_actions"}
    for part in ("ecc", "pcie", "nvlink", "mig"):
        assert details[part] is not None or details["unavailable"].get(part), f"{part} is null without a reason"


def test_gpu_is_found_by_uuid(service: Service, status: dict[str, Any]):
    gpu = status["gpus"][0]
    if gpu["uuid"] is None:
        pytest.skip("the first GPU has no UUID")
    assert service.get(f"{BASE}/gpu/{gpu['uuid']}")["gpu_id"] == gpu["gpu_id"]


def test_processes_are_listed_or_unknown(service: Service, status: dict[str, Any]):
    processes = service.get(f"{BASE}/gpu/{status['gpus'][0]['gpu_id']}/processes")["processes"]
    assert processes is None or isinstance(processes, list)


def test_history_is_a_list_of_points(service: Service, status: dict[str, Any]):
    history = service.get(f"{BASE}/gpu/{status['gpus'][0]['gpu_id']}/history", metric="memory_used", since="15m")
    assert isinstance(history["data"], list)
