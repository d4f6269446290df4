"""Checks of running attempts and their results."""

from dataclasses import replace
from typing import Any

import pytest

from api.domain.cause import CauseCode
from api.domain.lease import LeaseKind
from api.domain.reading import FaultKind
from api.domain.training import EventKind, TaskStatus
from api.gpus.sources.source import GPUFault
from tests.unit.builders import process
from tests.unit.trainings import PROCESS, RUN_DIR, TrainingMachine, steps

#: A trainer's pace is known after these.
PACE = steps(*range(1, 11))


def test_stages_before_the_first_step_are_recorded_once(machine: TrainingMachine):
    machine.run()
    machine.prints(steps(1))
    for _ in range(3):
        machine.train()
    assert machine.messages(EventKind.STAGE) == ["loading the model", "training"]


def test_run_directory_is_recorded(machine: TrainingMachine):
    machine.run()
    machine.saves(5)
    machine.clock.advance(6.0)
    machine.train()
    assert machine.attempt().run_dir == str(machine.files().output / RUN_DIR)


def test_new_checkpoint_is_recorded_once(machine: TrainingMachine):
    machine.run()
    machine.saves(5)
    for _ in range(3):
        machine.clock.advance(6.0)
        machine.train()
    assert sum("global_step5" in message for message in machine.messages(EventKind.CHECKPOINT)) == 1


def test_surplus_checkpoints_are_deleted(machine: TrainingMachine):
    machine.run(keep_last_checkpoints=1)
    run_dir = machine.saves(5, 10)
    machine.clock.advance(6.0)
    machine.train()
    assert sorted(path.name for path in run_dir.glob("global_step*")) == ["global_step10"]


def test_caches_are_released_once_it_trains(machine: TrainingMachine):
    plan = replace(machine.plan(), caches=("/data/cats/cache/toy",))
    machine.put(plan=plan)
    machine.train()
    assert [lease.resource for lease in machine.attempts.leases(LeaseKind.CACHE)] == ["/data/cats/cache/toy"]
    machine.executor.runs(machine.uid())
    machine.prints(steps(1))
    machine.train()
    assert machine.attempts.leases(LeaseKind.CACHE) == []


def test_peak_memory_is_recorded(machine: TrainingMachine):
    machine.run()
    for used in (5_000, 9_000, 7_000):
        machine.source.set_memory(0, used)
        machine.free_gpus()
    assert machine.watch().peak_memory_mb == 9_000


def test_lost_gpu_stops_the_training_immediately_as_its_cause(machine: TrainingMachine):
    machine.run()
    machine.source.faults[0] = GPUFault(FaultKind.LOST, "it fell off the bus")
    machine.free_gpus()
    machine.train()
    stop = machine.task().stop
    assert machine.status() is TaskStatus.STOPPING
    assert stop is not None
    assert stop.force
    assert stop.cause is not None
    assert (stop.cause.code, "fell off the bus" in stop.cause.detail) == (CauseCode.GPU_LOST, True)


@pytest.mark.parametrize(("options", "status"), [({}, "running"), ({"stop_on_hang": True}, "stopping")])
def test_training_without_steps_gets_a_warning_and_is_stopped_if_requested(
    machine: TrainingMachine, options: dict[str, Any], status: str
):
    machine.run(**options)
    machine.prints(PACE)
    machine.train()
    machine.clock.advance(299)
    machine.train()
    assert machine.task().warning is None
    machine.clock.advance(2)
    machine.train()
    assert "no step for 301 s" in (machine.task().warning or "")
    assert machine.status() == status


@pytest.mark.parametrize("seconds", [86_400, -86_400])
def test_changed_clock_neither_causes_nor_hides_a_hang(machine: TrainingMachine, seconds: float):
    machine.run("trains")
    machine.run("loads")
    machine.prints(PACE, "trains")
    machine.train()
    machine.clock.jump(seconds)
    machine.train()
    assert [machine.task(task_id).warning for task_id in ("trains", "loads")] == [None, None]
    machine.clock.advance(301)
    machine.train()
    assert "no step for 301 s" in (machine.task("trains").warning or "")
    machine.clock.advance(1500)
    machine.train()
    assert "has printed nothing for 1801 s" in (machine.task("loads").warning or "")


def test_nan_losses_set_a_warning_until_losses_are_numbers_again(machine: TrainingMachine):
    machine.run()
    machine.prints(steps(*range(1, 21), loss="nan"))
    machine.train()
    assert "NaN" in (machine.task().warning or "")
    machine.prints(steps(21))
    machine.train()
    assert machine.task().warning is None


def test_foreign_process_on_its_gpus_is_remembered(machine: TrainingMachine):
    machine.run()
    machine.prints(steps(1))
    machine.source.set_memory(0, 9_000)
    machine.source.processes[0] = (process(PROCESS.pid, memory_mb=8_600),)
    machine.free_gpus()
    assert (machine.watch().shares_gpus, machine.watch().was_measured_training) == (False, True)
    machine.source.set_memory(0, 12_000)
    machine.source.processes[0] = (process(PROCESS.pid, memory_mb=8_600), process(99, memory_mb=3_000))
    machine.free_gpus()
    machine.source.processes[0] = ()
    machine.source.set_memory(0, 400)
    machine.free_gpus()
    assert machine.watch().shares_gpus
