"""Stops as the database keeps them."""

import pytest

from api.domain.training import EventKind, StopRung, TaskStatus
from api.errors import Conflict
from api.training.stop_store import ask_to_stop, note_rung
from tests.unit.db.builders import NOW, Stores, a_stop


def ask(stores: Stores, task_id: str = "t1", *, force: bool = False) -> None:
    task = stores.tasks.get_summary(task_id)
    with stores.database.write() as connection:
        ask_to_stop(connection, task, a_stop(force=force), NOW, "asked to stop")


def test_one_that_waits_has_stopped(stores: Stores):
    stores.in_status(TaskStatus.QUEUED)
    ask(stores)
    assert stores.status() is TaskStatus.STOPPED


def test_one_that_runs_is_stopping_and_only_gets_harder(stores: Stores):
    stores.running()
    ask(stores, force=True)
    ask(stores)
    stop = stores.tasks.get_summary("t1").stop
    assert stores.status() is TaskStatus.STOPPING
    assert stop is not None
    assert stop.force


def test_one_that_has_ended_cannot_be_asked(stores: Stores):
    stores.in_status(TaskStatus.COMPLETED)
    with pytest.raises(Conflict):
        ask(stores)


def test_rung_of_one_that_does_not_stop_is_not_noted(stores: Stores):
    attempt = stores.running()
    with stores.database.write() as connection:
        note_rung(connection, stores.tasks.get_summary("t1"), a_stop(), attempt.uid, NOW)
    assert stores.tasks.get_summary("t1").stop is None
    assert all(event.type is not EventKind.STOP for event in stores.tasks.events("t1", 0, 50))


def test_rung_of_one_that_stops_is_an_event(stores: Stores):
    attempt = stores.stopping()
    with stores.database.write() as connection:
        rung = a_stop()
        note_rung(connection, stores.tasks.get_summary("t1"), rung, attempt.uid, NOW)
    assert [event.type for event in stores.tasks.events("t1", 0, 50)][-1] is EventKind.STOP
    assert StopRung.KILL is not rung.rung
