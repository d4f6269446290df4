"""The list of servers by their heartbeats, with the scopes that they lead."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert

from api.db.database import Database, sqlite_url
from api.db.tables import leadership
from api.domain.machines.node import NodeStatus
from api.errors import DatabaseUnavailable
from api.nodes.server_identity import ServerIdentity
from api.nodes.server_models import ServerInfo, StoredServer
from api.nodes.server_store import ServerStore
from api.nodes.servers import SIGN_SECONDS, SILENT_SECONDS, ServerList, server_id_of
from api.util.clock import FakeClock

HERE = ServerIdentity("gpu1", "boot", 7, "root", 100, 5, "a")
THERE = ServerIdentity("gpu2", "boot", 7, "root", 200, 6, "b")


def server_of(identity: ServerIdentity, clock: FakeClock) -> StoredServer:
    now = clock.now()
    process = identity.process
    return StoredServer(server_id_of(process), process, identity.node, "host", 8080, identity.pid, "1.0.0", now, now)


class Pair:
    """Two servers on one database."""

    def __init__(self, database: Database, clock: FakeClock) -> None:
        self.database = database
        self.clock = clock
        self.store = ServerStore(database)
        self.here = ServerList(self.store, HERE, server_of(HERE, clock), clock)
        self.there = ServerList(self.store, THERE, server_of(THERE, clock), clock)

    def pass_time(self, seconds: float, *signing: ServerList) -> None:
        for _ in range(int(seconds / SIGN_SECONDS)):
            self.clock.advance(SIGN_SECONDS)
            for each in signing:
                each.sign()

    def seen(self) -> dict[str, ServerInfo]:
        return {server.node: server for server in self.here.list()}


@pytest.fixture
def database(migrated_file: Path, tmp_path: Path) -> Iterator[Database]:
    shutil.copy(migrated_file, tmp_path / "database.sqlite")
    database = Database(sqlite_url(tmp_path / "database.sqlite"))
    yield database
    database.close()


@pytest.fixture
def pair(database: Database) -> Pair:
    pair = Pair(database, FakeClock())
    pair.here.sign()
    pair.there.sign()
    return pair


def test_every_server_is_listed(pair: Pair):
    shown = pair.seen()
    assert {node: (server.state, server.is_this_server) for node, server in shown.items()} == {
        "gpu1": (NodeStatus.UP, True),
        "gpu2": (NodeStatus.UP, False),
    }
    assert (shown["gpu2"].pid, shown["gpu2"].silent_seconds) == (200, 0.0)


def test_silent_server_is_unknown_until_its_next_heartbeat(pair: Pair):
    pair.pass_time(SILENT_SECONDS + SIGN_SECONDS, pair.here)
    silent = pair.seen()["gpu2"]
    assert (silent.state, silent.silent_seconds) == (NodeStatus.UNKNOWN, SILENT_SECONDS + 5)
    pair.there.sign()
    assert pair.seen()["gpu2"].state is NodeStatus.UP


def test_wrong_clock_makes_no_server_silent(pair: Pair):
    pair.seen()
    mine = server_of(THERE, pair.clock)
    pair.pass_time(60, pair.here)
    pair.store.sign(replace(mine, last_seen=mine.last_seen - timedelta(days=9)), pair.clock.steady.read())
    assert pair.seen()["gpu2"].state is NodeStatus.UP


def test_ended_process_is_down(pair: Pair):
    # Its machine has rebooted since.
    before = replace(HERE, boot_id="earlier", pid=50)
    pair.store.sign(server_of(before, pair.clock), pair.clock.steady.read())
    assert [server.state for server in pair.here.list() if server.pid == 50] == [NodeStatus.DOWN]


def test_stopped_server_is_removed_immediately(pair: Pair):
    pair.there.stop()
    assert list(pair.seen()) == ["gpu1"]


def test_day_old_row_is_removed_by_the_next_server(pair: Pair):
    pair.clock.advance(25 * 3600)
    ServerList(pair.store, replace(HERE, pid=101), server_of(replace(HERE, pid=101), pair.clock), pair.clock).sign()
    assert [server.pid for server in pair.store.list()] == [101]


def test_leadership_scopes_have_readable_names(pair: Pair):
    scopes = {"queue": THERE, "attempts 0a1b": HERE, "alerts": HERE, "alerts of gpu2": THERE, "cache": HERE}
    with pair.database.write() as connection:
        for scope, leader in scopes.items():
            row = {"scope": scope, "fence": 1, "holder": leader.as_leader(False), "expires_at": 0.0}
            connection.execute(insert(leadership).values(row))
    leads = {node: server.leads for node, server in pair.seen().items()}
    assert leads == {"gpu1": ("alerts", "attempts", "cache"), "gpu2": ("machine_alerts", "queue")}


def test_silent_server_leads_nothing(pair: Pair):
    with pair.database.write() as connection:
        row = {"scope": "queue", "fence": 1, "holder": THERE.as_leader(True), "expires_at": 0.0}
        connection.execute(insert(leadership).values(row))
    pair.pass_time(SILENT_SECONDS + SIGN_SECONDS, pair.here)
    assert pair.seen()["gpu2"].leads == ()


def test_heartbeat_continues_after_a_database_outage(pair: Pair, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        patch.setattr(pair.store, "sign", refuse)
        pair.here._sign_again()
        pair.here.stop()
    pair.here._sign_again()
    assert "gpu1" in {server.node for server in pair.store.list()}


def refuse(*_: object) -> None:
    raise DatabaseUnavailable


def test_clock_that_is_far_ahead_is_logged_once(pair: Pair, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO")
    pair.clock.jump(25 * 3600)
    pair.pass_time(30, pair.here)
    pair.clock.jump(-25 * 3600)
    pair.pass_time(10, pair.here)
    assert [record.message[:14] for record in caplog.records if "wall clock" in record.message] == [
        "the wall clock",
        "the wall clock",
    ]


def test_steady_time_survives_a_restart_with_the_clock_set_forward(pair: Pair):
    before = pair.clock.now()
    pair.clock.jump(366 * 86_400)
    pair.clock.restart()
    known = pair.store.last_steady("gpu1")
    assert known is not None
    pair.clock.steady.resume(known)
    assert pair.clock.steady.now() == before
