"""Orphaned attempts, which the database does not know."""

from dataclasses import replace
from pathlib import Path

import pytest

from api.domain.machines.gpu import GPUStatus
from api.domain.machines.gpu_event import EventType
from api.domain.tasks.task import ProcessIdentity
from api.domain.tasks.training import TaskStatus
from api.errors import OrphanNotFound
from api.executors.executor import AttemptRef, LivingAttempt
from api.gpus.health.judgement import DRAINING_SECONDS
from tests.unit.builders import process, uuid_of
from tests.unit.trainings import PROCESS, TrainingMachine


def running_attempt(machine: TrainingMachine, task_id: str, *gpus: int, supervisor: bool = True) -> LivingAttempt:
    files = machine.files(task_id)
    return LivingAttempt(
        AttemptRef(f"{task_id}.1", files.attempts / "1", files.log),
        tuple(map(uuid_of, gpus)),
        ProcessIdentity(50, 1.0) if supervisor else None,
        (ProcessIdentity(51, 1.0),),
    )


def check_orphans(machine: TrainingMachine, *found: LivingAttempt) -> None:
    machine.executor.finds(*found)
    machine.parts.services.orphans.check_soon()
    machine.train()


def statuses(machine: TrainingMachine) -> list[GPUStatus]:
    return [gpu.judgement.status for gpu in machine.gpus.state.gpus]


def quarantined(machine: TrainingMachine) -> list[str]:
    return [
        lease.resource
        for lease in machine.parts.services.orphans._store.quarantined(machine.parts.services.orphans._token)
    ]


def test_gpus_of_an_orphan_are_busy_and_the_reason_says_how_to_stop_it(machine: TrainingMachine):
    check_orphans(machine, running_attempt(machine, "x", 0, 1))
    check_orphans(machine, running_attempt(machine, "x", 0, 1))
    assert statuses(machine) == [GPUStatus.BUSY] * 2 + [GPUStatus.AVAILABLE] * 2
    (event,) = [event for event in machine.gpu_events.list() if event.type is EventType.TASK]
    assert "POST /api/v1/system/strays/x.1/stop" in event.message


def test_gpus_that_an_orphan_uses_are_quarantined_whatever_its_record_says(machine: TrainingMachine):
    machine.executor.uses_gpus("x.1", uuid_of(0), uuid_of(2))
    check_orphans(machine, running_attempt(machine, "x", 0))
    assert [orphan.gpu_ids for orphan in machine.parts.services.orphans.list()] == [(0, 2)]


def test_gpus_are_freed_when_no_process_is_left_and_readings_show_it(machine: TrainingMachine):
    check_orphans(machine, running_attempt(machine, "x", 0, 1, 2, 3))
    machine.put()
    check_orphans(machine)
    assert machine.status() is TaskStatus.QUEUED
    machine.free_gpus()
    check_orphans(machine)
    machine.train()
    assert machine.status() is TaskStatus.STARTING


def test_gpus_stay_quarantined_without_readings(machine: TrainingMachine):
    """A disconnected node lists none of its attempts, which continue to run."""
    check_orphans(machine, running_attempt(machine, "x", 0))
    for _ in range(3):
        machine.clock.advance(3600.0)
        check_orphans(machine)
    assert quarantined(machine) == [uuid_of(0)]


def test_gpus_stay_quarantined_while_the_executor_fails(machine: TrainingMachine, monkeypatch: pytest.MonkeyPatch):
    def silent(ref: AttemptRef) -> tuple[int, ...]:
        raise OSError("Slurm does not answer")

    check_orphans(machine, running_attempt(machine, "x", 0))
    monkeypatch.setattr(machine.executor, "survivors", silent)
    check_orphans(machine)
    machine.free_gpus()
    check_orphans(machine)
    assert quarantined(machine) == [uuid_of(0)]


def test_gpu_of_a_node_without_a_report_stays_quarantined(machine: TrainingMachine):
    """As after a restart of the head while the node is disconnected."""
    elsewhere = replace(running_attempt(machine, "x"), gpu_uuids=("GPU-elsewhere",))
    machine.gpus.offer_from(lambda: ("n1",))
    check_orphans(machine, elsewhere)
    check_orphans(machine)
    machine.free_gpus()
    check_orphans(machine)
    assert quarantined(machine) == ["GPU-elsewhere"]


def test_removed_gpu_does_not_stay_quarantined(machine: TrainingMachine):
    check_orphans(machine, replace(running_attempt(machine, "x"), gpu_uuids=("GPU-pulled",)))
    check_orphans(machine)
    assert quarantined(machine) == []


def test_gpu_used_by_a_foreign_process_is_released_after_a_minute(machine: TrainingMachine):
    check_orphans(machine, running_attempt(machine, "x", 0))
    machine.source.processes[0] = (process(),)
    check_orphans(machine)
    machine.clock.advance(DRAINING_SECONDS - 2.0)
    machine.free_gpus()
    assert quarantined(machine) == [uuid_of(0)]
    machine.clock.advance(5.0)
    machine.free_gpus()
    assert quarantined(machine) == []


def test_orphan_of_a_queued_task_is_adopted(machine: TrainingMachine):
    machine.put()
    machine.executor.runs("a.1", PROCESS)
    check_orphans(machine, running_attempt(machine, "a", 3))
    assert (machine.status(), machine.attempt().gpu_indices) == (TaskStatus.RUNNING, (3,))
    assert machine.executor.submissions == []
    assert machine.parts.services.orphans.list() == ()


def test_known_attempt_is_not_an_orphan(machine: TrainingMachine):
    machine.run()
    check_orphans(machine, running_attempt(machine, "a", 0))
    assert machine.parts.services.orphans.list() == ()


@pytest.mark.parametrize("force", [False, True])
def test_stop_of_an_orphan_requests_a_checkpoint_unless_forced(machine: TrainingMachine, force: bool):
    machine.executor.finds(running_attempt(machine, "x", 1))
    machine.saves(10, task_id="x")
    machine.parts.services.orphans.stop("x.1", force)
    ((ref, order),) = machine.executor.orders
    assert (ref.uid, order.signal_file is None, order.checkpoint_seconds == 0.0) == ("x.1", force, force)


def test_orphan_without_a_supervisor_gets_one_before_its_stop(machine: TrainingMachine):
    machine.executor.finds(running_attempt(machine, "x", 1, supervisor=False))
    machine.parts.services.orphans.stop("x.1", force=True)
    assert [submission.has_run for submission in machine.executor.submissions] == [True]
    assert len(machine.executor.orders) == 1


def test_only_an_orphan_can_be_stopped(machine: TrainingMachine):
    machine.run()
    machine.executor.finds(running_attempt(machine, "a", 0))
    with pytest.raises(OrphanNotFound):
        machine.parts.services.orphans.stop("a.1", force=True)
    assert machine.executor.orders == []


def test_orphan_is_named_after_its_directory(machine: TrainingMachine):
    found = running_attempt(machine, "x", 1)
    forged = AttemptRef("y.9", found.ref.directory, Path("/log"))
    machine.executor.finds(LivingAttempt(forged, found.gpu_uuids, None, found.members))
    assert [orphan.attempt for orphan in machine.parts.services.orphans.list()] == ["x.1"]


@pytest.mark.parametrize("place", ["x/attempts/one", "x/attempts/²", "x y/attempts/1", "x/1/1/1"])
def test_other_directories_are_not_orphans(machine: TrainingMachine, place: str):
    found = running_attempt(machine, "x", 1)
    ref = AttemptRef("x.1", machine.root / "tasks" / place, Path("/log"))
    machine.executor.finds(LivingAttempt(ref, found.gpu_uuids, None, found.members))
    assert machine.parts.services.orphans.list() == ()


def test_checks_run_every_thirty_seconds_and_more_often_with_orphans(machine: TrainingMachine):
    machine.train()
    machine.executor.finds(running_attempt(machine, "x", 0))
    machine.clock.advance(29.0)
    machine.train()
    assert GPUStatus.BUSY not in statuses(machine)
    machine.clock.advance(2.0)
    machine.train()
    assert statuses(machine)[0] is GPUStatus.BUSY
    machine.executor.finds()
    for _ in range(2):
        machine.clock.advance(6.0)
        machine.gpus._monitor.sweep()
        machine.train()
    assert GPUStatus.BUSY not in statuses(machine)


def test_executor_can_list_attempts_with_a_directory(machine: TrainingMachine, monkeypatch: pytest.MonkeyPatch):
    listed: list[str] = []
    for name in ("train_a/attempts/1", "train_a/attempts/2", "train_b/output"):
        (machine.files("train_a").root.parent / name).mkdir(parents=True)
    monkeypatch.setattr(machine.executor, "living", lambda root, locate, uids: listed.extend(uids()) or ())
    machine.parts.services.orphans.check_soon()
    machine.parts.services.orphans.check()
    assert sorted(listed) == ["train_a.1", "train_a.2"]


def test_orphan_without_gpus_is_adopted_by_a_task_that_needs_none(machine: TrainingMachine):
    machine.put_errand("x")
    machine.executor.finds(running_attempt(machine, "x"))
    machine.parts.services.orphans.check_soon()
    machine.parts.services.orphans.check()
    assert machine.status("x") is TaskStatus.STARTING
    assert machine.attempt("x").gpu_uuids == ()


def test_orphan_with_unknown_gpus_is_not_adopted_by_a_training(machine: TrainingMachine):
    machine.put("x")
    machine.executor.finds(running_attempt(machine, "x"))
    machine.parts.services.orphans.check_soon()
    machine.parts.services.orphans.check()
    assert machine.status("x") is TaskStatus.QUEUED
