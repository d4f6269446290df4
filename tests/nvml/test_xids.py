"""Errors that the driver reports by itself."""

from collections.abc import Iterator

import pytest

from tests.e2e.server import ServerProcess, until
from tests.nvml.conftest import Serve
from tests.standin import StandIn

CRITICAL = (46, 48, 74, 79, 95, 143)
OF_THE_APPLICATION = (13, 31, 43)


#: One for each test, so that none sees what another one's has reported; the first only tells that errors are heard.
GPUS = 24


@pytest.fixture(scope="module")
def server(lasting_machine: StandIn, lasting_serve: Serve) -> ServerProcess:
    """GPUs whose errors are listened for."""
    lasting_machine.add_gpus(GPUS)
    started = lasting_serve()
    until(lambda: len(started.get("/gpu/available")["available_gpus"]) == GPUS)
    return started


@pytest.fixture(scope="module")
def unused() -> Iterator[int]:
    """The GPUs that no test has had."""
    return iter(range(1, GPUS))


@pytest.fixture
def hearing(lasting_machine: StandIn, server: ServerProcess) -> StandIn:
    """The machine, once errors are heard."""
    number = 1000 + len(server.events(type="xid"))

    def hears() -> bool:
        lasting_machine.raise_xid(0, number)
        return any(event["xid"] == number for event in server.events(type="xid"))

    # Nothing tells when the listening begins, so a harmless error is raised until one is heard.
    until(hears)
    return lasting_machine


@pytest.fixture
def gpu(unused: Iterator[int]) -> int:
    """A GPU that nothing has happened to."""
    return next(unused)


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
def test_a_critical_error_makes_a_gpu_unhealthy(hearing: StandIn, server: ServerProcess, gpu: int, xid: int) -> None:
    hearing.raise_xid(gpu, xid)
    assert heard(server, gpu, xid)["severity"] == "critical"
    assert judged(server, gpu, "unhealthy")


def test_after_a_hung_kernel_the_driver_says_whether_the_gpu_must_be_reset(
    hearing: StandIn, server: ServerProcess, gpu: int
) -> None:
    hearing.raise_xid(gpu, 109)
    assert heard(server, gpu, 109)["severity"] == "critical"
    assert judged(server, gpu, "degraded")["is_available"]  # the driver asks for nothing
    hearing.set(gpu, "recovery_action", 1)
    assert not judged(server, gpu, "unhealthy")["is_available"]


def test_a_gpu_with_a_critical_error_is_not_offered(hearing: StandIn, server: ServerProcess, gpu: int) -> None:
    hearing.raise_xid(gpu, 79)
    heard(server, gpu, 79)
    judged(server, gpu, "unhealthy")
    offered = [g["gpu_id"] for g in server.get("/gpu/available")["available_gpus"]]
    assert (0 in offered, gpu in offered) == (True, False)


def test_a_critical_error_is_said_with_what_to_do(hearing: StandIn, server: ServerProcess, gpu: int) -> None:
    hearing.raise_xid(gpu, 79)
    heard(server, gpu, 79)
    health = judged(server, gpu, "unhealthy")["health"]
    assert "Xid 79" in health["reasons"][0]
    assert health["suggested_actions"]


def test_a_contained_memory_error_degrades_a_gpu_that_can_still_be_had(
    hearing: StandIn, server: ServerProcess, gpu: int
) -> None:
    hearing.raise_xid(gpu, 94)
    assert heard(server, gpu, 94)["severity"] == "warning"
    assert judged(server, gpu, "degraded")["is_available"]


@pytest.mark.parametrize("xid", OF_THE_APPLICATION)
def test_a_fault_of_an_application_is_told_and_changes_nothing(
    hearing: StandIn, server: ServerProcess, gpu: int, xid: int
) -> None:
    hearing.raise_xid(gpu, xid)
    assert heard(server, gpu, xid)["severity"] == "info"
    shown = server.details(gpu)
    assert (shown["health"]["verdict"], shown["is_available"]) == ("healthy", True)


def test_errors_are_counted_in_the_metrics_by_gpu_and_number(hearing: StandIn, server: ServerProcess, gpu: int) -> None:
    uuid = server.gpu(gpu)["uuid"]
    for _ in range(3):
        # One incident, however often the driver tells of it.
        hearing.raise_xid(gpu, 31)
    hearing.raise_xid(gpu, 79)

    def counts() -> dict[str, float]:
        return {
            name: value
            for name, value in server.metrics().items()
            if name.startswith("nvidia_smi_xid_errors_total{") and uuid in name
        }

    until(lambda: len(counts()) == 2, timeout=4)
    assert {name.split('xid="')[1].split('"')[0]: value for name, value in counts().items()} == {"31": 1, "79": 1}


def test_an_error_is_forgiven_but_stays_counted_when_the_gpu_was_lost_and_has_returned(
    hearing: StandIn, server: ServerProcess, gpu: int
) -> None:
    uuid = server.gpu(gpu)["uuid"]
    hearing.raise_xid(gpu, 79)
    heard(server, gpu, 79)
    hearing.lose(gpu)
    until(lambda: server.gpu(gpu)["status"] == "lost", timeout=3)
    hearing.restore(gpu)
    until(lambda: server.gpu(gpu)["status"] == "available", timeout=5)
    assert server.details(gpu)["health"]["verdict"] == "healthy"
    [count] = [v for name, v in server.metrics().items() if "xid_errors_total{" in name and uuid in name]
    assert count == 1


def test_errors_are_heard_after_a_new_initialisation(hearing: StandIn, server: ServerProcess, gpu: int) -> None:
    hearing.fail_driver(9)
    until(lambda: server.get("/gpu/status")["source_problem"], timeout=3)
    hearing.restore()
    until(lambda: server.gpu(gpu)["is_available"], timeout=4)

    def hears() -> bool:
        hearing.raise_xid(gpu, 998)
        return any((e["gpu_id"], e["xid"]) == (gpu, 998) for e in server.events(type="xid"))

    until(hears, timeout=5)


def test_a_burst_of_errors_is_heard_whole(hearing: StandIn, server: ServerProcess, gpu: int) -> None:
    with hearing.together():
        for xid in range(1, 101):
            hearing.raise_xid(gpu, xid)
    until(lambda: {e["xid"] for e in server.events(type="xid") if e["gpu_id"] == gpu} == set(range(1, 101)), timeout=5)


def test_what_the_driver_asks_for_keeps_a_gpu_from_being_offered(
    hearing: StandIn, server: ServerProcess, gpu: int
) -> None:
    hearing.set(gpu, "recovery_action", 1)
    until(lambda: server.gpu(gpu)["status"] == "unknown", timeout=4)
    health = server.details(gpu)["health"]
    assert "recovery action 1" in health["reasons"][0]
    [asked] = [
        v for name, v in server.metrics().items() if "gpu_recovery_action{" in name and server.gpu(gpu)["uuid"] in name
    ]
    assert asked == 1
    hearing.set(gpu, "recovery_action", 0)
    until(lambda: server.gpu(gpu)["status"] == "available", timeout=4)


def test_a_gpu_without_events_does_not_deafen_the_others(machine: StandIn, serve: Serve) -> None:
    machine.add_gpus(2)
    machine.fail("nvmlDeviceRegisterEvents", 3, 0)
    server = serve()

    def hears() -> bool:
        machine.raise_xid(1, 31)
        return bool(server.events(type="xid"))

    until(hears, timeout=5)
