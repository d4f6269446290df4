"""Stops in the database."""

import pytest

from api.domain.tasks.training import EventKind, StopRung, TaskStatus
from api.errors import Conflict
from api.training.records.status_changes import record_stop_step, request_task_stop
from tests.unit.db.builders import NOW, Stores, a_stop


def ask(stores: Stores, task_id: str = "t1", *, force: bool = False) -> None:
    task = stores.tasks.get_summary(task_id)
    with stores.database.write() as connection:
        request_task_stop(connection, task, a_stop(force=force), NOW, "asked to stop")


def test_queued_task_has_stopped(stores: Stores):
    stores.in_status(TaskStatus.QUEUED)
    ask(stores)
    assert stores.status() is TaskStatus.STOPPED


def test_running_task_is_stopping_and_the_stop_only_becomes_harder(stores: Stores):
    stores.running()
    ask(stores, force=True)
    ask(stores)
    stop = stores.tasks.get_summary("t1").stop
    assert stores.status() is TaskStatus.STOPPING
    assert stop is not None
    assert stop.force


def test_ended_task_cannot_be_stopped(stores: Stores):
    stores.in_status(TaskStatus.COMPLETED)
    with pytest.raises(Conflict):
        ask(stores)


def test_rung_of_a_task_that_is_not_stopping_is_not_stored(stores: Stores):
    attempt = stores.running()
    with stores.database.write() as connection:
        record_stop_step(connection, stores.tasks.get_summary("t1"), a_stop(), attempt.uid, NOW)
    assert stores.tasks.get_summary("t1").stop is None
    assert all(event.type is not EventKind.STOP for event in stores.tasks.events("t1", 0, 50))


def test_rung_of_a_stopping_task_is_an_event(stores: Stores):
    attempt = stores.stopping()
    with stores.database.write() as connection:
        rung = a_stop()
        record_stop_step(connection, stores.tasks.get_summary("t1"), rung, attempt.uid, NOW)
    assert [event.type for event in stores.tasks.events("t1", 0, 50)][-1] is EventKind.STOP
    assert StopRung.KILL is not rung.rung
