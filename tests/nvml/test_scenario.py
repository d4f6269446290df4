"""One machine with many failures: GPUs lost and hung, the driver lost, and all recovered without a restart."""

import time
from statistics import median

import pytest

from tests.e2e.server import ServerProcess, until
from tests.nvml.conftest import Serve
from tests.nvml.test_lost_and_hung import MINUTE_MS, Watch
from tests.standin import StandIn

COUNT = 8
LOST, HUNG = 3, 5
OTHERS = [i for i in range(COUNT) if i not in (LOST, HUNG)]
INTERVAL = 0.2
#: Three sweeps, plus a reading's maximum age, plus slack for a loaded machine.
SOON = 3 * INTERVAL + 1.0 + 2.0


def offered(server: ServerProcess) -> list[int]:
    return sorted(g["gpu_id"] for g in server.get("/gpu/available")["available_gpus"])


@pytest.mark.quick
def test_every_failure_shows_soon_and_recovers_while_the_rest_stays_correct(machine: StandIn, serve: Serve) -> None:
    machine.add_gpus(COUNT)
    for index in range(COUNT):
        machine.set(index, "temperature", 40 + index)
    server = serve(GPU_MONITOR_INTERVAL=str(INTERVAL))
    until(lambda: offered(server) == list(range(COUNT)))
    uuids = [g["uuid"] for g in server.gpus()]
    threads, memory = server.threads(), server.memory()
    try:
        with Watch(server) as watch:
            for _ in range(2):
                machine.lose(LOST)
                until(lambda: server.gpu(LOST)["status"] == "lost", timeout=SOON)
                machine.hang(HUNG, MINUTE_MS)
                until(lambda: server.gpu(HUNG)["status"] == "unknown", timeout=SOON)
                assert offered(server) == OTHERS
                machine.restore(HUNG)
                until(lambda: server.gpu(HUNG)["status"] == "available", timeout=SOON)
                machine.restore(LOST)
                until(lambda: offered(server) == list(range(COUNT)), timeout=SOON)
        during_gpu_faults = {
            index: watch.wrong(
                index, lambda g, i=index: (g["status"], g["temperature"]["gpu"]) == ("available", 40 + i)
            )
            for index in OTHERS
        }
        with Watch(server) as while_driver_fails:
            machine.fail_driver(999)
            until(lambda: offered(server) == [], timeout=SOON)
            machine.restore()
            until(lambda: offered(server) == list(range(COUNT)), timeout=SOON)
    finally:
        machine.restore()
    assert during_gpu_faults == {index: [] for index in OTHERS}
    assert [g["uuid"] for g in server.gpus()] == uuids
    assert watch.failures == while_driver_fails.failures == []
    assert median(watch.seconds + while_driver_fails.seconds) < 0.5
    assert max(watch.p95(), while_driver_fails.p95()) < 2
    assert server.threads() <= threads + 1
    assert server.memory() - memory < 30 << 20
    assert server.tracebacks() == []


def test_fifty_losses_do_not_leak_memory_threads_or_files(machine: StandIn, serve: Serve) -> None:
    machine.add_gpus(4)
    server = serve(GPU_MONITOR_INTERVAL="0.1")
    until(lambda: offered(server) == [0, 1, 2, 3])
    before = server.threads(), server.memory(), server.files()
    for round_ in range(50):
        machine.lose(round_ % 4)
        moment = time.monotonic()
        until(lambda moment=moment: time.monotonic() - moment > 0.1)
        machine.restore()
    until(lambda: offered(server) == [0, 1, 2, 3], timeout=5)
    after = server.threads(), server.memory(), server.files()
    assert (after[0] - before[0] <= 1, after[1] - before[1] < 30 << 20, after[2] - before[2] <= 3) == (True, True, True)
