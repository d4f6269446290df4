import pytest

from api.domain.machines.reading import FaultKind, GPUIdentity, GPUProcess, ProcessKind
from api.gpus.sources.source import FakeSource, GPUFault, ProcessesUnlistedError
from tests.api.client import ANONYMOUS, Client, failure_of
from tests.api.conftest import World

GPU = "/api/v1/gpu"


@pytest.mark.parametrize("suffix", ["", "/details", "/processes", "/history"])
def test_gpu_is_found_by_index_and_by_uuid(client: Client, suffix: str):
    uuid = client.data(f"{GPU}/status")["gpus"][1]["uuid"]
    by_index, by_uuid = client.data(f"{GPU}/1{suffix}"), client.data(f"{GPU}/{uuid}{suffix}")
    assert by_index["uuid"] == by_uuid["uuid"] == uuid


@pytest.mark.parametrize("suffix", ["", "/details", "/processes", "/history"])
@pytest.mark.parametrize("name", ANONYMOUS, ids=lambda name: name[:12])
def test_missing_gpu_is_not_found(shared_client: Client, name: str, suffix: str):
    answer = shared_client.get(f"{GPU}/{name}{suffix}")
    assert answer.status_code == 404
    envelope = failure_of(answer)
    if envelope["error"]["code"] == "gpu_not_found":
        assert envelope["data"] == {"gpu_ids": [0, 1, 2, 3]}
    assert len(answer.content) < 1000


def test_details_contain_every_group(client: Client):
    details = client.data(f"{GPU}/0/details")
    assert set(details["utilization"]) == {"gpu", "memory", "encoder", "decoder"}
    assert set(details["temperature"]) == {"gpu", "memory", "slowdown", "shutdown"}
    assert set(details["power"]) == {
        "current",
        "limit",
        "default_limit",
        "min_limit",
        "max_limit",
        "usage_percent",
        "energy_joules",
    }
    assert set(details["health"]) == {"verdict", "reasons", "suggested_actions", "reason_codes", "action_codes"}
    assert set(details) >= {
        "clocks",
        "pstate",
        "throttle_reasons",
        "ecc",
        "pcie",
        "nvlink",
        "mig",
        "compute_mode",
        "persistence_mode",
        "processes",
        "is_available",
        "current_task",
        "timestamp",
        "unavailable",
    }


def test_details_are_equal_at_both_addresses(client: Client):
    assert client.data(f"{GPU}/0") == client.data(f"{GPU}/0/details")


def null_paths(value: object, prefix: str = "") -> set[str]:
    if not isinstance(value, dict):
        return {prefix} if value is None else set()
    return {
        path
        for name, part in value.items()
        if not isinstance(part, list)
        for path in null_paths(part, f"{prefix}.{name}".strip("."))
    }


@pytest.mark.parametrize("boards", ["NVIDIA GeForce RTX 4090", "NVIDIA H100 80GB HBM3"])
def test_details_have_a_reason_for_every_null(make_world, boards: str):
    details = make_world(simulated_gpus=boards).client.data(f"{GPU}/0")
    unavailable = details.pop("unavailable")
    assert null_paths(details) - {"current_task", "paused_until", "status_reason", "status_reason_code"} == set(
        unavailable
    )


def test_details_of_a_lost_gpu_have_that_reason(fake_world: World, source: FakeSource):
    source.faults[0] = GPUFault(FaultKind.LOST, "fell off the bus")
    fake_world.sweep()
    details = fake_world.client.data(f"{GPU}/0")
    assert details["unavailable"]["memory.used"] == "lost"
    assert details["health"]["verdict"] == "unhealthy"
    assert details["health"]["suggested_actions"]


def test_processes_list_the_holders_of_memory(fake_world: World, source: FakeSource):
    source.processes[0] = (GPUProcess(4711, ProcessKind.COMPUTE, 9000, "ada", "python train.py", None, None, 1000),)
    fake_world.gpus._monitor._slots[0]._processes_at = float("-inf")
    fake_world.sweep()
    data = fake_world.client.data(f"{GPU}/0/processes")
    (process,) = data["processes"]
    assert (process["pid"], process["user"], process["command"], process["memory"], process["task_id"]) == (
        4711,
        "ada",
        "python train.py",
        9000,
        None,
    )
    assert fake_world.client.data(f"{GPU}/0")["status"] == "busy"


def test_unlistable_processes_are_null_with_a_reason(make_world, source: FakeSource, monkeypatch: pytest.MonkeyPatch):
    def refuse(gpu: GPUIdentity) -> tuple[GPUProcess, ...]:
        raise ProcessesUnlistedError("no_permission")

    monkeypatch.setattr(source, "read_processes", refuse)
    data = make_world(source).client.data(f"{GPU}/0/processes")
    assert data["processes"] is None
    assert data["unavailable"] == {"processes": "no_permission"}
