"""The library and the driver as a whole: absent, broken, failing, empty, late, and recovered."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.server import ServerProcess, until
from tests.nvml.conftest import Serve
from tests.standin import StandIn, compiler

#: Words of the remedy for each code of NVML.
REMEDIES = {1: "code 1", 4: "/dev/nvidia", 9: "modprobe", 15: "code 15", 18: "reboot", 999: "code 999"}


def status(server: ServerProcess) -> dict[str, Any]:
    answer: dict[str, Any] = server.get("/gpu/status")
    return answer


def is_working(server: ServerProcess, gpus: int) -> bool:
    """Return whether all GPUs of the machine are offered without problems."""
    answer = status(server)
    return answer["source_problem"] is None and answer["summary"]["available_gpus"] == gpus == len(answer["gpus"])


def empty_path(tmp_path: Path) -> dict[str, str]:
    """Return the settings with which no library is found until one is installed."""
    folder = tmp_path / "lib"
    folder.mkdir()
    return {"LD_LIBRARY_PATH": str(folder), "STANDIN_NVML_STATE": str(tmp_path / "machine" / "state")}


@pytest.fixture
def needs_no_nvml() -> None:
    """These tests are about a machine without the library."""
    folders = (
        "/usr/lib",
        "/usr/lib64",
        "/lib",
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/wsl/lib",
        "/usr/local/nvidia/lib64",
    )
    if any((Path(folder) / "libnvidia-ml.so.1").exists() for folder in folders):
        pytest.skip("this machine has NVIDIA's own library")


def test_driver_failing_at_the_start_is_reported_and_never_replaced_by_simulated_gpus_until_it_works(
    machine: StandIn, serve: Serve
) -> None:
    machine.add_gpus(2)
    machine.fail_driver(9)
    server = serve(GPU_SOURCE="auto")
    problem = until(lambda: status(server)["source_problem"])
    assert (status(server)["source"], status(server)["gpus"]) == ("nvml", [])
    ready = server.client.get("/health/ready")
    assert (server.client.get("/health").status_code, ready.status_code) == (200, 503)
    assert problem in ready.json()["error"]["detail"]
    machine.restore()
    until(lambda: is_working(server, 2), timeout=3)


@pytest.fixture(scope="module")
def lasting_server(lasting_machine: StandIn, lasting_serve: Serve) -> ServerProcess:
    """Two GPUs of a driver that works at the start."""
    lasting_machine.add_gpus(2)
    return lasting_serve()


@pytest.fixture
def server(lasting_machine: StandIn, lasting_server: ServerProcess) -> Iterator[ServerProcess]:
    """The same GPUs, working before each test."""
    until(lambda: is_working(lasting_server, 2))
    yield lasting_server
    lasting_machine.restore()


def test_driver_failing_later_makes_every_gpu_unavailable_with_the_reason(
    lasting_machine: StandIn, server: ServerProcess
) -> None:
    before = [(g["gpu_id"], g["uuid"], g["name"]) for g in server.gpus()]
    lasting_machine.fail_driver(9)
    until(lambda: status(server)["source_problem"], timeout=3)
    gpus = server.gpus()
    assert [g["is_available"] for g in gpus] == [False, False]
    assert all("modprobe" in g["status_reason"] for g in gpus)
    assert [(g["gpu_id"], g["uuid"], g["name"]) for g in gpus] == before


@pytest.mark.parametrize("code", REMEDIES)
def test_failing_driver_is_reported_with_its_remedy_and_used_again_without_a_restart_or_a_traceback(
    lasting_machine: StandIn, server: ServerProcess, code: int
) -> None:
    lasting_machine.fail_driver(code)
    problem = until(lambda: status(server)["source_problem"], timeout=3)
    assert f"code {code}" in problem or f"({code})" in problem
    assert REMEDIES[code] in problem or "container" in problem
    lasting_machine.restore()
    until(lambda: is_working(server, 2), timeout=3)
    assert server.tracebacks() == []


def test_failure_and_recovery_are_two_events_however_long_it_takes(
    lasting_machine: StandIn, server: ServerProcess
) -> None:
    before = len(server.events(type="source"))
    lasting_machine.fail_driver(9)
    until(lambda: status(server)["source_problem"], timeout=3)
    taken = server.get("/gpu/status")["timestamp"]
    until(lambda: server.get("/gpu/status")["timestamp"] != taken)
    lasting_machine.restore()
    until(lambda: is_working(server, 2), timeout=3)
    events = server.events(type="source")
    new = events[: len(events) - before]
    assert [(e["previous"], e["current"]) for e in new] == [("failing", "ok"), ("ok", "failing")]


def test_drivers_error_code_is_in_the_metrics_while_it_fails(lasting_machine: StandIn, server: ServerProcess) -> None:
    lasting_machine.fail_driver(9)
    until(lambda: status(server)["source_problem"], timeout=3)
    metrics = server.metrics()
    assert metrics["nvidia_smi_nvml_return_code"] == 9
    assert metrics["nvidia_smi_last_collect_success"] == 0


def test_driver_without_gpus_is_a_failure_and_keeps_known_gpus_as_unavailable(machine: StandIn, serve: Serve) -> None:
    server = serve()
    assert "no GPU" in until(lambda: status(server)["source_problem"])
    machine.add_gpus(2)
    until(lambda: is_working(server, 2), timeout=3)
    machine.set(None, "count", 0)
    until(lambda: status(server)["source_problem"], timeout=3)
    assert [(g["gpu_id"], g["is_available"]) for g in server.gpus()] == [(0, False), (1, False)]


def remove_gpu(machine: StandIn, index: int) -> None:
    """Remove a GPU: the driver renumbers those after it."""
    with machine.together():
        del machine._gpus[index]
        # The rendered form contains the index.
        machine._rendered[:] = [None] * len(machine._gpus)


def test_gpu_missing_from_the_list_is_lost_and_renumbered_gpus_keep_their_readings_and_tasks(
    machine: StandIn, serve: Serve
) -> None:
    machine.add_gpus(3)
    for index in range(3):
        machine.set(index, "temperature", 40 + index)
    server = serve()
    until(lambda: is_working(server, 3))
    uuids = [g["uuid"] for g in server.gpus()]
    server.register(gpu_ids=[2], task_id="mine")
    remove_gpu(machine, 1)
    until(lambda: server.details(uuids[1])["status"] == "lost", timeout=3)
    assert server.details(uuids[1])["is_available"] is False
    until(lambda: server.details(uuids[2])["gpu_id"] == 1, timeout=3)
    assert {g["uuid"]: g["temperature"]["gpu"] for g in server.gpus()} == {uuids[0]: 40, uuids[1]: None, uuids[2]: 42}
    assert {g["uuid"]: g["status"] for g in server.gpus()}[uuids[2]] == "training"


def test_corrupt_library_is_reported_and_never_simulated(machine: StandIn, serve: Serve, tmp_path: Path) -> None:
    settings = empty_path(tmp_path)
    (tmp_path / "lib" / "libnvidia-ml.so.1").write_text("this is no library\n" * 100)
    server = serve(GPU_SOURCE="auto", **settings)
    problem = until(lambda: status(server)["source_problem"])
    assert "invalid ELF header" in problem
    assert (status(server)["source"], status(server)["gpus"]) == ("nvml", [])


def test_library_with_a_missing_dependency_is_reported_and_never_simulated(
    machine: StandIn, serve: Serve, tmp_path: Path
) -> None:
    settings = empty_path(tmp_path)
    gcc = compiler()
    assert gcc is not None
    folder, needed = tmp_path / "lib", tmp_path / "libneeded.so"
    subprocess.run([gcc, "-shared", "-o", needed, "-Wl,-soname,libneeded.so", "-xc", "/dev/null"], check=True)
    subprocess.run(
        [
            gcc,
            "-shared",
            "-Wl,--no-as-needed",
            "-o",
            folder / "libnvidia-ml.so.1",
            "-xc",
            "/dev/null",
            "-xnone",
            needed,
        ],
        check=True,
    )
    needed.unlink()
    server = serve(GPU_SOURCE="auto", **settings)
    assert "libneeded.so" in until(lambda: status(server)["source_problem"])


def test_absent_library_is_reported_if_nvml_is_required_until_it_is_installed(
    needs_no_nvml: None, machine: StandIn, serve: Serve, tmp_path: Path, library: Path
) -> None:
    machine.add_gpus(2)
    server = serve(GPU_SOURCE="nvml", **empty_path(tmp_path))
    problem = until(lambda: status(server)["source_problem"])
    assert "libnvidia-ml.so.1" in problem
    assert status(server)["gpus"] == []
    (tmp_path / "lib" / "libnvidia-ml.so.1").symlink_to(library)
    until(lambda: status(server)["source"] == "nvml" and is_working(server, 2), timeout=3)


def test_absent_library_leads_to_labelled_simulated_gpus_that_vanish_when_it_is_installed(
    needs_no_nvml: None, machine: StandIn, serve: Serve, tmp_path: Path, library: Path
) -> None:
    machine.add_gpus(2)
    server = serve(GPU_SOURCE="auto", **empty_path(tmp_path))
    answer = until(lambda: status(server) if status(server)["gpus"] else None)
    assert (answer["source"], answer["gpus"][0]["driver_version"]) == ("simulated", "simulated")
    server.register(gpu_ids=[0], task_id="on-a-simulated-gpu")
    (tmp_path / "lib" / "libnvidia-ml.so.1").symlink_to(library)
    until(lambda: status(server)["source"] == "nvml" and is_working(server, 2), timeout=3)
    assert server.get("/gpu/tasks")["tasks"] == []
