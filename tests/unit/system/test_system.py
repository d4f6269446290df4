from pathlib import Path

import pytest

from api import __version__
from api.domain.tasks.training import TaskStatus
from api.executors.executor import NodeState
from api.gpus.service import GPUService
from api.system.service import SystemService, TrainingSetup
from api.trainers.diffusion_pipe.trainer import DiffusionPipe
from api.trainers.toy.trainer import Toy
from api.training.cluster import ClusterNodes
from api.util.clock import FakeClock


class FakeTrainings:
    """Trainings that are only counted."""

    def count(self) -> dict[TaskStatus, int]:
        return {**dict.fromkeys(TaskStatus, 0), TaskStatus.RUNNING: 2, TaskStatus.FAILED: 1}


@pytest.fixture
def system(service: GPUService, clock: FakeClock, tmp_path: Path) -> SystemService:
    return SystemService(service, FakeTrainings(), clock, tmp_path)


def test_health_reports_version_and_whole_seconds(system: SystemService, clock: FakeClock):
    clock.advance(61.9)
    health = system.get_health()
    assert (health.status, health.version, health.uptime) == ("ok", __version__, 61)


def test_health_reports_a_cluster_without_reported_gpus(system: SystemService, service: GPUService, sweep):
    service.offer_from(lambda: ["n1", "n2"])
    sweep()
    health = system.get_health()
    assert (health.status, "run ROLE=node there" in health.problems[0]) == ("degraded", True)
    service.offer_from(lambda: [service.state.node])
    sweep()
    assert system.get_health().problems == ()


def test_overview_shows_the_disk_of_the_storage(system: SystemService, tmp_path: Path):
    assert [disk.path for disk in system.get_overview().system.disks] == ["/", str(tmp_path)]


def test_overview_reports_trainers_that_are_not_installed_with_a_remedy(
    service: GPUService, clock: FakeClock, tmp_path: Path
):
    trainers = (DiffusionPipe(None, None), Toy())
    system = SystemService(service, FakeTrainings(), clock, tmp_path, setup=TrainingSetup(trainers))
    missing, toy = system.get_overview().trainers
    assert (missing.ready, toy.ready, toy.problems) == (False, True, ())
    assert [problem.code for problem in missing.problems] == ["trainer_not_found", "interpreter_not_found"]
    assert "DIFFUSION_PIPE_ROOT" in missing.problems[0].remedy
    assert "sdxl" in missing.model_types


def test_overview_has_the_same_values_in_flat_fields(system: SystemService):
    shown = system.get_overview().system
    assert (shown.memory_total, shown.memory_used) == (shown.memory.total, shown.memory.used)
    assert (shown.disk_total, shown.cpu_usage) == (shown.disks[-1].total, shown.cpu_percent)


def test_overview_names_its_machine(system: SystemService):
    assert [(node.name, node.state) for node in system.get_overview().nodes] == [("here", "up")]


def test_cpu_usage_is_measured_once_per_sweep(
    system: SystemService, service: GPUService, sweep, monkeypatch: pytest.MonkeyPatch
):
    measured: list[int] = []
    monkeypatch.setattr(system._cpu, "measure", lambda: measured.append(1))
    service.subscribe(system.note_state)
    sweep()
    for _ in range(3):
        system.get_overview()
        service.republish()
    assert len(measured) == 1
    sweep()
    assert len(measured) == 2


def test_metrics_of_the_machine_omit_unknown_values(system: SystemService):
    shown = {family.name: family.samples[0].value for family in system.collect()}
    assert shown["diffusion_pipe_host_memory_total_bytes"] > shown["diffusion_pipe_host_memory_available_bytes"] > 0
    assert "diffusion_pipe_host_cpu_ratio" not in shown
    system._cpu.percent = 25.0
    shown = {family.name: family.samples[0].value for family in system.collect()}
    assert shown["diffusion_pipe_host_cpu_ratio"] == 0.25


def test_overview_reports_the_executor_and_its_options(service: GPUService, clock: FakeClock, tmp_path: Path, sweep):
    sweep()
    node = NodeState("n1", details={"partitions": ["gpu"], "features": ["h100"]})
    for cluster, name, partitions in ((None, "local", ()), (ClusterNodes(lambda: [node], dict), "slurm", ("gpu",))):
        system = SystemService(service, FakeTrainings(), clock, tmp_path, setup=TrainingSetup(cluster=cluster))
        shown = system.get_overview().executor
        assert (shown.name, shown.nodes, shown.partitions) == (name, (service.state.node,), partitions)
