import os
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.domain.machines.reading import GPUVitals, SourceName
from api.domain.tasks.task import RegisteredTask, TaskType
from api.gpus.sources import host
from api.gpus.sources.boards import parse_boards
from api.gpus.sources.simulated import SimulatedSource
from api.util.clock import FakeClock

BOARDS = "NVIDIA GeForce RTX 4090, NVIDIA H100 80GB HBM3"


class Simulation:
    """A simulation with its clock, and the tasks that hold its GPUs."""

    def __init__(self, seed: int = 0, boards: str = BOARDS) -> None:
        self.clock = FakeClock()
        self.boards = parse_boards(boards)
        self.source = SimulatedSource(self.boards, seed, self.clock)
        self.gpus = [self.source.identify(slot) for slot in range(self.source.refresh(True))]

    def hold(self, slot: int, task_type: TaskType | None, pid: int | None = None) -> None:
        gpu = self.gpus[slot]
        if task_type is None:
            self.source.observe_tasks({})
            return
        process = None if pid is None else host.process_identity(pid)
        task = RegisteredTask("t", task_type, (gpu.uuid,), datetime(2026, 1, 1, tzinfo=UTC), process=process)
        self.source.observe_tasks({gpu.uuid: task})

    def read(self, slot: int = 0, after: float = 0.0) -> GPUVitals:
        self.clock.advance(after)
        return self.source.read_vitals(self.gpus[slot])

    def run(self, slot: int, seconds: int) -> GPUVitals:
        for _ in range(seconds):
            vitals = self.read(slot, after=1.0)
        return vitals


@pytest.fixture
def simulation() -> Simulation:
    return Simulation()


def test_simulation_is_labelled(simulation: Simulation):
    assert simulation.source.name is SourceName.SIMULATED
    assert simulation.source.versions.driver == "simulated"


def test_same_seed_gives_the_same_readings():
    first, second = Simulation(seed=7), Simulation(seed=7)
    for simulation in (first, second):
        simulation.hold(0, TaskType.TRAINING)
    assert first.gpus == second.gpus
    assert [first.read(0, 1.0) for _ in range(30)] == [second.read(0, 1.0) for _ in range(30)]


def test_other_seed_gives_other_gpus():
    assert {gpu.uuid for gpu in Simulation(seed=1).gpus}.isdisjoint(gpu.uuid for gpu in Simulation(seed=2).gpus)


def test_uuids_look_like_those_of_nvml(simulation: Simulation):
    assert all(len(gpu.uuid) == 40 and gpu.uuid.startswith("GPU-") for gpu in simulation.gpus)
    assert len({gpu.uuid for gpu in Simulation(boards="64x L40S").gpus}) == 64


def test_idle_gpu_is_idle(simulation: Simulation):
    vitals = simulation.run(0, 60)
    assert (vitals.utilization_gpu, vitals.pstate, vitals.throttle_reasons) == (0, 8, ("gpu_idle",))
    assert (vitals.memory_used_mb or 0) < 100
    assert vitals.power_watts == simulation.boards[0].idle_watts


@pytest.mark.parametrize("task_type", TaskType)
def test_held_gpu_is_busy(simulation: Simulation, task_type: TaskType):
    idle = simulation.read()
    simulation.hold(0, task_type)
    busy = simulation.run(0, 60)
    assert (busy.memory_used_mb or 0) > (idle.memory_used_mb or 0) + 500
    assert (busy.energy_joules or 0) > (idle.energy_joules or 0)
    if task_type is TaskType.TRAINING:
        assert (busy.utilization_gpu or 0) > 85
        assert (busy.temperature_gpu or 0) > (idle.temperature_gpu or 0) + 10


def test_task_does_not_affect_another_gpu(simulation: Simulation):
    simulation.hold(0, TaskType.TRAINING)
    simulation.run(0, 30)
    assert simulation.read(1).utilization_gpu == 0


def test_memory_grows_and_shrinks_gradually(simulation: Simulation):
    simulation.hold(0, TaskType.TRAINING)
    loading = [simulation.read(0, 1.0).memory_used_mb or 0 for _ in range(12)]
    assert loading == sorted(loading)
    assert loading[0] < loading[5] < loading[-1]
    simulation.hold(0, None)
    unloading = [simulation.read(0, 1.0).memory_used_mb or 0 for _ in range(6)]
    assert unloading == sorted(unloading, reverse=True)
    assert unloading[-1] < 100


def test_null_values_have_a_reason(simulation: Simulation):
    for slot, gpu in enumerate(simulation.gpus):
        vitals = simulation.read(slot)
        missing = {"fan_speed": vitals.fan_percent, "temperature.memory": vitals.temperature_memory}
        assert {path for path, value in missing.items() if value is None} == set(vitals.unavailable)
        assert gpu.unavailable == {"serial": "simulated"}


def test_no_process_is_invented(simulation: Simulation):
    assert simulation.source.read_processes(simulation.gpus[0]) == ()
    simulation.hold(0, TaskType.TRAINING)
    assert simulation.source.read_processes(simulation.gpus[0]) == ()


def test_registered_process_is_shown(simulation: Simulation):
    simulation.hold(0, TaskType.TRAINING, os.getpid())
    vitals = simulation.run(0, 30)
    (process,) = simulation.source.read_processes(simulation.gpus[0])
    assert process.pid == os.getpid()
    assert 0 < (process.memory_mb or 0) <= (vitals.memory_used_mb or 0)
    assert simulation.source.read_processes(simulation.gpus[1]) == ()


def test_simulation_reports_no_xid(simulation: Simulation):
    assert simulation.source.next_xid() is None


@settings(deadline=None)
@given(
    st.integers(0, 2**32),
    st.lists(st.tuples(st.sampled_from([None, *TaskType]), st.floats(0, 600)), min_size=1, max_size=30),
    st.sampled_from([0, 1]),
)
def test_values_are_consistent(seed: int, steps: list[tuple[TaskType | None, float]], slot: int):
    simulation = Simulation(seed)
    gpu, board = simulation.gpus[slot], simulation.boards[slot]
    energy = 0.0
    for task_type, seconds in steps:
        simulation.hold(slot, task_type)
        vitals = simulation.read(slot, seconds)
        total, used, free = vitals.memory_total_mb, vitals.memory_used_mb, vitals.memory_free_mb
        assert total == board.memory_mb == used + free + vitals.memory_reserved_mb
        assert min(used, free) >= 0
        for percent in (vitals.utilization_gpu, vitals.utilization_memory, vitals.fan_percent or 0):
            assert 0 <= percent <= 100
        assert board.idle_watts <= vitals.power_watts <= gpu.power_max_limit_watts
        assert 20 <= vitals.temperature_gpu < gpu.temperature_slowdown
        assert vitals.energy_joules >= energy
        assert vitals.clocks.sm <= gpu.clocks_max.sm
        energy = vitals.energy_joules
