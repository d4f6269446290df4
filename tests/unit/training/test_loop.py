"""A round of the loop: who leads, what it does when the database fails, and when there is nothing to do."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from api.db.database import Database
from api.domain.training import TaskStatus
from api.errors import DatabaseUnavailable
from tests.unit.trainings import TrainingMachine


def test_what_was_just_claimed_is_started_in_the_same_round(machine: TrainingMachine):
    machine.put()
    machine.train()
    assert (machine.status(), len(machine.executor.submissions)) == (TaskStatus.STARTING, 1)


def test_a_round_without_news_and_work_asks_the_executor_nothing(
    machine: TrainingMachine, monkeypatch: pytest.MonkeyPatch
):
    machine.train()
    ticks: list[bool] = []
    monkeypatch.setattr(machine.reconciler, "tick", lambda: ticks.append(True) or False)
    machine.parts.loop.run_once()
    assert ticks == []
    machine.put()
    machine.parts.loop.run_once()
    assert ticks


def test_one_of_two_servers_on_a_storage_looks_after_the_trainings(machine: TrainingMachine):
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


def test_who_lost_the_leadership_writes_nothing_and_asks_anew(machine: TrainingMachine):
    machine.run()
    other = TrainingMachine(machine.database, machine.root, machine.clock)
    try:
        machine.parts.loop._watching.release()
        machine.parts.loop._leading.release()
        machine.parts.loop._lock.release()
        other.train()
        machine.train()
        assert (machine.parts.loop.is_here, other.parts.loop.is_here) == (False, True)
        assert machine.reconciler.find_watch("a") is None
    finally:
        other.close()


def test_a_database_that_does_not_answer_is_told_of_once_and_again_when_it_does(
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
    assert [record.message for record in caplog.records] == ["the database does not answer; trainings go on"]
    caplog.set_level("INFO")
    machine.train()
    assert "the database answers again" in caplog.text
    assert machine.status() is TaskStatus.RUNNING
