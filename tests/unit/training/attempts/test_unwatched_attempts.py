"""Attempts that no server observes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from api.db.database import Database, sqlite_url
from api.db.leadership import Leaders, Leadership
from api.nodes.server_identity import name_scope
from api.training.attempts.unwatched_attempts import CHECK_SECONDS, QUIET_SECONDS, UnwatchedAttempts
from api.training.records.attempt_store import ObservedAttempts
from api.util.clock import FakeClock
from tests.databases import hurry
from tests.unit.db.builders import NODE, ROOT, Stores

ELSEWHERE = Path("/elsewhere")


class World:
    """A database with a training of this server and one of another storage."""

    def __init__(self, database: Database) -> None:
        self.clock = FakeClock()
        self.database = database
        self.stores = Stores(database)
        self.unwatched = UnwatchedAttempts(
            self.stores.tasks, ObservedAttempts(self.stores.attempts, NODE, ROOT), Leaders(database), self.clock
        )
        self.stores.running("t1", 0, directory_of="/data/tasks/t1/attempts")
        self.stores.running("t2", 1, directory_of="/elsewhere/tasks/t2/attempts")

    def warning(self, task_id: str) -> str | None:
        return self.stores.tasks.get_summary(task_id).warning

    def watch(self) -> Leadership:
        scope = name_scope(ELSEWHERE, NODE)
        made = Leadership(self.database, scope, lambda: "other", self.clock, lambda _: False)
        assert made.hold()
        return made


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    database = Database(sqlite_url(tmp_path / "database.sqlite"))
    hurry(database)
    database.migrate()
    yield World(database)
    database.close()


def test_task_of_an_unobserved_attempt_gets_a_warning(world: World):
    world.unwatched.check()
    assert "with the storage /elsewhere, which no server observes now" in (world.warning("t2") or "")
    assert world.warning("t1") is None


def test_attempt_observed_by_its_own_server_is_not_unknown(world: World):
    world.watch()
    world.unwatched.check()
    assert world.warning("t2") is None


def test_attempt_is_unknown_if_its_server_is_silent_for_long(world: World):
    world.watch()
    world.unwatched.check()
    world.clock.advance(QUIET_SECONDS + CHECK_SECONDS)
    world.unwatched.check()
    assert world.warning("t2") is not None


def test_warning_is_set_once(world: World):
    for _ in range(3):
        world.unwatched.check()
        world.clock.advance(CHECK_SECONDS)
    assert sum(event.type == "warning" for event in world.stores.tasks.events("t2", 0, 100)) == 1
