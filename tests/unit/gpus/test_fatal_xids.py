"""A GPU with a fatal error stays unhealthy across restarts and servers until it is reset."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.db.database import Database, sqlite_url
from api.domain.machines.gpu import GPUInfo
from api.domain.machines.reading import FaultKind, XidEvent
from api.errors import DatabaseUnavailable
from api.gpus.fatal_xids import FatalXids
from api.gpus.health.xid_store import GPUXidStore
from api.gpus.service import GPUService
from api.gpus.sharing.registration_store import MemoryRegistrations
from api.gpus.sources.source import FakeSource, GPUFault
from api.util.clock import FakeClock, Mark


class Server:
    """A server on a database; the test controls its only GPU."""

    def __init__(self, database: Database, clock: FakeClock) -> None:
        self.source = FakeSource(count=1)
        self.gpus = GPUService(self.source, MemoryRegistrations("here"), clock)
        self.store = GPUXidStore(database)
        self.fatal = FatalXids(self.store, self.gpus)

    def begin(self) -> "Server":
        self.gpus.await_past_xids(self.fatal._thread.trigger)
        self.fatal.sync()
        self.gpus._monitor.sweep()
        return self

    def report_xid(self, xid: int) -> None:
        self.source.xids.append(XidEvent(self.source.identities[0].uuid, xid))
        self.gpus.read_xids()
        self.fatal.sync()

    @property
    def gpu(self) -> GPUInfo:
        return self.gpus.get_all_gpus()[0]


@pytest.fixture
def database(migrated_file: Path, tmp_path: Path) -> Iterator[Database]:
    shutil.copy(migrated_file, tmp_path / "database.sqlite")
    made = Database(sqlite_url(tmp_path / "database.sqlite"))
    yield made
    made.close()


@pytest.fixture
def servers(database: Database, clock: FakeClock) -> Iterator[list[Server]]:
    made = [Server(database, clock), Server(database, clock)]
    yield made
    for server in made:
        server.gpus.stop_monitoring()


def test_fatal_error_survives_a_restart(servers: list[Server]):
    before, after = servers
    before.begin().report_xid(79)
    after.begin()
    assert (after.gpu.is_available, after.gpu.status) == (False, "unknown")
    assert "Xid 79" in (after.gpu.status_reason or "")


@pytest.mark.parametrize("xid", [13, 43, 94])
def test_non_fatal_error_is_not_stored(servers: list[Server], xid: int):
    servers[0].begin().report_xid(xid)
    assert servers[0].store.list() == {}


def test_another_server_reads_the_error_and_the_reset(servers: list[Server], clock: FakeClock):
    one, other = [server.begin() for server in servers]
    one.report_xid(79)
    other.fatal.sync()
    assert not other.gpu.is_available
    # One of the servers sees the GPU disappear and return.
    one.source.faults[0] = GPUFault(FaultKind.LOST, "lost")
    one.gpus._monitor.sweep()
    one.source.faults.clear()
    clock.advance(5)
    one.gpus._monitor.sweep()
    one.fatal.sync()
    other.fatal.sync()
    assert (one.gpu.is_available, other.gpu.is_available) == (True, True)
    assert one.store.list() == {}


def test_rebooted_machine_has_reset_its_gpus(servers: list[Server], clock: FakeClock, monkeypatch: pytest.MonkeyPatch):
    servers[0].begin().report_xid(79)
    monkeypatch.setattr(clock, "mark", lambda: Mark("another boot", 1.0))
    after = servers[1].begin()
    after.fatal.sync()
    assert after.gpu.is_available
    assert after.store.list() == {}


def test_no_gpu_is_offered_before_the_stored_errors_were_read(servers: list[Server], monkeypatch: pytest.MonkeyPatch):
    servers[0].begin().report_xid(79)

    def refuse(*_: object) -> None:
        raise DatabaseUnavailable

    after = servers[1]
    with monkeypatch.context() as away:
        away.setattr(GPUXidStore, "list", refuse)
        after.begin()
        assert (after.gpu.is_available, "are unknown" in (after.gpu.status_reason or "")) == (False, True)
    after.fatal.sync()
    assert "Xid 79" in (after.gpu.status_reason or "")


def test_error_during_a_database_failure_is_stored_later(servers: list[Server], monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise DatabaseUnavailable

    server = servers[0].begin()
    with monkeypatch.context() as away:
        away.setattr(GPUXidStore, "save", refuse)
        server.report_xid(79)
    server.fatal.sync()
    assert [key[2] for key in server.store.list()] == [79]


def test_same_error_after_a_reset_is_another(servers: list[Server], clock: FakeClock):
    server = servers[0].begin()
    server.report_xid(79)
    (first,) = server.store.list().values()
    server.gpus._keeper.xids.forgive("here", server.source.identities[0].uuid)
    clock.advance(60)
    server.fatal.sync()
    server.report_xid(79)
    (second,) = server.store.list().values()
    assert first[0] != second[0]
