"""The end of an attempt: its verdict, its retry and its GPUs."""

import errno
from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import update

from api.db.tables import tasks
from api.domain.machines.lease import LeaseKind, LeaseState
from api.domain.tasks.cause import CauseCode
from api.domain.tasks.measured_memory import MemoryFacts, MemorySize, PlannedMemory
from api.domain.tasks.rehearsal import PlannedRehearsal
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import EventKind, TaskStatus
from api.executors.fake import outcome
from api.gpus.health.judgement import DRAINING_SECONDS
from api.training.attempts.watch.watch import AttemptWatch
from api.training.measured_memory import MemoryRunStore
from tests.unit.builders import process
from tests.unit.trainings import PROCESS, TrainingMachine, steps

COMPLETED = outcome(phrases=["TRAINING COMPLETE!"], last_step=3)
PORT_IN_USE = "Traceback (most recent call last):\ntorch.distributed.DistNetworkError: EADDRINUSE\n"


def gpus_of(machine: TrainingMachine) -> dict[str, LeaseState]:
    return {lease.resource: lease.state for lease in machine.attempts.leases(LeaseKind.GPU)}


def complete(machine: TrainingMachine) -> None:
    machine.prints(steps(1, 2, 3))
    machine.saves(3)
    machine.end(how=COMPLETED)


def test_finished_training_is_completed_with_its_last_step(machine: TrainingMachine):
    machine.run()
    complete(machine)
    attempt = machine.attempt()
    assert (machine.status(), attempt.first_step, attempt.last_step) == (TaskStatus.COMPLETED, 1, 3)
    assert attempt.outcome is not None
    assert attempt.outcome["phrases"] == ["TRAINING COMPLETE!"]


def run_measured(machine: TrainingMachine, **plan: object) -> None:
    """Run a training whose GPU shows 9,000 MB, all its own, after its first step."""
    facts = MemoryFacts("toy", "toy-1", sizes=(MemorySize(64, 1, 1),))
    machine.put(plan=replace(machine.plan(), memory=PlannedMemory(facts)))
    machine.train()
    machine.executor.runs(machine.uid(), PROCESS)
    machine.train()
    machine.prints(steps(1))
    machine.source.set_memory(0, 9_000)
    machine.source.processes[0] = (process(PROCESS.pid, memory_mb=8_600),)
    machine.free_gpus()


def recorded_memory(machine: TrainingMachine) -> list[int]:
    return [run.peak_mb for run in MemoryRunStore(machine.database).find("toy", "toy-1")]


def test_memory_of_a_training_is_recorded(machine: TrainingMachine):
    run_measured(machine)
    complete(machine)
    assert recorded_memory(machine) == [9_000]


def test_restarted_service_records_memory(machine: TrainingMachine):
    run_measured(machine)
    machine.watch().save()
    machine.reconciler.stand_down()
    machine.source.set_memory(0, 400)
    machine.source.processes[0] = ()
    machine.free_gpus()
    complete(machine)
    assert recorded_memory(machine) == [9_000]


def rehearse(machine: TrainingMachine) -> None:
    """Make the task a rehearsal of a training with 100 steps, and run it on two GPUs."""
    planned = PlannedRehearsal(total_steps=100, saved_models=4, checkpoints=2, stored_checkpoints=1)
    facts = MemoryFacts("toy", "toy-1", sizes=(MemorySize(64, 1, 1),))
    machine.put(count=2, plan=replace(machine.plan(), rehearsal=planned, memory=PlannedMemory(facts)), max_retries=2)
    with machine.database.write() as connection:
        connection.execute(update(tasks).values(kind=TaskType.REHEARSAL))
    machine.train()
    machine.executor.runs(machine.uid(), PROCESS)
    machine.train()
    machine.prints(steps(1))
    for gpu, used in ((0, 9_000), (1, 8_000), (0, 5_000)):
        machine.source.set_memory(gpu, used)
        machine.source.processes[gpu] = (process(PROCESS.pid, memory_mb=used - 400),)
        machine.free_gpus()


def test_rehearsal_has_the_memory_of_each_gpu_and_feeds_the_plans_of_trainings(machine: TrainingMachine):
    rehearse(machine)
    complete(machine)
    result = machine.task().result
    assert result is not None
    assert list(result["peak_memory_mb"].values()) == [9_000, 8_000]
    assert (result["steps"], result["total_steps"], result["checkpoint_bytes"] > 0) == (3, 100, True)
    assert recorded_memory(machine) == [9_000]


def test_failed_rehearsal_is_not_retried_and_shows_what_it_measured(machine: TrainingMachine):
    rehearse(machine)
    machine.prints(PORT_IN_USE)
    machine.end(how=outcome(exit_code=1, last_step=1))
    assert machine.status() is TaskStatus.FAILED
    result = machine.task().result
    assert result is not None
    assert (max(result["peak_memory_mb"].values()), result["seconds_per_step"]) == (9_000, None)
    assert recorded_memory(machine) == []


def test_memory_of_a_failed_or_sharing_training_is_not_recorded(machine: TrainingMachine):
    run_measured(machine)
    machine.end(how=outcome(exit_code=1, last_step=1))
    assert recorded_memory(machine) == []


def test_memory_with_a_foreign_process_on_its_gpus_is_not_recorded(machine: TrainingMachine):
    run_measured(machine)
    machine.source.set_memory(0, 12_000)
    machine.source.processes[0] = (process(PROCESS.pid, memory_mb=8_600), process(99, memory_mb=3_000))
    machine.free_gpus()
    complete(machine)
    assert recorded_memory(machine) == []


def test_gpus_drain_until_a_reading_shows_no_process(machine: TrainingMachine):
    machine.run(count=2)
    complete(machine)
    assert set(gpus_of(machine).values()) == {LeaseState.DRAINING}
    machine.free_gpus()
    assert gpus_of(machine) == {}


def test_memory_held_for_long_counts_as_foreign(machine: TrainingMachine):
    machine.run()
    machine.source.set_memory(0, 20_000)
    complete(machine)
    machine.free_gpus()
    assert len(gpus_of(machine)) == 1
    machine.clock.advance(DRAINING_SECONDS)
    machine.free_gpus()
    assert gpus_of(machine) == {}
    assert "is released" in machine.messages(EventKind.WARNING)[-1]


def test_gpu_is_not_freed_while_a_process_of_its_last_holder_runs(machine: TrainingMachine):
    machine.run()
    machine.executor.leaves_survivors(machine.uid(), 4711)
    complete(machine)
    for _ in range(2):
        machine.clock.advance(DRAINING_SECONDS + 1)
        machine.free_gpus()
    assert len(gpus_of(machine)) == 1
    (warning,) = machine.messages(EventKind.WARNING)
    assert "process 4711" in warning
    machine.executor.leaves_survivors(machine.uid())
    machine.free_gpus()
    assert gpus_of(machine) == {}


def test_temporary_failure_is_retried_from_the_last_checkpoint(machine: TrainingMachine):
    machine.run(max_retries=2)
    machine.prints(steps(1, 2) + PORT_IN_USE)
    machine.saves(2)
    machine.end(how=outcome(exit_code=1))
    first, second = machine.attempts.of_task("a")
    assert first.cause is not None
    assert (first.cause.code, second.resumed_from) == (CauseCode.PORT_IN_USE, "global_step2")
    assert any("It is retried." in message for message in machine.messages(EventKind.STATUS))


def test_stopped_task_is_not_retried(machine: TrainingMachine):
    machine.run(max_retries=2)
    machine.prints(steps(1, 2) + PORT_IN_USE)
    machine.train()
    machine.request_task_stop()
    machine.end(how=outcome(exit_code=1))
    assert machine.status() in (TaskStatus.FAILED, TaskStatus.STOPPED)
    assert len(machine.attempts.of_task("a")) == 1


@pytest.mark.parametrize(
    ("error", "rounds"), [(OverflowError("too large"), 3), (OSError(errno.ENOENT, "not there"), 3)]
)
def test_unreadable_end_is_read_three_times_and_blocks_nothing(
    machine: TrainingMachine, monkeypatch: pytest.MonkeyPatch, error: Exception, rounds: int
):
    machine.run()
    monkeypatch.setattr(AttemptWatch, "finish", raises(error))
    machine.end()
    for _ in range(rounds - 2):
        machine.train()
    assert machine.status() is TaskStatus.RUNNING
    machine.train()
    assert machine.status() is TaskStatus.FAILED


def test_disk_errors_are_retried_longer(machine: TrainingMachine, monkeypatch: pytest.MonkeyPatch):
    machine.run()
    monkeypatch.setattr(AttemptWatch, "finish", raises(OSError(errno.EIO, "Input/output error")))
    machine.end()
    for _ in range(5):
        machine.train()
    assert machine.status() is TaskStatus.RUNNING
    machine.clock.advance(21.0)
    machine.train()
    assert machine.status() is TaskStatus.FAILED


def raises(error: Exception) -> Callable[[AttemptWatch], None]:
    def trip(_: AttemptWatch) -> None:
        raise error

    return trip
