"""A stop works although the database cannot be written, and is recorded later."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection

from api.db.database import Database
from api.domain.tasks.training import StopRung
from api.errors import DatabaseUnavailable, StorageFull
from api.executors.fake import outcome
from api.web.operations import ResourceKind
from tests.api.client import failure_of
from tests.api.conftest import TRAINING, MakeWorld, World

FULL = StorageFull("The disk of the database is full.")
AWAY = DatabaseUnavailable("The database does not answer.")


class Trouble:
    """The errors of reads and writes, while set."""

    def __init__(self) -> None:
        self.reading: Exception | None = None
        self.writing: Exception | None = None


@pytest.fixture
def trouble(monkeypatch: pytest.MonkeyPatch) -> Trouble:
    trouble = Trouble()

    def failing(name: str):
        use = getattr(Database, name)

        @contextmanager
        def connect(self: Database, **how: Any) -> Iterator[Connection]:
            error = trouble.reading if name == "read" else trouble.writing
            if error is not None:
                raise error
            with use(self, **how) as connection:
                yield connection

        return connect

    for name in ("read", "write"):
        monkeypatch.setattr(Database, name, failing(name))
    return trouble


def ordered(world: World, uid: str):
    return [order for ref, order in world.executor.orders if ref.uid == uid]


@pytest.mark.parametrize("force", [True, False])
def test_stop_on_a_full_disk_is_carried_out_and_recorded_later(world: World, trouble: Trouble, force: bool):
    task_id = world.run()
    uid = world.uid(task_id)
    trouble.writing = FULL
    answer = world.client.post(f"{TRAINING}/{task_id}/stop", json={"force": force})
    assert answer.status_code == 202
    assert answer.json()["data"]["status"] == "stopping"
    assert "is full" in answer.json()["data"]["warning"]
    assert ordered(world, uid)
    assert world.get(task_id)["status"] == "stopping"
    world.executor.ends(uid, outcome(exit_code=None, signal=9, stop_rung=StopRung.KILL))
    world.train()
    trouble.writing = None
    world.train()
    assert world.get(task_id)["status"] == "stopped"
    world.runtime.access.audit.run_once()
    (entry,) = world.client.data("/api/v1/auth/audit?operation=/stop")["entries"]
    assert (entry["object"], entry["after"]) == (task_id, {"force": force, "timeout_seconds": None})


def test_forced_stop_works_while_the_database_cannot_be_read(world: World, trouble: Trouble):
    task_id = world.run()
    uid = world.uid(task_id)
    trouble.reading = trouble.writing = AWAY
    answer = world.client.post(f"{TRAINING}/{task_id}/stop", json={"force": True})
    assert (answer.status_code, answer.json()["data"]["status"]) == (202, "stopping")
    assert ordered(world, uid)


def test_only_the_owner_may_stop_while_the_database_cannot_be_read(make_world: MakeWorld, trouble: Trouble):
    world = make_world(auth="required")
    ann, bob = world.signed_in("ann"), world.signed_in("bob")
    task_id = ann.run()
    uid = ann.uid(task_id)
    world.runtime.access.authority._find_owners[ResourceKind.TASK].cache_clear()  # type: ignore[attr-defined]
    trouble.reading = trouble.writing = AWAY
    refused = bob.client.post(f"{TRAINING}/{task_id}/stop", json={"force": True})
    assert (refused.status_code, failure_of(refused)["error"]["code"]) == (403, "not_yours")
    assert not ordered(world, uid)
    answer = ann.client.post(f"{TRAINING}/{task_id}/stop", json={"force": True})
    assert (answer.status_code, answer.json()["data"]["status"]) == (202, "stopping")
    assert ordered(world, uid)


def test_stop_with_checkpoint_is_rejected_while_the_database_is_unavailable(world: World, trouble: Trouble):
    task_id = world.run()
    uid = world.uid(task_id)
    trouble.writing = AWAY
    answer = world.client.post(f"{TRAINING}/{task_id}/stop", json={})
    assert (answer.status_code, failure_of(answer)["error"]["code"]) == (503, "database_unavailable")
    assert not ordered(world, uid)


def test_disk_reserve_is_released_for_a_stop(world: World, trouble: Trouble, monkeypatch: pytest.MonkeyPatch):
    task_id = world.run()
    world.runtime.storage_watch.check()
    reserve = world.storage / "reserve"
    assert reserve.stat().st_size == 4 * 2**20
    unlink = type(world.runtime.storage_watch._reserve).give_up

    def give_up(self) -> None:
        unlink(self)
        trouble.writing = None

    monkeypatch.setattr(type(world.runtime.storage_watch._reserve), "give_up", give_up)
    trouble.writing = FULL
    answer = world.client.post(f"{TRAINING}/{task_id}/stop", json={})
    assert (answer.status_code, answer.json()["data"]["warning"]) == (202, None)
    assert not reserve.exists()
