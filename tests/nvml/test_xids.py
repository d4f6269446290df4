"""Errors that the driver reports on its own."""

from collections.abc import Iterator

import pytest

from tests.e2e.server import ServerProcess, until
from tests.nvml.conftest import Serve
from tests.standin import StandIn

CRITICAL = (46, 48, 74, 79, 95, 143)
OF_THE_APPLICATION = (13, 31, 43)


#: One GPU per test, so that none sees another test's errors. The first only shows that errors are received.
GPUS = 24


@pytest.fixture(scope="module")
def server(lasting_machine: StandIn, lasting_serve: Serve) -> ServerProcess:
    """GPUs with error events."""
    lasting_machine.add_gpus(GPUS)
    started = lasting_serve()
    until(lambda: len(started.get("/gpu/available")["available_gpus"]) == GPUS)
    return started


@pytest.fixture(scope="module")
def unused() -> Iterator[int]:
    """The GPUs that no test has used."""
    return iter(range(1, GPUS))


@pytest.fixture
def receiving(lasting_machine: StandIn, server: ServerProcess) -> StandIn:
    """The machine, once errors are received."""
    number = 1000 + len(server.events(type="xid"))

    def has_event() -> bool:
        lasting_machine.raise_xid(0, number)
        return any(event["xid"] == number for event in server.events(type="xid"))

    # The start of the event wait is not visible, so a harmless error is raised until one is received.
    until(has_event)
    return lasting_machine


@pytest.fixture
def gpu(unused: Iterator[int]) -> int:
    """A GPU without errors."""
    return next(unused)


def wait_for_event(server: ServerProcess, gpu: int, xid: int) -> dict:
    """Wait for the event of this error and return it."""
    return until(
        lambda: next((e for e in server.events(type="xid") if (e["gpu_id"], e["xid"]) == (gpu, xid)), None), timeout=4
    )


def judged(server: ServerProcess, gpu: int, verdict: str) -> dict:
    """Wait for a state with this health verdict and return the GPU."""

    def look() -> dict | None:
        shown = server.details(gpu)
        return shown if shown["health"]["verdict"] == verdict else None

    return until(look, timeout=4)


@pytest.mark.parametrize("xid", CRITICAL)
def test_a_critical_error_makes_a_gpu_unhealthy(receiving: StandIn, server: ServerProcess, gpu: int, xid: int) -> None:
    receiving.raise_xid(gpu, xid)
    assert wait_for_event(server, gpu, xid)["severity"] == "critical"
    assert judged(server, gpu, "unhealthy")


def test_after_a_hung_kernel_the_driver_decides_whether_the_gpu_must_be_reset(
    receiving: StandIn, server: ServerProcess, gpu: int
) -> None:
    receiving.raise_xid(gpu, 109)
    assert wait_for_event(server, gpu, 109)["severity"] == "critical"
    assert judged(server, gpu, "degraded")["is_available"]  # the driver requests no action
    receiving.set(gpu, "recovery_action", 1)
    assert not judged(server, gpu, "unhealthy")["is_available"]


def test_a_gpu_with_a_critical_error_is_not_offered(receiving: StandIn, server: ServerProcess, gpu: int) -> None:
    receiving.raise_xid(gpu, 79)
    wait_for_event(server, gpu, 79)
    judged(server, gpu, "unhealthy")
    offered = [g["gpu_id"] for g in server.get("/gpu/available")["available_gpus"]]
    assert (0 in offered, gpu in offered) == (True, False)


def test_critical_error_is_reported_with_advice(receiving: StandIn, server: ServerProcess, gpu: int) -> None:
    receiving.raise_xid(gpu, 79)
    wait_for_event(server, gpu, 79)
    health = judged(server, gpu, "unhealthy")["health"]
    assert "Xid 79" in health["reasons"][0]
    assert health["suggested_actions"]


def test_contained_memory_error_degrades_an_available_gpu(receiving: StandIn, server: ServerProcess, gpu: int) -> None:
    receiving.raise_xid(gpu, 94)
    assert wait_for_event(server, gpu, 94)["severity"] == "warning"
    assert judged(server, gpu, "degraded")["is_available"]


@pytest.mark.parametrize("xid", OF_THE_APPLICATION)
def test_application_error_is_reported_and_changes_nothing(
    receiving: StandIn, server: ServerProcess, gpu: int, xid: int
) -> None:
    receiving.raise_xid(gpu, xid)
    assert wait_for_event(server, gpu, xid)["severity"] == "info"
    shown = server.details(gpu)
    assert (shown["health"]["verdict"], shown["is_available"]) == ("healthy", True)


def test_errors_are_counted_in_the_metrics_by_gpu_and_number(
    receiving: StandIn, server: ServerProcess, gpu: int
) -> None:
    uuid = server.gpu(gpu)["uuid"]
    for _ in range(3):
        # One incident, however often the driver reports it.
        receiving.raise_xid(gpu, 31)
    receiving.raise_xid(gpu, 79)

    def counts() -> dict[str, float]:
        return {
            name: value
            for name, value in server.metrics().items()
            if name.startswith("nvidia_smi_xid_errors_total{") and uuid in name
        }

    until(lambda: len(counts()) == 2, timeout=4)
    assert {name.split('xid="')[1].split('"')[0]: value for name, value in counts().items()} == {"31": 1, "79": 1}


def test_error_is_cleared_but_still_counted_after_the_gpu_was_lost_and_returned(
    receiving: StandIn, server: ServerProcess, gpu: int
) -> None:
    uuid = server.gpu(gpu)["uuid"]
    receiving.raise_xid(gpu, 79)
    wait_for_event(server, gpu, 79)
    receiving.lose(gpu)
    until(lambda: server.gpu(gpu)["status"] == "lost", timeout=3)
    receiving.restore(gpu)
    until(lambda: server.gpu(gpu)["status"] == "available", timeout=5)
    assert server.details(gpu)["health"]["verdict"] == "healthy"
    [count] = [v for name, v in server.metrics().items() if "xid_errors_total{" in name and uuid in name]
    assert count == 1


def test_errors_are_received_after_a_reinitialisation(receiving: StandIn, server: ServerProcess, gpu: int) -> None:
    receiving.fail_driver(9)
    until(lambda: server.get("/gpu/status")["source_problem"], timeout=3)
    receiving.restore()
    until(lambda: server.gpu(gpu)["is_available"], timeout=4)

    def has_event() -> bool:
        receiving.raise_xid(gpu, 998)
        return any((e["gpu_id"], e["xid"]) == (gpu, 998) for e in server.events(type="xid"))

    until(has_event, timeout=5)


def test_burst_of_errors_is_received_completely(receiving: StandIn, server: ServerProcess, gpu: int) -> None:
    with receiving.together():
        for xid in range(1, 101):
            receiving.raise_xid(gpu, xid)
    until(lambda: {e["xid"] for e in server.events(type="xid") if e["gpu_id"] == gpu} == set(range(1, 101)), timeout=5)


def test_requested_recovery_action_makes_a_gpu_unavailable(receiving: StandIn, server: ServerProcess, gpu: int) -> None:
    receiving.set(gpu, "recovery_action", 1)
    until(lambda: server.gpu(gpu)["status"] == "unknown", timeout=4)
    health = server.details(gpu)["health"]
    assert "recovery action 1" in health["reasons"][0]
    [asked] = [
        v for name, v in server.metrics().items() if "gpu_recovery_action{" in name and server.gpu(gpu)["uuid"] in name
    ]
    assert asked == 1
    receiving.set(gpu, "recovery_action", 0)
    until(lambda: server.gpu(gpu)["status"] == "available", timeout=4)


def test_gpu_without_events_does_not_prevent_events_of_others(machine: StandIn, serve: Serve) -> None:
    machine.add_gpus(2)
    machine.fail("nvmlDeviceRegisterEvents", 3, 0)
    server = serve()

    def has_event() -> bool:
        machine.raise_xid(1, 31)
        return bool(server.events(type="xid"))

    until(has_event, timeout=5)
