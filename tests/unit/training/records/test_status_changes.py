"""Transitions of a task's status, stops, and resumes."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from api.domain.tasks.task import ProcessIdentity
from api.domain.tasks.training import TRANSITIONS, EventKind, GPURequest, ResumeOptions, StopRung, TaskStatus
from api.errors import Conflict, TaskActive, TaskNotFinished, TaskNotFound
from api.training.records.status_changes import move
from tests.unit.db.builders import HANG, NOW, Stores, a_stop, beside, later, new_attempt, new_task

ALLOWED = [(status, target) for status, targets in TRANSITIONS.items() for target in sorted(targets)]
FORBIDDEN = [(status, target) for status in TaskStatus for target in TaskStatus if (status, target) not in ALLOWED]
ACTIVE = [status for status in TaskStatus if status.is_active]
FINISHED = [status for status in TaskStatus if status.is_finished]


def resume(stores: Stores, task_id: str = "t1", options: ResumeOptions | None = None) -> None:
    task = stores.tasks.get(task_id)
    chosen = options or ResumeOptions("global_step100")
    stores.tasks.enqueue_again(task_id, chosen, task.request, task.plan, later(10), "bob", "to be resumed")


# -- transitions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "target"), ALLOWED)
def test_valid_transition_is_stored_with_an_event(stores: Stores, status: TaskStatus, target: TaskStatus):
    stores.in_status(status)
    with stores.database.write() as connection:
        assert move(connection, "t1", target, NOW, "ann", "because") is status
    assert stores.status() is target
    event = stores.tasks.events("t1", 0, 100)[-1]
    assert (event.type, event.previous, event.current, event.message) == (EventKind.STATUS, status, target, "because")


@pytest.mark.parametrize(("status", "target"), FORBIDDEN)
def test_invalid_transition_changes_nothing(stores: Stores, status: TaskStatus, target: TaskStatus):
    stores.in_status(status)
    before = stores.tasks.get("t1"), stores.tasks.count_events("t1")
    with pytest.raises(Conflict) as refused, stores.database.write() as connection:
        move(connection, "t1", target, NOW, "ann", "because")
    assert refused.value.data == {"status": status}
    assert (stores.tasks.get("t1"), stores.tasks.count_events("t1")) == before


def test_transition_of_an_unknown_task_is_not_found(stores: Stores):
    with pytest.raises(TaskNotFound), stores.database.write() as connection:
        move(connection, "t1", TaskStatus.STARTING, NOW, "ann", "because")


def test_one_of_many_concurrent_transitions_succeeds(stores: Stores):
    stores.in_status(TaskStatus.QUEUED)
    together = threading.Barrier(8)

    def start(_: int) -> bool:
        together.wait()
        try:
            with stores.database.write() as connection:
                move(connection, "t1", TaskStatus.STARTING, NOW, "ann", "because")
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(start, range(8))) == [False] * 7 + [True]
    assert stores.tasks.count_events("t1") == 2


# -- stops -------------------------------------------------------------------------------------------------------------


def test_queued_task_stops_immediately(stores: Stores):
    stores.in_status(TaskStatus.QUEUED)
    stopped = stores.tasks.request_stop("t1", a_stop(), later(5), "asked to stop")
    assert (stopped.status, stopped.finished_at, stopped.updated_at) == (TaskStatus.STOPPED, later(5), later(5))


@pytest.mark.parametrize("status", [TaskStatus.STARTING, TaskStatus.RUNNING])
def test_task_with_a_process_is_stopping(stores: Stores, status: TaskStatus):
    stores.in_status(status)
    stopping = stores.tasks.request_stop("t1", a_stop(), NOW, "asked to stop")
    assert (stopping.status, stopping.stop, stopping.finished_at) == (TaskStatus.STOPPING, a_stop(), None)


@pytest.mark.parametrize("status", FINISHED)
def test_finished_task_is_not_stopped(stores: Stores, status: TaskStatus):
    stores.in_status(status)
    with pytest.raises(Conflict):
        stores.tasks.request_stop("t1", a_stop(), NOW, "asked to stop")
    assert stores.status() is status


def test_stop_of_an_unknown_task_is_not_found(stores: Stores):
    with pytest.raises(TaskNotFound):
        stores.tasks.request_stop("t1", a_stop(), NOW, "asked to stop")


def test_stop_can_become_harder(stores: Stores):
    stores.stopping()
    stop = stores.tasks.request_stop("t1", a_stop("bob", force=True), later(9), "asked again").stop
    assert stop == replace(a_stop(), force=True, actor="bob")
    event = stores.tasks.events("t1", 0, 100)[-1]
    assert (event.type, event.message, event.actor) == (EventKind.STOP, "asked again", "bob")


def test_stop_never_becomes_softer(stores: Stores):
    stores.running()
    stores.tasks.request_stop("t1", a_stop(force=True), NOW, "asked to stop")
    before = stores.tasks.count_events("t1")
    assert stores.tasks.request_stop("t1", a_stop("bob"), NOW, "asked again").stop == a_stop(force=True)
    assert stores.tasks.count_events("t1") == before


@pytest.mark.parametrize("was_forced", [False, True])
def test_stop_by_a_user_replaces_one_by_the_service(stores: Stores, was_forced: bool):
    stores.running()
    stores.tasks.request_stop("t1", a_stop("service", force=was_forced, cause=HANG), NOW, "it hangs")
    stop = stores.tasks.request_stop("t1", a_stop("bob"), NOW, "asked to stop").stop
    assert stop == a_stop("bob", force=was_forced)


def test_stop_by_the_service_never_replaces_one_by_a_user(stores: Stores):
    stores.stopping()
    stop = stores.tasks.request_stop("t1", a_stop("service", force=True, cause=HANG), NOW, "it hangs").stop
    assert stop is not None
    assert (stop.cause, stop.force) == (None, True)


def test_rung_of_a_stop_is_stored_with_an_event(stores: Stores):
    attempt = stores.stopping()
    task = stores.tasks.get_summary("t1")
    assert task.stop is not None
    for rung in (StopRung.CHECKPOINT, StopRung.KILL):
        stores.tasks.record_stop_step(task, replace(task.stop, rung=rung), attempt.uid, NOW)
    assert stores.tasks.get("t1").stop == replace(a_stop(), rung=StopRung.KILL)
    event = stores.tasks.events("t1", 0, 100)[-1]
    assert (event.type, event.attempt, event.previous, event.current) == ("stop", attempt.uid, "checkpoint", "kill")


def test_late_rung_does_not_soften_the_stop(stores: Stores):
    attempt = stores.stopping()
    read_before = stores.tasks.get_summary("t1")
    assert read_before.stop is not None
    stores.tasks.request_stop("t1", a_stop("bob", force=True), NOW, "asked again")
    stores.tasks.record_stop_step(read_before, replace(read_before.stop, rung=StopRung.CHECKPOINT), attempt.uid, NOW)
    assert stores.tasks.get("t1").stop == replace(a_stop("bob", force=True), rung=StopRung.CHECKPOINT)


def test_rung_after_the_end_changes_nothing(stores: Stores):
    attempt = stores.stopping()
    task = stores.tasks.get_summary("t1")
    stores.finish(attempt, TaskStatus.STOPPED)
    before = stores.tasks.get("t1"), stores.tasks.count_events("t1")
    stores.tasks.record_stop_step(task, replace(a_stop(), rung=StopRung.KILL), attempt.uid, NOW)
    assert (stores.tasks.get("t1"), stores.tasks.count_events("t1")) == before


# -- resumes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", FINISHED)
def test_finished_task_resumes_like_a_new_one(stores: Stores, status: TaskStatus):
    attempt = stores.stopping()
    stores.finish(attempt, status, cause=HANG, retries_in_a_row=0)
    resume(stores)
    task = stores.tasks.get("t1")
    assert (task.status, task.queued_at, task.resume) == (TaskStatus.QUEUED, later(10), ResumeOptions("global_step100"))
    assert (task.finished_at, task.cause, task.stop, task.warning) == (None, None, None, None)
    assert (task.retries, task.retries_in_a_row, task.attempts) == (0, 0, 1)


def test_task_resumes_with_another_request(stores: Stores):
    stores.in_status(TaskStatus.FAILED)
    changed = new_task("t1", gpus=GPURequest(count=4, min_memory=10), config={"epochs": 9}, caches=("/c",))
    stores.tasks.enqueue_again("t1", ResumeOptions(), changed.request, changed.plan, NOW, "bob", "to be resumed")
    task = stores.tasks.get("t1")
    assert (task.request, task.plan) == (changed.request, changed.plan)
    assert (task.gpu_count, task.gpus, task.caches) == (4, GPURequest(count=4, min_memory=10), ("/c",))


@pytest.mark.parametrize("status", [TaskStatus.QUEUED, *ACTIVE])
def test_unfinished_task_does_not_resume(stores: Stores, status: TaskStatus):
    stores.in_status(status)
    with pytest.raises(TaskActive) as refused:
        resume(stores)
    assert refused.value.data == {"status": status}


def test_unknown_task_does_not_resume(stores: Stores):
    new = new_task()
    with pytest.raises(TaskNotFound):
        stores.tasks.enqueue_again("t1", ResumeOptions(), new.request, new.plan, NOW, "bob", "to be resumed")


def test_resumed_task_keeps_its_first_start(stores: Stores):
    stores.finish(stores.running(), TaskStatus.FAILED)
    resume(stores)
    attempt = stores.attempts.claim(new_attempt("t1", 1), later(20))
    stores.attempts.mark_submitted(attempt)
    stores.attempts.mark_running(attempt, ProcessIdentity(1, 5.0), later(30))
    assert stores.tasks.get("t1").started_at == NOW


# -- concurrency -------------------------------------------------------------------------------------------------------


@pytest.fixture
def on_postgres(stores: Stores) -> Stores:
    """Where two transactions can overlap; on SQLite the second waits before it reads anything."""
    if stores.database.is_sqlite:
        pytest.skip("writers of SQLite take turns")
    return stores


def test_stop_concurrent_with_a_start_stops_the_task(on_postgres: Stores):
    on_postgres.in_status(TaskStatus.QUEUED)
    stop = beside(
        on_postgres.database,
        lambda connection: move(connection, "t1", TaskStatus.STARTING, NOW, "scheduler", "got GPU 0"),
        lambda: on_postgres.tasks.request_stop("t1", a_stop(), NOW, "asked to stop"),
    )
    stop.result()
    assert on_postgres.status() is TaskStatus.STOPPING


def test_start_concurrent_with_a_stop_is_refused(on_postgres: Stores):
    on_postgres.in_status(TaskStatus.QUEUED)
    claim = beside(
        on_postgres.database,
        lambda connection: move(connection, "t1", TaskStatus.STOPPED, NOW, "ann", "stopped", finished_at=0.0),
        lambda: on_postgres.attempts.claim(new_attempt(), NOW),
    )
    assert isinstance(claim.exception(), Conflict)
    assert on_postgres.held() == {}


def test_task_that_is_being_resumed_is_not_deleted(on_postgres: Stores):
    on_postgres.in_status(TaskStatus.QUEUED)
    on_postgres.tasks.request_stop("t1", a_stop(), NOW, "asked to stop")
    delete = beside(
        on_postgres.database,
        lambda connection: move(connection, "t1", TaskStatus.QUEUED, NOW, "ann", "to be resumed"),
        lambda: on_postgres.tasks.delete("t1", NOW),
    )
    assert isinstance(delete.exception(), TaskNotFinished)
    assert on_postgres.status() is TaskStatus.QUEUED


def test_process_start_concurrent_with_a_stop_is_recorded(on_postgres: Stores):
    attempt = on_postgres.claimed()
    on_postgres.attempts.mark_submitted(attempt)
    beside(
        on_postgres.database,
        lambda connection: move(connection, "t1", TaskStatus.STOPPING, NOW, "ann", "asked to stop"),
        lambda: on_postgres.attempts.mark_running(attempt, ProcessIdentity(4711, 5.0), NOW),
    ).result()
    assert on_postgres.status() is TaskStatus.STOPPING
    assert on_postgres.attempts.get(attempt.uid).pid == 4711


def test_event_waits_for_a_concurrent_one(on_postgres: Stores):
    on_postgres.running()
    beside(
        on_postgres.database,
        lambda connection: move(connection, "t1", TaskStatus.STOPPING, NOW, "ann", "first"),
        lambda: on_postgres.tasks.add_event("t1", EventKind.CHECKPOINT, NOW, "trainer", "second", "t1.1"),
    ).result()
    assert [event.message for event in on_postgres.tasks.events("t1", 0, 100)][-2:] == ["first", "second"]
