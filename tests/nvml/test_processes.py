"""The processes on a GPU: real processes of this machine, listed by the fake NVML."""

import getpass
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import psutil
import pytest

from tests.e2e.server import ServerProcess, until
from tests.nvml.conftest import Serve
from tests.nvml.probe import Probe
from tests.standin import StandIn

GIB = 1 << 30
#: Greater than any pid (PID_MAX_LIMIT of Linux is 2^22).
NO_PID = 5_000_000


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that does nothing."""
    child = subprocess.Popen(["sleep", "120"])
    yield child
    child.kill()
    child.wait()


@pytest.fixture
def parent_and_child(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """A living parent with its child, and both pids."""
    expected_details = tmp_path / "child.pid"
    parent = subprocess.Popen(
        ["sh", "-c", 'sleep 120 & echo $! > "$0.new"; mv "$0.new" "$0"; wait', str(expected_details)]
    )
    child = int(until(lambda: expected_details.exists() and expected_details.read_text().strip()))
    yield parent.pid, child
    parent.kill()
    parent.wait()
    psutil.Process(child).kill()


@pytest.fixture
def gpu(probe_machine: StandIn) -> StandIn:
    """One idle GPU."""
    if not probe_machine._gpus:
        probe_machine.add_gpus(1)
    # Without error events, so a sweep does not wait for them.
    probe_machine.fail("nvmlEventSetCreate", 3)
    return occupy(probe_machine, 4 << 20, [])


def occupy(machine: StandIn, used: int, compute: list, graphics: list | None = None, gpu: int = 0) -> StandIn:
    """Put processes on a GPU, with enough memory in use for an immediate process list."""
    with machine.together():
        machine.set(gpu, "memory_used", used)
        machine.set_processes(gpu, compute)
        machine.set_processes(gpu, graphics or [], "graphics")
    return machine


def test_a_process_is_shown_with_its_memory_in_megabytes(
    gpu: StandIn, probe: Probe, sleeper: subprocess.Popen[bytes]
) -> None:
    occupy(gpu, 3 * GIB, [(sleeper.pid, 2 * GIB)])
    [process] = probe.details()["processes"]
    assert (process["pid"], process["memory"], process["type"]) == (sleeper.pid, 2048, "compute")


def test_a_process_is_shown_with_its_user(gpu: StandIn, probe: Probe, sleeper: subprocess.Popen[bytes]) -> None:
    occupy(gpu, GIB, [(sleeper.pid, GIB)])
    assert probe.details()["processes"][0]["user"] == getpass.getuser()


def test_a_process_is_shown_with_its_command(gpu: StandIn, probe: Probe, sleeper: subprocess.Popen[bytes]) -> None:
    occupy(gpu, GIB, [(sleeper.pid, GIB)])
    assert probe.details()["processes"][0]["command"] == "sleep 120"


def test_a_process_is_shown_with_its_start(gpu: StandIn, probe: Probe, sleeper: subprocess.Popen[bytes]) -> None:
    occupy(gpu, GIB, [(sleeper.pid, GIB)])
    started = datetime.fromisoformat(probe.details()["processes"][0]["started_at"]).timestamp()
    assert abs(started - psutil.Process(sleeper.pid).create_time()) <= 1


def test_invisible_process_is_listed_with_nulls_and_the_reason(gpu: StandIn, probe: Probe) -> None:
    occupy(gpu, GIB, [(NO_PID, GIB)])
    [process] = probe.details()["processes"]
    hidden = ("user", "command", "started_at", "host_memory")
    assert {name: process[name] for name in hidden} == dict.fromkeys(hidden)
    assert process["unavailable"] == dict.fromkeys(hidden, "process_not_visible")


def test_unknown_process_memory_is_null(gpu: StandIn, probe: Probe, sleeper: subprocess.Popen[bytes]) -> None:
    occupy(gpu, GIB, [(sleeper.pid, None)])
    [process] = probe.details()["processes"]
    assert (process["memory"], process["unavailable"]) == (None, {"memory": "unsupported"})


def test_process_with_compute_and_graphics_is_listed_once(
    gpu: StandIn, probe: Probe, sleeper: subprocess.Popen[bytes]
) -> None:
    occupy(gpu, GIB, [(sleeper.pid, GIB)], [(sleeper.pid, GIB)])
    assert [(p["pid"], p["type"]) for p in probe.details()["processes"]] == [(sleeper.pid, "compute+graphics")]


def test_process_memory_in_only_one_of_two_lists_is_used(
    gpu: StandIn, probe: Probe, sleeper: subprocess.Popen[bytes]
) -> None:
    occupy(gpu, GIB, [(sleeper.pid, None)], [(sleeper.pid, GIB)])
    assert [p["memory"] for p in probe.details()["processes"]] == [1024]


def test_process_memory_on_several_slices_is_not_lost(
    gpu: StandIn, probe: Probe, sleeper: subprocess.Popen[bytes]
) -> None:
    # With MIG a process can use two slices, and NVML lists it once for each.
    occupy(gpu, 3 * GIB, [(sleeper.pid, GIB, 1, 0), (sleeper.pid, 2 * GIB, 2, 0)])
    assert sum(process["memory"] for process in probe.details()["processes"]) == 3 * 1024


def test_forty_processes_are_all_listed(gpu: StandIn, probe: Probe) -> None:
    occupy(gpu, 40 * GIB, [(NO_PID + i, GIB) for i in range(40)])
    assert len(probe.details()["processes"]) == 40


@pytest.mark.parametrize("code", [3, 4])
def test_unlistable_processes_are_null_not_empty(gpu: StandIn, probe: Probe, code: int) -> None:
    for kind in ("Compute", "Graphics"):
        for version in (2, 3):
            gpu.fail(f"nvmlDeviceGet{kind}RunningProcesses_v{version}", code)
    try:
        details = probe.details()
    finally:
        gpu.restore()
        gpu.fail("nvmlEventSetCreate", 3)
    assert details["processes"] is None
    assert details["unavailable"]["processes"] == {3: "unsupported", 4: "no_permission"}[code]


@pytest.mark.parametrize(("code", "reason"), [(3, "unsupported"), (4, "no_permission"), (999, "nvml_error_999")])
def test_failing_compute_list_alone_is_not_empty(gpu: StandIn, probe: Probe, code: int, reason: str) -> None:
    for version in (2, 3):
        gpu.fail(f"nvmlDeviceGetComputeRunningProcesses_v{version}", code)
    try:
        details = probe.details()
    finally:
        gpu.restore()
        gpu.fail("nvmlEventSetCreate", 3)
    assert details["processes"] is None
    assert details["unavailable"]["processes"] == reason
    assert not details["is_available"]
    assert reason in details["status_reason"]


def test_failing_graphics_list_alone_is_not_empty(gpu: StandIn, probe: Probe) -> None:
    gpu.fail("nvmlDeviceGetGraphicsRunningProcesses_v3", 4)
    try:
        details = probe.details()
    finally:
        gpu.restore()
        gpu.fail("nvmlEventSetCreate", 3)
    assert (details["processes"], details["is_available"]) == (None, False)


def test_board_without_graphics_needs_no_graphics_list(gpu: StandIn, probe: Probe) -> None:
    for version in (2, 3):
        gpu.fail(f"nvmlDeviceGetGraphicsRunningProcesses_v{version}", 3)
    try:
        details = probe.details()
    finally:
        gpu.restore()
        gpu.fail("nvmlEventSetCreate", 3)
    assert (details["processes"], details["is_available"]) == ([], True)


def test_an_older_driver_lists_processes_by_the_older_function(
    gpu: StandIn, probe: Probe, sleeper: subprocess.Popen[bytes]
) -> None:
    for kind in ("Compute", "Graphics"):
        gpu.fail(f"nvmlDeviceGet{kind}RunningProcesses_v3", 13)
    occupy(gpu, GIB, [(sleeper.pid, GIB)])
    try:
        processes = probe.details()["processes"]
    finally:
        gpu.restore()
        gpu.fail("nvmlEventSetCreate", 3)
    assert [(p["pid"], p["memory"]) for p in processes or []] == [(sleeper.pid, 1024)]


def test_a_desktop_does_not_make_a_gpu_busy(gpu: StandIn, probe: Probe) -> None:
    occupy(gpu, 700 << 20, [], [(NO_PID, 650 << 20)])
    assert probe.gpu()["status"] == "available"


def test_unexplained_memory_makes_a_gpu_busy(gpu: StandIn, probe: Probe) -> None:
    occupy(gpu, 8 * GIB, [])
    shown = probe.gpu()
    assert (shown["status"], shown["is_available"]) == ("busy", False)


def test_a_foreign_process_makes_a_gpu_busy_and_is_named(
    gpu: StandIn, probe: Probe, sleeper: subprocess.Popen[bytes]
) -> None:
    occupy(gpu, 2 * GIB, [(sleeper.pid, 2 * GIB)])
    shown = probe.gpu()
    assert shown["status"] == "busy"
    for part in (f"pid {sleeper.pid}", getpass.getuser(), "2,048 MB", "sleep 120"):
        assert part in shown["status_reason"]


# -- with tasks: a server that goes on sweeping ------------------------------------------------------------------------


@pytest.fixture
def busy_server(machine: StandIn, serve: Serve) -> ServerProcess:
    """Two idle GPUs with a server."""
    machine.add_gpus(2)
    return serve()


def test_foreign_process_makes_a_gpu_unavailable_within_three_sweeps(
    machine: StandIn, busy_server: ServerProcess, sleeper: subprocess.Popen[bytes]
) -> None:
    occupy(machine, 2 * GIB, [(sleeper.pid, 2 * GIB)])
    until(lambda: [g["gpu_id"] for g in busy_server.get("/gpu/available")["available_gpus"]] == [1], timeout=3)


def test_gpu_is_available_again_when_the_foreign_process_has_ended(
    machine: StandIn, busy_server: ServerProcess, sleeper: subprocess.Popen[bytes]
) -> None:
    occupy(machine, 2 * GIB, [(sleeper.pid, 2 * GIB)])
    until(lambda: busy_server.gpu(0)["status"] == "busy")
    occupy(machine, 4 << 20, [])
    until(lambda: busy_server.gpu(0)["status"] == "available", timeout=3)


def test_process_of_a_task_belongs_to_it(
    machine: StandIn, busy_server: ServerProcess, sleeper: subprocess.Popen[bytes]
) -> None:
    task = busy_server.register(gpu_ids=[0], pid=sleeper.pid).json()["data"]
    occupy(machine, 2 * GIB, [(sleeper.pid, 2 * GIB)])
    [process] = until(lambda: busy_server.details(0)["processes"])
    assert process["task_id"] == task["task_id"]
    assert busy_server.gpu(0)["status"] == "training"


def test_descendant_of_a_tasks_process_belongs_to_it(
    machine: StandIn, busy_server: ServerProcess, parent_and_child: tuple[int, int]
) -> None:
    parent, child = parent_and_child
    task = busy_server.register(gpu_ids=[0], pid=parent).json()["data"]
    occupy(machine, 2 * GIB, [(child, 2 * GIB)])
    [process] = until(lambda: busy_server.details(0)["processes"])
    assert process["task_id"] == task["task_id"]


def test_other_process_on_a_tasks_gpu_does_not_belong_to_the_task(
    machine: StandIn, busy_server: ServerProcess, sleeper: subprocess.Popen[bytes], parent_and_child: tuple[int, int]
) -> None:
    busy_server.register(gpu_ids=[0], pid=sleeper.pid)
    occupy(machine, 2 * GIB, [(parent_and_child[1], 2 * GIB)])
    [process] = until(lambda: busy_server.details(0)["processes"])
    assert process["task_id"] is None


def test_released_gpu_drains_until_its_memory_is_free(
    machine: StandIn, busy_server: ServerProcess, sleeper: subprocess.Popen[bytes]
) -> None:
    task = busy_server.register(gpu_ids=[0], pid=sleeper.pid).json()["data"]
    occupy(machine, 2 * GIB, [(sleeper.pid, 2 * GIB)])
    until(lambda: busy_server.details(0)["processes"])
    busy_server.client.delete(f"/api/v1/gpu/tasks/{task['task_id']}")
    seen = busy_server.gpu(0)["status"]
    occupy(machine, 4 << 20, [])
    until(lambda: busy_server.gpu(0)["status"] == "available", timeout=3)
    assert seen == "draining"


def test_a_task_whose_process_dies_is_released_with_an_event(
    busy_server: ServerProcess, sleeper: subprocess.Popen[bytes]
) -> None:
    task = busy_server.register(gpu_ids=[0, 1], pid=sleeper.pid).json()["data"]
    sleeper.kill()
    sleeper.wait()
    until(lambda: busy_server.get("/gpu/tasks")["tasks"] == [], timeout=3)
    assert [e["message"] for e in busy_server.events(type="task")] == [
        f"{task['task_id']} was released: its process {sleeper.pid} has ended"
    ]


def test_zombie_does_not_keep_its_gpu(busy_server: ServerProcess, sleeper: subprocess.Popen[bytes]) -> None:
    busy_server.register(gpu_ids=[0], pid=sleeper.pid)
    sleeper.kill()
    # Not reaped, so it stays a zombie of this test.
    until(lambda: busy_server.get("/gpu/tasks")["tasks"] == [], timeout=3)
