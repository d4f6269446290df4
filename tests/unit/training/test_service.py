"""The use cases of trainings, on a simulated machine."""

from dataclasses import replace
from typing import Any

import pytest

from api.domain.tasks.training import (
    EventKind,
    GPURequest,
    ResumeOptions,
    StopRung,
    TaskFilter,
    TaskOrder,
    TaskStatus,
    TrainingRequest,
)
from api.errors import GPUBusy, Invalid, NoCheckpoint, TaskActive, TaskNotFinished, TaskNotFound
from api.executors.fake import outcome
from api.training.details import TaskLists
from api.training.service import TrainingService
from api.training.stops import MAX_WAITERS, POLL_SECONDS, StopWaiters
from api.training.views import TaskDetails
from api.util.clock import FakeClock
from api.util.http.caller import has_caller_left
from api.util.http.pagination import PageRequest
from tests.unit.training.queue.test_quotas import Owned, owned
from tests.unit.trainings import TOY, TrainingMachine, steps


@pytest.fixture
def service(machine: TrainingMachine) -> TrainingService:
    return machine.parts.services.service


def failed_training(machine: TrainingMachine, *saved: int) -> None:
    """Return a failed training with these checkpoints."""
    machine.run()
    machine.prints(steps(*range(1, 6)))
    machine.saves(*saved)
    machine.end(how=outcome(exit_code=1))
    machine.free_gpus()


def resume(service: TrainingService, checkpoint: str | None = None, **changes: Any) -> TaskDetails:
    return service.resume("a", ResumeOptions(checkpoint), lambda _: changes, "ann")


def test_validation_finds_every_error_and_leaves_no_files(machine: TrainingMachine, service: TrainingService):
    wrong = TrainingRequest("toy", GPURequest(count=9), config={"epochs": 0, "epoch": 1})
    found = service.validate(wrong)
    assert not found.valid
    assert [error.pointer for error in found.errors] == ["/config/epochs", "/config/epoch", ""]
    # The reason has a code, so that it can be translated.
    assert found.errors[2].message_code is not None
    assert found.errors[2].message_code.params["why"]["code"] == "too_few_gpus"
    assert (found.gpus, list(machine.root.glob("tasks/*"))) == (None, [])


def test_validation_of_a_valid_request_shows_its_gpus(machine: TrainingMachine, service: TrainingService):
    machine.run("other", count=2)
    found = service.validate(TrainingRequest("toy", GPURequest(count=2), config={"epochs": 1}))
    assert found.gpus is not None
    assert (found.valid, found.gpus.gpu_ids) == (True, (2, 3))


def test_started_training_is_queued_with_its_secrets_in_a_separate_file(
    machine: TrainingMachine, service: TrainingService
):
    request = TrainingRequest("toy", config={"epochs": 1}, env={"HF_TOKEN": "hf_secret"})
    task = service.start(request, "ann")
    assert (task.status, task.task_id.startswith("train_")) == (TaskStatus.QUEUED, True)
    assert machine.files(task.task_id).read_secrets() == {"HF_TOKEN": "hf_secret"}
    assert "hf_secret" not in repr(machine.task(task.task_id).request)


def test_training_that_does_not_wait_gets_its_gpus_immediately_or_leaves_no_files(
    machine: TrainingMachine, service: TrainingService
):
    request = replace(TOY, gpus=GPURequest(count=3), env={"HF_TOKEN": "hf_secret"}, queue=False)
    first = service.start(request, "ann")
    assert first.status is TaskStatus.STARTING
    with pytest.raises(GPUBusy) as refused:
        service.start(request, "ann")
    assert refused.value.data["available_gpus"] == [3]
    assert sum(machine.tasks.count_by_status().values()) == 1
    assert [path.name for path in machine.root.glob("tasks/*")] == [first.task_id]


def test_same_idempotency_key_returns_the_same_training(machine: TrainingMachine, service: TrainingService):
    request = replace(TOY, env={"HF_TOKEN": "hf_secret"})
    first, second = (service.start(request, "ann", "key") for _ in range(2))
    assert first.task_id == second.task_id
    assert [path.name for path in machine.root.glob("tasks/*")] == [first.task_id]


def test_stop_starts_with_the_step_that_the_trainer_supports(machine: TrainingMachine):
    machine.run()
    loading = machine.parts.services.stops.stop("a", False, None, "ann")
    assert loading.stop is not None
    assert loading.stop.rung is StopRung.TERMINATE
    machine.run("b")
    machine.prints(steps(1, 2), "b")
    machine.train()
    training = machine.parts.services.stops.stop("b", False, None, "ann")
    assert training.stop is not None
    assert training.stop.rung is StopRung.CHECKPOINT


def test_repeated_stop_of_a_stopped_training_changes_nothing(machine: TrainingMachine):
    machine.put()
    assert machine.parts.services.stops.stop("a", False, None, "ann").status is TaskStatus.STOPPED
    assert machine.parts.services.stops.stop("a", True, None, "ann").status is TaskStatus.STOPPED
    assert machine.messages(EventKind.STATUS)[-1] == "stop with a checkpoint requested"


def test_stop_waits_for_the_end_if_requested(machine: TrainingMachine, monkeypatch: pytest.MonkeyPatch):
    machine.run()
    waits: list[tuple[bool, float]] = []
    monkeypatch.setattr(StopWaiters, "wait", lambda _, is_over, seconds: waits.append((is_over(), seconds)))
    machine.parts.services.stops.stop("a", False, None, "ann", wait=3.0)
    assert waits == [(False, 3.0)]


def test_failed_training_resumes_from_its_last_complete_checkpoint(machine: TrainingMachine, service: TrainingService):
    failed_training(machine, 2, 4)
    assert resume(service).status is TaskStatus.QUEUED
    machine.train()
    assert machine.attempt().resumed_from == "global_step4"


def test_resume_accepts_another_checkpoint_and_changes(machine: TrainingMachine, service: TrainingService):
    failed_training(machine, 2, 4)
    resume(service, "global_step2", config={"epochs": 9})
    machine.train()
    assert (machine.attempt().resumed_from, machine.task().request.config) == ("global_step2", {"epochs": 9})


def test_rejected_resume_changes_nothing(machine: TrainingMachine, service: TrainingService):
    failed_training(machine)
    with pytest.raises(NoCheckpoint):
        resume(service)
    with pytest.raises(TaskNotFound):
        service.resume("nobody", ResumeOptions(), lambda _: {}, "ann")
    machine.run("b")
    with pytest.raises(TaskActive):
        service.resume("b", ResumeOptions(), lambda _: {}, "ann")


def test_invalid_change_resumes_nothing(machine: TrainingMachine, service: TrainingService):
    failed_training(machine, 4)
    with pytest.raises(Invalid):
        resume(service, config={"epochs": 0})
    assert machine.status() is TaskStatus.FAILED


def test_restart_creates_a_training_with_the_same_request_and_secrets(
    machine: TrainingMachine, service: TrainingService
):
    first = service.start(TrainingRequest("toy", config={"epochs": 1}, env={"HF_TOKEN": "hf_secret"}), "ann")
    with pytest.raises(TaskNotFinished):
        service.restart(first.task_id, "ann")
    machine.parts.services.stops.stop(first.task_id, False, None, "ann")
    second = service.restart(first.task_id, "ann")
    assert (second.task_id != first.task_id, second.restarted_from) == (True, first.task_id)
    assert machine.files(second.task_id).read_secrets() == {"HF_TOKEN": "hf_secret"}


@pytest.mark.parametrize("with_files", [True, False])
def test_deleted_training_keeps_its_files_unless_requested_but_never_its_secrets(
    machine: TrainingMachine, with_files: bool
):
    failed_training(machine, 4)
    machine.files().store_secrets({"HF_TOKEN": "hf_secret"})
    deleted = machine.parts.services.files.delete("a", with_files)
    assert (deleted.files_deleted, machine.files().output.exists()) == (with_files, not with_files)
    assert not machine.files().secrets.exists()
    with pytest.raises(TaskNotFound):
        machine.parts.services.details.get("a")


def test_list_continues_after_its_cursor_and_accepts_gpu_indices(machine: TrainingMachine):
    for task_id in ("a", "b", "c"):
        machine.run(task_id)
    first = machine.parts.services.lists.get_page(TaskFilter(), None, PageRequest(limit=2), TaskOrder.NEWEST)
    rest = machine.parts.services.lists.get_page(
        TaskFilter(), None, PageRequest(limit=2, cursor=first.pagination.next_cursor), TaskOrder.NEWEST
    )
    assert [row.task_id for row in (*first.rows, *rest.rows)] == ["c", "b", "a"]
    assert (first.pagination.total, rest.pagination.has_more) == (3, False)
    on_gpu_1 = machine.parts.services.lists.get_page(TaskFilter(), "1", PageRequest(), TaskOrder.NEWEST)
    assert [row.task_id for row in on_gpu_1.rows] == ["b"]


def test_events_are_paged(machine: TrainingMachine):
    machine.run()
    first = machine.parts.services.details.get_events("a", PageRequest(limit=2))
    rest = machine.parts.services.details.get_events("a", PageRequest(limit=50, cursor=first.pagination.next_cursor))
    ids = [event.id for event in (*first.rows, *rest.rows)]
    assert (ids, len(ids)) == (sorted(ids), first.pagination.total)
    skipped = machine.parts.services.details.get_events("a", PageRequest(limit=1, offset=1))
    assert [event.id for event in skipped.rows] == ids[1:2]


def test_every_status_is_counted(machine: TrainingMachine):
    machine.put("a")
    machine.run("b")
    counts = machine.parts.services.lists.count()
    assert (counts[TaskStatus.RUNNING], sum(counts.values())) == (1, 2)
    assert set(counts) == set(TaskStatus)


@pytest.mark.parametrize(
    ("is_queued", "changes", "is_woken"),
    [(True, {"priority": 5}, True), (True, {"name": "cats"}, False), (False, {"priority": 5}, False)],
)
def test_only_a_changed_queue_position_wakes_the_loop(
    machine: TrainingMachine,
    service: TrainingService,
    monkeypatch: pytest.MonkeyPatch,
    is_queued: bool,
    changes: dict[str, Any],
    is_woken: bool,
):
    if is_queued:
        machine.put()
    else:
        failed_training(machine)
    woken: list[bool] = []
    monkeypatch.setattr(machine.parts.services.changes, "_wake", lambda: woken.append(True))
    changed = machine.parts.services.changes.patch("a", changes, "ann")
    assert {name: getattr(changed, name) for name in changes} == changes
    assert bool(woken) is is_woken


def waiting(clock: FakeClock) -> StopWaiters:
    return StopWaiters(sleep=clock.advance, monotonic=clock.monotonic)


def test_waiter_returns_at_the_end(clock: FakeClock):
    began = clock.monotonic()
    waiting(clock).wait(lambda: clock.monotonic() >= began + 3, 60)
    assert 3 <= clock.monotonic() - began < 3 + 2 * POLL_SECONDS


def test_waiter_returns_after_the_requested_time(clock: FakeClock):
    began = clock.monotonic()
    waiting(clock).wait(lambda: False, 5)
    assert 5 <= clock.monotonic() - began < 5 + 2 * POLL_SECONDS


def test_zero_wait_checks_nothing(clock: FakeClock):
    looks = []
    waiting(clock).wait(lambda: bool(looks.append(1)), 0)
    assert looks == []


def test_surplus_waiter_returns_immediately(clock: FakeClock):
    service = waiting(clock)
    depth = 0

    def check() -> bool:
        nonlocal depth
        depth += 1
        # Each waiter starts another one while it waits.
        service.wait(check, 1)
        return True

    service.wait(check, 1)
    assert depth == MAX_WAITERS


def test_slot_is_released_if_the_check_fails(clock: FakeClock):
    service, looks = waiting(clock), []
    for _ in range(MAX_WAITERS + 1):
        try:
            service.wait(lambda: bool(looks.append(1)) or 1 / 0, 1)
        except ZeroDivisionError:
            continue
    assert len(looks) == MAX_WAITERS + 1


def test_disconnected_client_stops_waiting(clock: FakeClock):
    began = clock.monotonic()
    token = has_caller_left.set(lambda: clock.monotonic() >= began + 2)
    try:
        waiting(clock).wait(lambda: False, 60)
    finally:
        has_caller_left.reset(token)
    assert clock.monotonic() - began < 2 + 2 * POLL_SECONDS


__all__ = ["owned"]

EVERYTHING = TaskFilter()


@pytest.fixture
def lists(owned: Owned) -> TaskLists:
    machine = owned.machine
    machine.run("runs", count=4, owner="ann")
    for number in range(4):
        machine.put(f"ann{number}", count=4, owner="ann")
        machine.clock.advance(1)
    machine.put("bob", count=4, owner="bob")
    machine.put("urgent", count=4, owner="ann", priority=1)
    return TaskLists(machine.tasks, owned.quotas)


def page(lists: TaskLists, limit: int = 50, wanted: TaskFilter = EVERYTHING, **at: Any) -> list[str]:
    rows, _ = lists.page(wanted, limit, at.get("offset"), at.get("cursor"), TaskOrder.QUEUE)
    return [row.task_id for row in rows]


def test_queue_is_listed_in_queue_order(lists: TaskLists, owned: Owned):
    assert page(lists) == ["urgent", "bob", "ann0", "ann1", "ann2", "ann3"]
    positions = [owned.machine.parts.services.changes._forecast.of(task) for task in owned.machine.tasks.queued()]
    assert [found.position for found in positions if found] == [1, 3, 4, 5, 6, 2]


def test_pages_follow_each_other_by_cursor_and_by_offset(lists: TaskLists, owned: Owned):
    assert page(lists, 2, offset=1) == ["bob", "ann0"]
    serial = owned.machine.tasks.get("ann0").serial
    rows, total = lists.page(EVERYTHING, 2, None, serial, TaskOrder.QUEUE)
    assert ([row.task_id for row in rows], total) == (["ann1", "ann2"], 6)


def test_task_that_left_the_queue_keeps_its_position(lists: TaskLists, owned: Owned):
    serial = owned.machine.tasks.get("ann1").serial
    owned.machine.request_task_stop("ann1")
    assert page(lists, cursor=serial) == ["ann2", "ann3"]


def test_moved_queue_of_a_server_without_users_is_listed_in_pages(machine: TrainingMachine):
    for number in range(5):
        machine.put(f"t{number}")
    machine.tasks.patch("t4", {}, machine.clock.now(), "test", 0)
    lists, seen, cursor = TaskLists(machine.tasks, None), list[str](), None
    while rows := lists.page(EVERYTHING, 2, None, cursor, TaskOrder.QUEUE)[0]:
        seen += [row.task_id for row in rows]
        cursor = rows[-1].serial
    assert seen == ["t4", "t0", "t1", "t2", "t3"]


def test_filters_apply_in_queue_order(lists: TaskLists):
    assert page(lists, wanted=TaskFilter(search="ann")) == ["ann0", "ann1", "ann2", "ann3"]
    assert page(lists, wanted=TaskFilter(model_type="flux")) == []


def test_newest_tasks_come_first_by_default(lists: TaskLists):
    rows, _ = lists.page(EVERYTHING, 2, None, None, TaskOrder.NEWEST)
    assert [row.task_id for row in rows] == ["urgent", "bob"]
