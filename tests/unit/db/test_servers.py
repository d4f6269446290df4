"""The servers as rows, on both databases."""

from dataclasses import replace
from datetime import timedelta

import pytest

from api.access.audit_store import AuditStore
from api.db.database import Database
from api.domain.audit import AuditEntry
from api.nodes.server_models import KeptServer
from api.nodes.server_store import ServerStore
from api.util.clock import Mark, SteadyMark
from tests.unit.db.builders import NOW, later

FIRST = KeptServer("a", "1@2@3@boot@root@gpu1", "gpu1", "host", 8080, 1, "1.0.0", NOW, NOW)
STEADY = SteadyMark(NOW, Mark("boot", 100.0))


@pytest.fixture
def store(database: Database) -> ServerStore:
    return ServerStore(database)


def test_a_sign_makes_the_row_and_moves_it_on(store: ServerStore):
    store.sign(FIRST, STEADY)
    moved = replace(FIRST, last_seen=later(10))
    store.sign(moved, STEADY)
    assert store.list() == [moved]


def test_rows_are_listed_oldest_first_and_leave_one_by_one(store: ServerStore):
    second = replace(FIRST, server_id="b", started_at=later(5), last_seen=later(5))
    for each in (second, FIRST):
        store.sign(each, STEADY)
    assert [server.server_id for server in store.list()] == ["a", "b"]
    store.remove("a")
    assert [server.server_id for server in store.list()] == ["b"]


def test_those_that_were_silent_for_long_are_forgotten_together(store: ServerStore):
    store.sign(FIRST, STEADY)
    store.sign(replace(FIRST, server_id="b", last_seen=later(3600)), STEADY)
    store.remove_silent(NOW + timedelta(minutes=30))
    assert [server.server_id for server in store.list()] == ["b"]


def test_steady_time_of_a_machine_is_kept_with_its_boot(store: ServerStore):
    store.sign(FIRST, STEADY)
    moved = SteadyMark(later(10), Mark("boot", 110.0))
    store.sign(FIRST, moved)
    assert store.last_steady("gpu1") == moved
    assert store.last_steady("gpu2") == SteadyMark(later(10), Mark("", 0.0))


def test_steady_time_begins_at_the_latest_that_the_database_knows(store: ServerStore, database: Database):
    assert store.last_steady("gpu1") is None
    AuditStore(database).append([AuditEntry(later(20), "anna", "create_training")])
    assert store.last_steady("gpu1") == SteadyMark(later(20), Mark("", 0.0))
