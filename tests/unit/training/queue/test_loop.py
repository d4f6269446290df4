"""Rounds of the loop: leadership, database outages and idle rounds."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import update

from api.db.database import Database
from api.db.tables import leadership
from api.domain.tasks.training import TaskStatus
from api.errors import DatabaseUnavailable
from tests.unit.trainings import TrainingMachine


def test_new_claim_is_started_in_the_same_round(machine: TrainingMachine):
    machine.put()
    machine.train()
    assert (machine.status(), len(machine.executor.submissions)) == (TaskStatus.STARTING, 1)


def test_idle_round_does_not_query_the_executor(machine: TrainingMachine, monkeypatch: pytest.MonkeyPatch):
    machine.train()
    ticks: list[bool] = []
    monkeypatch.setattr(machine.reconciler, "tick", lambda: ticks.append(True) or False)
    machine.parts.loop.run_once()
    assert ticks == []
    machine.put()
    machine.parts.loop.run_once()
    assert ticks


def test_one_of_two_servers_on_a_storage_observes_the_trainings(machine: TrainingMachine):
    other = TrainingMachine(machine.database, machine.root, machine.clock)
    try:
        machine.put()
        for server in (machine, other):
            server.train()
        assert (machine.parts.loop.is_here, other.parts.loop.is_here) == (True, False)
        assert (len(machine.executor.submissions), len(other.executor.submissions)) == (1, 0)
        machine.parts.loop.stop()
        other.train()
        assert other.parts.loop.is_here
    finally:
        other.close()


def test_server_without_leadership_writes_nothing(machine: TrainingMachine):
    machine.run()
    other = TrainingMachine(machine.database, machine.root, machine.clock)
    try:
        machine.parts.loop._watching.release()
        machine.parts.loop._leading.release()
        machine.parts.loop._lock.release()
        other.train()
        machine.train()
        assert (machine.parts.loop.is_here, other.parts.loop.is_here) == (False, True)
        assert machine.parts.watches.find("a") is None
    finally:
        other.close()


def test_server_that_loses_only_the_queue_still_observes_its_trainings(
    machine: TrainingMachine, caplog: pytest.LogCaptureFixture
):
    machine.run()
    taken_over = {"holder": "other", "fence": leadership.c.fence + 1}
    with machine.database.write() as connection:
        connection.execute(update(leadership).where(leadership.c.scope == "queue").values(taken_over))
    machine.put("b")
    caplog.set_level("INFO")
    for _ in range(2):
        machine.train()
        assert machine.parts.loop.is_here
        assert machine.parts.watches.find("a") is not None
        assert machine.status("b") is TaskStatus.QUEUED
    assert [record.message for record in caplog.records] == ["another server manages the queue"]


def test_database_outage_is_logged_once_and_its_end_once(
    machine: TrainingMachine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    machine.run()

    @contextmanager
    def away(_: Database) -> Iterator[None]:
        raise DatabaseUnavailable
        yield

    with monkeypatch.context() as broken:
        broken.setattr(Database, "read", away)
        broken.setattr(Database, "write", away)
        for _ in range(3):
            machine.train()
    assert [record.message for record in caplog.records] == ["the database is unavailable; trainings continue"]
    caplog.set_level("INFO")
    machine.train()
    assert "the database is available again" in caplog.text
    assert machine.status() is TaskStatus.RUNNING
