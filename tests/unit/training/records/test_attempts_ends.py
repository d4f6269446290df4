"""Ends of attempts: each once, and the effects of a retry."""

from datetime import timedelta

import pytest

from api.domain.machines.lease import LeaseState
from api.domain.tasks.training import AttemptStatus, ResumeOptions, TaskStatus
from api.errors import Conflict
from tests.unit.db.builders import (
    HANG,
    NOW,
    Stores,
    a_stop,
    at_step,
    later,
    new_attempt,
)


@pytest.mark.parametrize("status", [TaskStatus.COMPLETED, TaskStatus.FAILED])
def test_end_is_stored_with_an_event(stores: Stores, status: TaskStatus):
    attempt = stores.running()
    assert stores.finish(attempt, status, cause=HANG, outcome={"exit_code": 1}, progress=at_step(9))
    ended, task = stores.attempts.get(attempt.uid), stores.tasks.get("t1")
    assert (ended.status, ended.ended_at, ended.outcome, ended.cause) == ("ended", NOW, {"exit_code": 1}, HANG)
    assert (task.status, task.finished_at, task.cause, task.progress) == (status, NOW, HANG, at_step(9))
    event = stores.tasks.events("t1", 0, 100)[-1]
    assert (event.type, event.attempt, event.previous, event.current) == ("status", "t1.1", "running", status)


def test_attempt_ends_once(stores: Stores):
    attempt = stores.running()
    assert stores.finish(attempt, TaskStatus.FAILED)
    before = stores.tasks.get("t1"), stores.attempts.get(attempt.uid), stores.tasks.count_events("t1")
    assert not stores.finish(attempt, TaskStatus.COMPLETED, last_step=99)
    assert (stores.tasks.get("t1"), stores.attempts.get(attempt.uid), stores.tasks.count_events("t1")) == before


def test_ended_attempt_does_not_end_the_next_one(stores: Stores):
    first = stores.running()
    stores.finish(first, TaskStatus.QUEUED)
    second = stores.attempts.claim(new_attempt("t1", 1), NOW)
    assert not stores.finish(first, TaskStatus.FAILED)
    assert stores.attempts.get(second.uid).status is AttemptStatus.CLAIMED
    assert stores.status() is TaskStatus.STARTING


def test_invalid_end_changes_nothing(stores: Stores):
    attempt = stores.running()
    with pytest.raises(Conflict):
        stores.finish(attempt, TaskStatus.STOPPED)
    assert stores.attempts.get(attempt.uid).status is AttemptStatus.RUNNING
    assert {lease.state for lease in stores.attempts.leases()} == {LeaseState.HELD}


def test_progress_stays_if_the_end_has_none(stores: Stores):
    attempt = stores.running()
    stores.attempts.save_progress({"t1": at_step(5)}, NOW)
    stores.finish(attempt, TaskStatus.FAILED)
    assert stores.tasks.get("t1").progress == at_step(5)


def test_warning_is_removed_with_the_end_of_the_attempt(stores: Stores):
    attempt = stores.running()
    stores.tasks.set_warning("t1", attempt.uid, "It seems to hang.", NOW)
    stores.finish(attempt, TaskStatus.QUEUED)
    assert stores.tasks.get("t1").warning is None


def test_retry_is_delayed_and_has_its_reason(stores: Stores):
    attempt = stores.running()
    stores.finish(
        attempt,
        TaskStatus.QUEUED,
        cause=HANG,
        retry_in=timedelta(seconds=30),
        retry_counts=True,
        retries_in_a_row=2,
        resume={"checkpoint": None, "reset_dataloader": True, "reset_optimizer": False},
    )
    task = stores.tasks.get("t1")
    assert (task.status, task.retry_not_before, task.cause, task.finished_at) == (
        TaskStatus.QUEUED,
        later(30),
        HANG,
        None,
    )
    assert (task.retries, task.retries_in_a_row) == (1, 2)
    assert task.resume == ResumeOptions(reset_dataloader=True)


def test_uncounted_retry_uses_no_retry(stores: Stores):
    stores.finish(stores.running(), TaskStatus.QUEUED, retry_counts=True)
    attempt = stores.attempts.claim(new_attempt("t1", 1), NOW)
    stores.finish(attempt, TaskStatus.QUEUED, retries_in_a_row=1)
    task = stores.tasks.get("t1")
    assert (task.retries, task.retries_in_a_row, task.retry_not_before, task.resume) == (1, 1, NOW, None)


def test_cause_of_an_earlier_attempt_is_removed_on_completion(stores: Stores):
    stores.finish(stores.running(), TaskStatus.QUEUED, cause=HANG)
    attempt = stores.attempts.claim(new_attempt("t1", 1), NOW)
    stores.finish(attempt, TaskStatus.COMPLETED)
    assert stores.tasks.get("t1").cause is None


def test_stop_by_the_service_ends_with_its_attempt(stores: Stores):
    attempt = stores.running()
    stores.tasks.request_stop("t1", a_stop("service", cause=HANG), NOW, "it hangs")
    stores.finish(attempt, TaskStatus.QUEUED, cause=HANG)
    assert stores.tasks.get("t1").stop is None


def test_task_stopped_by_a_user_is_not_retried(stores: Stores):
    attempt = stores.running()
    stores.tasks.request_stop("t1", a_stop(), NOW, "asked to stop")
    assert stores.finish(attempt, TaskStatus.QUEUED, cause=HANG, retry_counts=True)
    task = stores.tasks.get("t1")
    assert (task.status, task.finished_at, task.cause, task.retries) == (TaskStatus.STOPPED, NOW, None, 0)
    assert stores.attempts.get(attempt.uid).cause == HANG
    assert {lease.state for lease in stores.attempts.leases()} == {LeaseState.DRAINING}
