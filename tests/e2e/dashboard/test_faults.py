"""Failing GPUs and drivers in a browser, with reason and remedy."""

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.dashboard.conftest import Open
from tests.e2e.server import until
from tests.e2e.training_server import TrainingServer
from tests.standin import StandIn, compiler

MINUTE_MS = 60_000


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    """Six GPUs; hanging calls are released at the end, so that the server can stop."""
    if compiler() is None:
        why = "no C compiler on PATH: the stand-in for libnvidia-ml.so.1 cannot be built"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    made = StandIn(tmp_path_factory.mktemp("machine"))
    made.add_gpus(6)
    yield made
    made.restore()


@pytest.fixture(scope="module")
def faulty(machine: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainingServer]:
    """A server with GPUs that are lost, hung, unhealthy, degraded, draining and healthy, in this order."""
    settings = {"GPU_SOURCE": "nvml", **machine.environment()}
    with TrainingServer(tmp_path_factory.mktemp("faulty"), **settings) as server:
        until(lambda: len(server.get("/gpu/available")["available_gpus"]) == 6)

        def receives_xid() -> bool:
            machine.raise_xid(5, 43)
            return bool(server.events(type="xid"))

        until(receives_xid, what="the server to listen for Xid errors")
        server.register(gpu_ids=[4], task_id="ended")
        machine.set(4, "memory_used", 20_000 << 20)
        until(lambda: server.gpu(4)["memory"]["used"] > 10_000)
        assert server.client.delete("/api/v1/gpu/tasks/ended").status_code == 200
        machine.raise_xid(2, 79)
        machine.raise_xid(3, 94)
        until(lambda: server.details(2)["health"]["verdict"] == "unhealthy")
        machine.lose(0)
        machine.hang(1, 10 * MINUTE_MS)
        until(lambda: server.gpu(1)["stale"] and server.gpu(0)["status"] == "lost")
        yield server
        machine.restore()


def card(page: Page, gpu: int) -> Locator:
    return page.get_by_role("article", name=f"GPU {gpu}")


def test_each_fault_shows_reason_and_remedy(open_page: Open, faulty: TrainingServer) -> None:
    page = open_page("#/gpus", at=faulty)
    for gpu, status, reason, remedy in (
        (0, "lost", "the driver has lost this GPU", "reboot"),
        (1, "unknown", "a driver call has not returned for", "nvidia-smi"),
        (2, "unknown", "the driver reported Xid 79", "reboot"),
        (3, "available", "the driver reported Xid 94", "restart the program"),
        (4, "draining", "its task has ended, but", "still in use"),
    ):
        shown = card(page, gpu)
        expect(shown.locator(".status")).to_have_text(status)
        expect(shown.get_by_text(reason)).to_have_count(1)
        expect(shown.locator(".condition")).to_contain_text(remedy)
    expect(card(page, 5).locator(".condition")).to_be_empty()


def test_one_stale_reading_is_marked_alone(open_page: Open, faulty: TrainingServer) -> None:
    page = open_page("#/gpus", at=faulty)
    expect(card(page, 1).locator(".age")).to_contain_text("old")
    expect(card(page, 5).locator(".age")).to_be_hidden()
    expect(page.locator(".banner.stale")).to_be_hidden()


def test_page_of_an_unreadable_gpu_shows_no_values(open_page: Open, faulty: TrainingServer) -> None:
    page = open_page("#/gpu/1", at=faulty)
    expect(page.locator(".condition")).to_contain_text("a driver call has not returned for")
    expect(page.get_by_text("The processes using its memory cannot be read at the moment.")).to_be_visible()


def test_failing_driver_is_reported_once(open_page: Open, faulty: TrainingServer, machine: StandIn) -> None:
    page = open_page("#/gpus", at=faulty)
    machine.fail_driver(999)
    problem = page.locator("main > .screen > div > .note")
    expect(problem).to_contain_text("The driver returns no readings.")
    expect(problem.locator("code").first).to_have_text("nvidia-smi")
    expect(page.locator(".banner.stale")).to_be_visible()
    expect(page.locator(".gpu-card .condition", has_text="NVML fails")).to_have_count(0)
    page.goto(page.url.split("#")[0] + "#/gpu/5")
    expect(page.get_by_role("heading", name="GPU 5", level=1)).to_be_visible()
    expect(page.locator(".condition")).to_contain_text("NVML fails with code 999")
