"""Servers that share a database but not a storage: one assigns GPUs, and each watches what only it can see."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.databases import fresh_postgres
from tests.e2e.server import until
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import LONG, TrainingServer

ENDLESS = toy(100_000, step_seconds=0.1)
LEADS = "this server looks after the trainings"


def _leads(server: TrainingServer) -> bool:
    return any(line["message"] == LEADS for line in server.log())


@pytest.fixture
def database() -> Iterator[str]:
    with fresh_postgres() as url:
        yield url


@pytest.fixture
def first(tmp_path: Path, database: str) -> Iterator[TrainingServer]:
    with TrainingServer(tmp_path / "first", DATABASE_URL=database) as server:
        until(lambda: _leads(server), LONG)
        yield server


@pytest.fixture
def second(tmp_path: Path, database: str, first: TrainingServer) -> Iterator[TrainingServer]:
    with TrainingServer(tmp_path / "second", DATABASE_URL=database) as server:
        yield server


def _attempts(server: TrainingServer, task_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.task(task_id)["attempts"]
    return found


def test_of_two_storages_on_one_database_one_server_leads(first: TrainingServer, second: TrainingServer) -> None:
    asked = [server.start_task(toy(30, step_seconds=0.05)) for server in (first, second) * 3]
    for task_id in asked:
        first.await_status(task_id, "completed")
        assert len(_attempts(first, task_id)) == 1
    assert not _leads(second)
    assert not second.processes.trainers()


def test_attempts_that_only_another_server_can_watch_are_neither_ended_nor_doubled(
    first: TrainingServer, second: TrainingServer
) -> None:
    task_id = first.start_task(ENDLESS)
    first.await_step(task_id, 3)
    main = first.main_of(task_id)
    first.kill()
    until(lambda: _leads(second), LONG, "the second to lead")
    done = second.start_task(toy(5))
    second.await_status(done, "completed")
    task = second.task(task_id)
    assert (task["status"], task["attempt_count"]) == ("running", 1)
    assert first.main_of(task_id) == main
    assert not second.processes_of(task_id)
    # The second server stays the leader; the first one watches again what only it can see.
    first.start()
    step = first.task(task_id)["progress"]["current_step"] or 0
    first.await_step(task_id, step + 3)
    first.stop_task(task_id)
    second.await_status(task_id, "stopped")
    assert first.task(task_id)["attempt_count"] == 1


def test_suspended_leader_loses_its_authority(first: TrainingServer, second: TrainingServer) -> None:
    first.send_signal(signal.SIGSTOP)
    until(lambda: _leads(second), LONG, "the second to lead")
    task_id = second.start_task(toy(5))
    second.await_status(task_id, "completed")
    first.send_signal(signal.SIGCONT)
    until(lambda: any("another server" in line["message"] for line in first.log()), LONG, "the first to stand down")
    after = second.start_task(toy(5))
    second.await_status(after, "completed")
    assert len(_attempts(second, after)) == 1
    assert not first.processes.trainers()
