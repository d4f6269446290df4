"""Creating or ending a hold updates the GPUs and wakes the queue."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from api.db.database import Database, sqlite_url
from api.errors import GPUNotFound
from api.gpus.service import GPUService
from api.gpus.sharing.hold_store import HoldStore
from api.gpus.sharing.registration_store import DatabaseRegistrations
from api.gpus.sources.source import FakeSource
from api.training.queue.holds import Holds
from api.util.clock import FakeClock
from tests.unit.builders import identity, reading, uuid_of
from tests.unit.gpus.fleets import fleet


class Desk:
    def __init__(self, database: Database, clock: FakeClock) -> None:
        self.gpus = GPUService(FakeSource(2), DatabaseRegistrations(database, "n", clock), clock)
        self.gpus._monitor.sweep()
        self.woken = 0
        self.holds = Holds(HoldStore(database), self.gpus, clock, self.wake)

    def wake(self) -> None:
        self.woken += 1

    def status(self) -> list[str]:
        return [gpu.judgement.status for gpu in self.gpus.state.gpus]


@pytest.fixture
def desk(tmp_path: Path, clock: FakeClock) -> Iterator[Desk]:
    database = Database(sqlite_url(tmp_path / "database.sqlite"))
    database.migrate()
    desk = Desk(database, clock)
    yield desk
    desk.gpus.stop_monitoring()
    database.close()


def test_held_gpu_is_unavailable_until_the_hold_ends(desk: Desk):
    hold = desk.holds.hold_gpu("1", "why", "root")
    assert hold is not None
    assert (desk.status(), desk.woken) == (["available", "busy"], 1)
    desk.holds.end(hold.hold_id)
    assert (desk.status(), desk.woken) == (["available", "available"], 2)


def test_hold_for_an_ended_alert_is_not_created(desk: Desk):
    assert desk.holds.hold_gpu("1", "why", "rule x", alert_id="gone") is None
    assert (desk.holds.list(), desk.woken) == ([], 0)


def test_only_an_existing_gpu_can_be_held(desk: Desk):
    with pytest.raises(GPUNotFound):
        desk.holds.hold_gpu("9", "why", "root")
    assert desk.holds.end_orphans() == 0


def test_ambiguous_index_holds_no_gpu(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    state = fleet(reading(0, identity=identity(1)))
    monkeypatch.setattr(type(desk.gpus), "state", property(lambda gpus: state))
    with pytest.raises(GPUNotFound, match="here:0"):
        desk.holds.hold_gpu("0", "why", "root")
    held = desk.holds.hold_gpu("gpu2:0", "why", "root")
    assert held is not None
    assert held.gpu_uuid == uuid_of(1)
