"""Stopping while the driver hangs."""

import signal
from collections.abc import Iterator

import pytest

from tests.e2e.server import until
from tests.nvml.conftest import Serve
from tests.standin import StandIn

MINUTE_MS = 60_000
ENDS_WITHIN = 5.0


@pytest.fixture
def gpus(machine: StandIn) -> Iterator[StandIn]:
    """Eight GPUs."""
    machine.add_gpus(8)
    yield machine
    machine.restore()


def test_server_stops_in_time_while_every_gpu_hangs(gpus: StandIn, serve: Serve) -> None:
    server = serve()
    until(lambda: server.get("/gpu/available")["total_available"] == 8)
    for index in range(8):
        gpus.hang(index, MINUTE_MS)
    until(lambda: server.get("/gpu/available")["total_available"] == 0, timeout=4)
    server.send_signal(signal.SIGINT)
    assert server.wait(ENDS_WITHIN) == 0
    assert server.tracebacks() == []


@pytest.mark.parametrize("function", ["nvmlInitWithFlags", "nvmlEventSetWait_v2"])
def test_server_stops_in_time_while_the_driver_hangs(gpus: StandIn, serve: Serve, function: str) -> None:
    gpus.delay(function, MINUTE_MS)
    server = serve()
    assert server.client.get("/health").status_code == 200
    server.send_signal(signal.SIGTERM)
    assert server.wait(ENDS_WITHIN) == 0
    assert server.tracebacks() == []
