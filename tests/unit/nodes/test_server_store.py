"""Servers as rows, on both databases."""

from dataclasses import replace
from datetime import timedelta

import pytest

from api.access.audit_store import AuditStore
from api.db.database import Database
from api.domain.access.audit import AuditEntry
from api.nodes.server_models import StoredServer
from api.nodes.server_store import ServerStore
from api.util.clock import Mark, SteadyMark
from tests.unit.db.builders import NOW, later

FIRST = StoredServer("a", "1@2@3@boot@root@gpu1", "gpu1", "host", 8080, 1, "1.0.0", NOW, NOW)
STEADY = SteadyMark(NOW, Mark("boot", 100.0))


@pytest.fixture
def store(database: Database) -> ServerStore:
    return ServerStore(database)


def test_heartbeat_creates_and_updates_the_row(store: ServerStore):
    store.sign(FIRST, STEADY)
    moved = replace(FIRST, last_seen=later(10))
    store.sign(moved, STEADY)
    assert store.list() == [moved]


def test_rows_are_listed_oldest_first_and_deleted_one_by_one(store: ServerStore):
    second = replace(FIRST, server_id="b", started_at=later(5), last_seen=later(5))
    for each in (second, FIRST):
        store.sign(each, STEADY)
    assert [server.server_id for server in store.list()] == ["a", "b"]
    store.remove("a")
    assert [server.server_id for server in store.list()] == ["b"]


def test_long_silent_servers_are_deleted_together(store: ServerStore):
    store.sign(FIRST, STEADY)
    store.sign(replace(FIRST, server_id="b", last_seen=later(3600)), STEADY)
    store.remove_silent(NOW + timedelta(minutes=30))
    assert [server.server_id for server in store.list()] == ["b"]


def test_steady_time_of_a_machine_is_stored_with_its_boot(store: ServerStore):
    store.sign(FIRST, STEADY)
    moved = SteadyMark(later(10), Mark("boot", 110.0))
    store.sign(FIRST, moved)
    assert store.last_steady("gpu1") == moved
    assert store.last_steady("gpu2") == SteadyMark(later(10), Mark("", 0.0))


def test_steady_time_starts_at_the_latest_time_in_the_database(store: ServerStore, database: Database):
    assert store.last_steady("gpu1") is None
    AuditStore(database).append([AuditEntry(later(20), "anna", "create_training")])
    assert store.last_steady("gpu1") == SteadyMark(later(20), Mark("", 0.0))
