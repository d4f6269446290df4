"""Errors that the driver reports by itself."""

import pytest

from tests.e2e.server import ServerProcess, until
from tests.nvml.conftest import Serve
from tests.standin import StandIn

CRITICAL = (46, 48, 74, 79, 95, 143)
OF_THE_APPLICATION = (13, 31, 43)


@pytest.fixture
def server(machine: StandIn, serve: Serve) -> ServerProcess:
    """Two GPUs whose errors are listened for."""
    machine.add_gpus(2)
    started = serve()

    def hears() -> bool:
        machine.raise_xid(1, 999)
        return bool(started.events(type="xid"))

    until(lambda: len(started.get("/gpu/available")["available_gpus"]) == 2)
    # Nothing tells when the listening begins, so a harmless error is raised until one is heard.
    until(hears)
    return started


def heard(server: ServerProcess, gpu: int, xid: int) -> dict:
    """The event of this error, once it is there."""
    return until(
        lambda: next((e for e in server.events(type="xid") if (e["gpu_id"], e["xid"]) == (gpu, xid)), None), timeout=4
    )


def judged(server: ServerProcess, gpu: int, verdict: str) -> dict:
    """The GPU, once the state that is made anew after an error is published with this verdict on its health."""

    def look() -> dict | None:
        shown = server.details(gpu)
        return shown if shown["health"]["verdict"] == verdict else None

    return until(look, timeout=4)


@pytest.mark.parametrize("xid", CRITICAL)
def test_a_critical_error_makes_a_gpu_unhealthy(machine: StandIn, server: ServerProcess, xid: int) -> None:
    machine.raise_xid(0, xid)
    assert heard(server, 0, xid)["severity"] == "critical"
    assert judged(server, 0, "unhealthy")


def test_after_a_hung_kernel_the_driver_says_whether_the_gpu_must_be_reset(
    machine: StandIn, server: ServerProcess
) -> None:
    machine.raise_xid(0, 109)
    assert heard(server, 0, 109)["severity"] == "critical"
    assert judged(server, 0, "degraded")["is_available"]  # the driver asks for nothing
    machine.set(0, "recovery_action", 1)
    assert not judged(server, 0, "unhealthy")["is_available"]


def test_a_gpu_with_a_critical_error_is_not_offered(machine: StandIn, server: ServerProcess) -> None:
    machine.raise_xid(0, 79)
    heard(server, 0, 79)
    judged(server, 0, "unhealthy")
    assert [g["gpu_id"] for g in server.get("/gpu/available")["available_gpus"]] == [1]


def test_a_critical_error_is_said_with_what_to_do(machine: StandIn, server: ServerProcess) -> None:
    machine.raise_xid(0, 79)
    heard(server, 0, 79)
    health = judged(server, 0, "unhealthy")["health"]
    assert "Xid 79" in health["reasons"][0]
    assert health["suggested_actions"]


def test_a_contained_memory_error_degrades_a_gpu_that_can_still_be_had(machine: StandIn, server: ServerProcess) -> None:
    machine.raise_xid(0, 94)
    assert heard(server, 0, 94)["severity"] == "warning"
    assert judged(server, 0, "degraded")["is_available"]


@pytest.mark.parametrize("xid", OF_THE_APPLICATION)
def test_a_fault_of_an_application_is_told_and_changes_nothing(
    machine: StandIn, server: ServerProcess, xid: int
) -> None:
    machine.raise_xid(0, xid)
    assert heard(server, 0, xid)["severity"] == "info"
    shown = server.details(0)
    assert (shown["health"]["verdict"], shown["is_available"]) == ("healthy", True)


def test_errors_are_counted_in_the_metrics_by_gpu_and_number(machine: StandIn, server: ServerProcess) -> None:
    uuid = server.gpu(0)["uuid"]
    for _ in range(3):
        # One incident, however often the driver tells of it.
        machine.raise_xid(0, 31)
    machine.raise_xid(0, 79)

    def counts() -> dict[str, float]:
        return {
            name: value
            for name, value in server.metrics().items()
            if name.startswith("nvidia_smi_xid_errors_total{") and uuid in name
        }

    until(lambda: len(counts()) == 2, timeout=4)
    assert {name.split('xid="')[1].split('"')[0]: value for name, value in counts().items()} == {"31": 1, "79": 1}


def test_an_error_is_forgiven_when_the_gpu_was_lost_and_has_returned(machine: StandIn, server: ServerProcess) -> None:
    machine.raise_xid(0, 79)
    heard(server, 0, 79)
    machine.lose(0)
    until(lambda: server.gpu(0)["status"] == "lost", timeout=3)
    machine.restore(0)
    until(lambda: server.gpu(0)["status"] == "available", timeout=5)
    assert server.details(0)["health"]["verdict"] == "healthy"


def test_errors_stay_counted_after_they_are_forgiven(machine: StandIn, server: ServerProcess) -> None:
    uuid = server.gpu(0)["uuid"]
    machine.raise_xid(0, 79)
    heard(server, 0, 79)
    machine.lose(0)
    until(lambda: server.gpu(0)["status"] == "lost", timeout=3)
    machine.restore(0)
    until(lambda: server.gpu(0)["status"] == "available", timeout=5)
    [count] = [v for name, v in server.metrics().items() if "xid_errors_total{" in name and uuid in name]
    assert count == 1


def test_errors_are_heard_after_a_new_initialisation(machine: StandIn, server: ServerProcess) -> None:
    machine.fail_driver(9)
    until(lambda: server.get("/gpu/status")["source_problem"], timeout=3)
    machine.restore()
    until(lambda: len(server.get("/gpu/available")["available_gpus"]) == 2, timeout=4)

    def hears() -> bool:
        machine.raise_xid(1, 998)
        return any(e["xid"] == 998 for e in server.events(type="xid"))

    until(hears, timeout=5)


def test_a_burst_of_errors_is_heard_whole(machine: StandIn, server: ServerProcess) -> None:
    with machine.together():
        for xid in range(1, 101):
            machine.raise_xid(0, xid)
    until(lambda: {e["xid"] for e in server.events(type="xid") if e["gpu_id"] == 0} == set(range(1, 101)), timeout=5)


def test_what_the_driver_asks_for_keeps_a_gpu_from_being_offered(machine: StandIn, server: ServerProcess) -> None:
    machine.set(0, "recovery_action", 1)
    until(lambda: server.gpu(0)["status"] == "unknown", timeout=4)
    health = server.details(0)["health"]
    assert "recovery action 1" in health["reasons"][0]
    [asked] = [
        v for name, v in server.metrics().items() if "gpu_recovery_action{" in name and server.gpu(0)["uuid"] in name
    ]
    assert asked == 1
    machine.set(0, "recovery_action", 0)
    until(lambda: server.gpu(0)["status"] == "available", timeout=4)


def test_a_gpu_without_events_does_not_deafen_the_others(machine: StandIn, serve: Serve) -> None:
    machine.add_gpus(2)
    machine.fail("nvmlDeviceRegisterEvents", 3, 0)
    server = serve()

    def hears() -> bool:
        machine.raise_xid(1, 31)
        return bool(server.events(type="xid"))

    until(hears, timeout=5)
