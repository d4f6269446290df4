"""Attempts that live although the database does not know them."""

from dataclasses import replace
from pathlib import Path

import pytest

from api.domain.event import EventType
from api.domain.gpu import GPUStatus
from api.domain.task import ProcessIdentity
from api.domain.training import TaskStatus
from api.errors import StrayNotFound
from api.executors.executor import AttemptRef, LivingAttempt
from api.gpus.judgement import DRAINING_SECONDS
from tests.unit.builders import process, uuid_of
from tests.unit.trainings import PROCESS, TrainingMachine


def living(machine: TrainingMachine, task_id: str, *gpus: int, supervisor: bool = True) -> LivingAttempt:
    files = machine.files(task_id)
    return LivingAttempt(
        AttemptRef(f"{task_id}.1", files.attempts / "1", files.log),
        tuple(map(uuid_of, gpus)),
        ProcessIdentity(50, 1.0) if supervisor else None,
        (ProcessIdentity(51, 1.0),),
    )


def look(machine: TrainingMachine, *found: LivingAttempt) -> None:
    machine.executor.finds(*found)
    machine.parts.strays.look_soon()
    machine.train()


def statuses(machine: TrainingMachine) -> list[GPUStatus]:
    return [gpu.judgement.status for gpu in machine.gpus.state.gpus]


def kept(machine: TrainingMachine) -> list[str]:
    return [lease.resource for lease in machine.parts.strays._store.quarantined(machine.parts.strays._token)]


def test_its_gpus_are_busy_and_say_how_to_end_it(machine: TrainingMachine):
    look(machine, living(machine, "x", 0, 1))
    look(machine, living(machine, "x", 0, 1))
    assert statuses(machine) == [GPUStatus.BUSY] * 2 + [GPUStatus.AVAILABLE] * 2
    (event,) = [event for event in machine.gpu_events.list() if event.type is EventType.TASK]
    assert "POST /api/v1/system/strays/x.1/stop" in event.message


def test_gpus_that_it_works_on_are_kept_for_it_whatever_its_record_says(machine: TrainingMachine):
    machine.executor.is_at_work_on("x.1", uuid_of(0), uuid_of(2))
    look(machine, living(machine, "x", 0))
    assert [stray.gpu_ids for stray in machine.parts.strays.list()] == [(0, 2)]


def test_they_are_free_when_nothing_of_it_lives_and_their_readings_show_it(machine: TrainingMachine):
    look(machine, living(machine, "x", 0, 1, 2, 3))
    machine.put()
    look(machine)
    assert machine.status() is TaskStatus.QUEUED
    machine.free_gpus()
    look(machine)
    machine.train()
    assert machine.status() is TaskStatus.STARTING


def test_they_stay_kept_while_their_readings_do_not_come(machine: TrainingMachine):
    """A node that is cut off lists none of its attempts, which live on."""
    look(machine, living(machine, "x", 0))
    for _ in range(3):
        machine.clock.advance(3600.0)
        look(machine)
    assert kept(machine) == [uuid_of(0)]


def test_they_stay_kept_while_the_executor_cannot_say_who_is_left(
    machine: TrainingMachine, monkeypatch: pytest.MonkeyPatch
):
    def silent(ref: AttemptRef) -> tuple[int, ...]:
        raise OSError("Slurm does not answer")

    look(machine, living(machine, "x", 0))
    monkeypatch.setattr(machine.executor, "survivors", silent)
    look(machine)
    machine.free_gpus()
    look(machine)
    assert kept(machine) == [uuid_of(0)]


def test_a_gpu_of_a_machine_that_was_not_heard_of_yet_stays_kept(machine: TrainingMachine):
    """So after a restart of the head, while the machine is cut off."""
    elsewhere = replace(living(machine, "x"), gpu_uuids=("GPU-elsewhere",))
    machine.gpus.offer_from(lambda: ("n1",))
    look(machine, elsewhere)
    look(machine)
    machine.free_gpus()
    look(machine)
    assert kept(machine) == ["GPU-elsewhere"]


def test_a_gpu_that_this_machine_has_no_more_is_not_kept_for_ever(machine: TrainingMachine):
    look(machine, replace(living(machine, "x"), gpu_uuids=("GPU-pulled",)))
    look(machine)
    assert kept(machine) == []


def test_a_gpu_that_somebody_else_uses_is_let_go_after_a_minute(machine: TrainingMachine):
    look(machine, living(machine, "x", 0))
    machine.source.processes[0] = (process(),)
    look(machine)
    machine.clock.advance(DRAINING_SECONDS - 2.0)
    machine.free_gpus()
    assert kept(machine) == [uuid_of(0)]
    machine.clock.advance(5.0)
    machine.free_gpus()
    assert kept(machine) == []


def test_an_attempt_of_a_task_that_waits_is_taken_up_again(machine: TrainingMachine):
    machine.put()
    machine.executor.runs("a.1", PROCESS)
    look(machine, living(machine, "a", 3))
    assert (machine.status(), machine.attempt().gpu_indices) == (TaskStatus.RUNNING, (3,))
    assert machine.executor.submissions == []
    assert machine.parts.strays.list() == ()


def test_what_the_database_knows_is_no_stray(machine: TrainingMachine):
    machine.run()
    look(machine, living(machine, "a", 0))
    assert machine.parts.strays.list() == ()


@pytest.mark.parametrize("force", [False, True])
def test_a_stop_asks_for_a_checkpoint_unless_it_is_forced(machine: TrainingMachine, force: bool):
    machine.executor.finds(living(machine, "x", 1))
    machine.saves(10, task_id="x")
    machine.parts.strays.stop("x.1", force)
    ((ref, order),) = machine.executor.orders
    assert (ref.uid, order.signal_file is None, order.checkpoint_seconds == 0.0) == ("x.1", force, force)


def test_one_without_a_supervisor_gets_one_before_it_is_stopped(machine: TrainingMachine):
    machine.executor.finds(living(machine, "x", 1, supervisor=False))
    machine.parts.strays.stop("x.1", force=True)
    assert [submission.has_run for submission in machine.executor.submissions] == [True]
    assert len(machine.executor.orders) == 1


def test_what_is_no_stray_cannot_be_stopped(machine: TrainingMachine):
    machine.run()
    machine.executor.finds(living(machine, "a", 0))
    with pytest.raises(StrayNotFound):
        machine.parts.strays.stop("a.1", force=True)
    assert machine.executor.orders == []


def test_its_name_is_that_of_its_directory_whatever_it_says_of_itself(machine: TrainingMachine):
    found = living(machine, "x", 1)
    forged = AttemptRef("y.9", found.ref.directory, Path("/log"))
    machine.executor.finds(LivingAttempt(forged, found.gpu_uuids, None, found.members))
    assert [stray.attempt for stray in machine.parts.strays.list()] == ["x.1"]


@pytest.mark.parametrize("place", ["x/attempts/one", "x/attempts/²", "x y/attempts/1", "x/1/1/1"])
def test_what_stands_where_no_attempt_stands_is_no_stray(machine: TrainingMachine, place: str):
    found = living(machine, "x", 1)
    ref = AttemptRef("x.1", machine.root / "tasks" / place, Path("/log"))
    machine.executor.finds(LivingAttempt(ref, found.gpu_uuids, None, found.members))
    assert machine.parts.strays.list() == ()


def test_the_next_look_is_after_thirty_seconds_and_sooner_while_there_are_strays(machine: TrainingMachine):
    machine.train()
    machine.executor.finds(living(machine, "x", 0))
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


def test_the_executor_can_ask_which_attempts_have_a_directory_here(
    machine: TrainingMachine, monkeypatch: pytest.MonkeyPatch
):
    asked: list[str] = []
    for name in ("train_a/attempts/1", "train_a/attempts/2", "train_b/output"):
        (machine.files("train_a").root.parent / name).mkdir(parents=True)
    monkeypatch.setattr(machine.executor, "living", lambda root, locate, uids: asked.extend(uids()) or ())
    machine.parts.strays.look_soon()
    machine.parts.strays.look()
    assert sorted(asked) == ["train_a.1", "train_a.2"]


def test_a_living_attempt_without_gpus_is_adopted_by_its_task_that_needs_none(machine: TrainingMachine):
    machine.put_errand("x")
    machine.executor.finds(living(machine, "x"))
    machine.parts.strays.look_soon()
    machine.parts.strays.look()
    assert machine.status("x") is TaskStatus.STARTING
    assert machine.attempt("x").gpu_uuids == ()


def test_a_living_attempt_whose_gpus_nobody_knows_is_not_adopted_by_a_training(machine: TrainingMachine):
    machine.put("x")
    machine.executor.finds(living(machine, "x"))
    machine.parts.strays.look_soon()
    machine.parts.strays.look()
    assert machine.status("x") is TaskStatus.QUEUED
